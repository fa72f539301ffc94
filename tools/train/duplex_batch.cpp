#include "tools/train/duplex_batch.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <utility>

#include "runtime/core/error.h"

namespace duet::train {

DuplexBatch make_batch(const std::vector<Dialogue>& dialogues, const BatchConfig& config,
                       Random& random) {
  DUET_CHECK(!dialogues.empty());
  const auto batch = static_cast<int64_t>(dialogues.size());
  const int64_t steps = dialogues[0].num_steps, books = dialogues[0].num_codebooks;
  DUET_CHECK(books == static_cast<int64_t>(config.silence.size()));
  DUET_CHECK(config.index_multiple > 0);
  DuplexBatch out;
  const bool has_sound = !dialogues[0].user.empty();
  if (has_sound) out.pcm = at::empty({batch, steps * kStepSamples});
  out.speaking = at::empty({batch, steps});
  out.text_in = at::empty({batch, steps}, at::kLong);
  out.text_out = at::full({batch, steps}, -100, at::kLong);
  out.text_weight = at::zeros({batch, steps});
  out.codes_in = at::full({batch, books, steps}, config.codebook_size + 2, at::kLong);
  out.codes_out = at::empty({batch, books, steps}, at::kLong);
  std::vector<int64_t> index;
  std::vector<float> weight;
  const auto silent_weight =
      static_cast<float>(config.silence_weight / std::max(1e-6, config.silence_share));
  for (int64_t b = 0; b < batch; ++b) {
    const Dialogue& d = dialogues[static_cast<size_t>(b)];
    DUET_CHECK(d.num_steps == steps && d.num_codebooks == books);
    DUET_CHECK(d.user.empty() != has_sound);
    if (has_sound) {
      std::copy(d.user.begin(), d.user.end(), out.pcm[b].data_ptr<float>());
      std::copy(d.speaking.begin(), d.speaking.end(), out.speaking[b].data_ptr<float>());
    }
    std::copy(d.text.begin(), d.text.end(), out.text_in[b].data_ptr<int64_t>());
    std::copy(d.text.begin() + 1, d.text.end(), out.text_out[b].data_ptr<int64_t>());
    std::copy(d.codes.begin(), d.codes.end(), out.codes_out[b].data_ptr<int64_t>());
    float* text_weight = out.text_weight[b].data_ptr<float>();
    for (int64_t t = 0; t + 1 < steps; ++t)
      text_weight[t] = d.text[static_cast<size_t>(t) + 1] == config.text_pad
                           ? static_cast<float>(config.pad_weight)
                           : 1.0f;
    int64_t* heard = out.codes_in[b].data_ptr<int64_t>();
    for (int64_t t = 0; t < steps; ++t) {
      bool is_silent = true;
      for (int64_t k = 0; k < books; ++k) {
        const int64_t code = d.codes[static_cast<size_t>(k * steps + t)];
        const bool same = code == config.silence[static_cast<size_t>(k)];
        is_silent = is_silent && same;
        if (t + 1 == steps) continue;
        const bool is_control = code >= config.codebook_size;
        heard[k * steps + t + 1] = !same && !is_control && chance(random, config.code_noise)
                                       ? uniform_index(random, config.codebook_size)
                                       : code;
      }
      if (is_silent && !chance(random, config.silence_share)) continue;
      index.push_back(b * steps + t);
      weight.push_back(is_silent ? silent_weight : 1.0f);
    }
  }
  // Padded (with weight 0) to few different lengths: kernels are built, and memory is laid out,
  // once a shape.
  while (static_cast<int64_t>(index.size()) % config.index_multiple != 0) {
    index.push_back(0);
    weight.push_back(0.0f);
  }
  out.code_index = at::tensor(index, at::kLong);
  out.code_weight = at::tensor(weight);
  return out;
}

DialogueStream::DialogueStream(Make make, uint64_t first_index, size_t ahead)
    : make_(std::move(make)),
      ahead_(std::max<size_t>(1, ahead)),
      consumed_(first_index),
      produced_(first_index) {
  thread_ = std::thread([this] { run(); });
}

DialogueStream::~DialogueStream() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  has_room_.notify_all();
  thread_.join();
}

Dialogue DialogueStream::next() {
  std::unique_lock<std::mutex> lock(mutex_);
  has_item_.wait(lock, [this] { return !queue_.empty() || error_; });
  if (queue_.empty()) std::rethrow_exception(error_);
  Dialogue result = std::move(queue_.front());
  queue_.pop_front();
  ++consumed_;
  lock.unlock();
  has_room_.notify_one();
  return result;
}

void DialogueStream::run() {
  while (true) {
    {
      std::unique_lock<std::mutex> lock(mutex_);
      has_room_.wait(lock, [this] { return stopping_ || queue_.size() < ahead_; });
      if (stopping_) return;
    }
    try {
      Dialogue dialogue = make_(produced_);
      ++produced_;
      const std::lock_guard<std::mutex> lock(mutex_);
      queue_.push_back(std::move(dialogue));
    } catch (...) {
      const std::lock_guard<std::mutex> lock(mutex_);
      error_ = std::current_exception();
      has_item_.notify_one();
      return;
    }
    has_item_.notify_one();
  }
}

}  // namespace duet::train
