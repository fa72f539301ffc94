#include "tools/train/encoder_task.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "runtime/answer_key.h"
#include "runtime/core/error.h"
#include "tools/train/autocast.h"

namespace duet::train {
namespace {

constexpr int64_t kBlock = models::WhisperEncoder::kBlockSamples;
constexpr int64_t kEncoderRate = models::WhisperEncoder::kSampleRateHz;
constexpr int64_t kBucketFrames[] = {32, 56, 80, 128, 256};  // 2.6 to 20 s
constexpr int64_t kSlackFrames = 6;  // silence before and after the words, at least

}  // namespace

std::string normalise_transcript(const std::string& text) {
  std::string out;
  for (const char raw : text) {
    const char c = static_cast<char>(std::tolower(static_cast<unsigned char>(raw)));
    const bool keep = (c >= 'a' && c <= 'z') || c == '\'';
    if (keep)
      out += c;
    else if (!out.empty() && out.back() != ' ')
      out += ' ';
  }
  if (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

std::vector<int> ctc_greedy(const at::Tensor& logits) {
  const at::Tensor best = logits.argmax(-1).contiguous();
  const int64_t blank = logits.size(-1) - 1;
  std::vector<int> out;
  int64_t previous = blank;
  for (int64_t t = 0; t < best.size(0); ++t) {
    const int64_t id = best.data_ptr<int64_t>()[t];
    if (id != previous && id != blank) out.push_back(static_cast<int>(id));
    previous = id;
  }
  return out;
}

std::pair<int64_t, int64_t> word_errors(const std::string& reference,
                                        const std::string& hypothesis) {
  const auto words = [](const std::string& text) {
    std::istringstream in(text);
    std::vector<std::string> out;
    for (std::string word; in >> word;) out.push_back(word);
    return out;
  };
  const std::vector<std::string> a = words(reference);
  return {static_cast<int64_t>(runtime::count_word_errors(a, words(hypothesis))),
          static_cast<int64_t>(a.size())};
}

EncoderTask::EncoderTask(const Config& config, ParameterStore& store, std::vector<Utterance> train,
                         std::vector<Utterance> heldout)
    : config_(config),
      pieces_(config.tokenizer),
      train_(std::move(train)),
      heldout_(std::move(heldout)),
      encoder_(config.encoder, models::WeightScope(store, "encoder.")) {
  if (pieces_.size() != config.encoder.ctc_pieces)
    throw core::ConfigError(
        {.subject = "encoder.ctc_pieces",
         .expected = std::to_string(pieces_.size()) + " as in " + config.tokenizer,
         .found = std::to_string(config.encoder.ctc_pieces),
         .file = {},
         .hint = {}});
  for (const int64_t frames : kBucketFrames) buckets_.push_back({frames, {}, {}});
  const auto share = [](const std::map<std::string, double>& shares, const std::string& name) {
    const auto found = shares.find(name.empty() ? "(none)" : name);
    return found == shares.end() ? 1.0 : found->second;
  };
  std::map<std::string, double> topic_sums;
  for (const Utterance& utterance : train_)
    topic_sums[utterance.topic] += share(config.engines, utterance.engine);
  const auto weight = [&](const Utterance& utterance) {
    const double own = share(config.engines, utterance.engine);
    return config.topics.empty()
               ? own
               : own * share(config.topics, utterance.topic) / topic_sums[utterance.topic];
  };
  std::vector<Utterance> usable;
  for (Utterance& utterance : train_) {
    const std::vector<int> ids = pieces_.encode(normalise_transcript(utterance.text));
    const double frames =
        static_cast<double>(utterance.samples.size()) / static_cast<double>(kBlock);
    if (ids.empty() || static_cast<double>(ids.size()) > 0.9 * frames)
      continue;  // CTC needs a frame a piece
    const double slowest = frames / std::min(1.0, config.augment.speed_low) + kSlackFrames;
    for (Bucket& bucket : buckets_) {
      if (slowest > static_cast<double>(bucket.frames)) continue;
      bucket.members.push_back(usable.size());
      bucket.cumulative.push_back((bucket.cumulative.empty() ? 0.0 : bucket.cumulative.back()) +
                                  weight(utterance));
      targets_.emplace_back(ids.begin(), ids.end());
      usable.push_back(std::move(utterance));
      break;
    }
  }
  train_ = std::move(usable);
  std::erase_if(buckets_, [](const Bucket& bucket) { return bucket.members.empty(); });
  if (train_.empty())
    throw core::ConfigError({.subject = "training set",
                             .expected = "transcribed utterances",
                             .found = "none",
                             .file = {},
                             .hint = {}});
  AdamW::Config optimizer = config.optimizer;
  for (const char* imported : {"encoder.conv", "encoder.layers.", "encoder.norm."})
    optimizer.multipliers.emplace(imported, config.pretrained_lr_ratio);
  optimizer_ = std::make_unique<AdamW>(optimizer, store, std::vector<std::string>{"encoder."});
}

size_t EncoderTask::pick(const Bucket& bucket, std::mt19937_64& rng) const {
  const double at = uniform(rng, 0.0, bucket.cumulative.back());
  const auto found = std::upper_bound(bucket.cumulative.begin(), bucket.cumulative.end(), at);
  return bucket.members[std::min(static_cast<size_t>(found - bucket.cumulative.begin()),
                                 bucket.members.size() - 1)];
}

EncoderTask::Item EncoderTask::draw(const Bucket& bucket, std::mt19937_64& rng) const {
  const size_t index = pick(bucket, rng);
  const std::vector<float> other =
      chance(rng, 0.2) ? to_float(train_[pick(bucket, rng)].samples) : std::vector<float>{};
  Item item;
  std::vector<float> speech = to_float(train_[index].samples);
  if (chance(rng, config_.augment.speed_probability))
    speech =
        change_speed(speech, uniform(rng, config_.augment.speed_low, config_.augment.speed_high));
  // Silence is put around the words before the channel, so that noise and reverberation cover it
  // too.
  const int64_t samples = bucket.frames * kBlock, length = static_cast<int64_t>(speech.size());
  item.speech_begin =
      uniform_index(rng, std::max<int64_t>(1, samples - length - kSlackFrames / 2 * kBlock));
  item.speech_end = std::min(samples, item.speech_begin + length);
  item.samples.assign(static_cast<size_t>(samples), 0.0F);
  std::copy(speech.begin(), speech.begin() + (item.speech_end - item.speech_begin),
            item.samples.begin() + item.speech_begin);
  augment_channel(item.samples, other, config_.augment, rng);
  item.target = targets_[index];
  return item;
}

Metrics EncoderTask::step(const StepContext& context, std::mt19937_64& rng) {
  double total = 0.0;
  for (const Bucket& bucket : buckets_) total += bucket.cumulative.back();
  size_t chosen = 0;
  for (double at = uniform(rng, 0.0, total); chosen + 1 < buckets_.size(); ++chosen) {
    at -= buckets_[chosen].cumulative.back();
    if (at < 0.0) break;
  }
  const Bucket& bucket = buckets_[chosen];
  const int64_t longest = bucket.frames;
  const int64_t batch =
      std::max<int64_t>(1, static_cast<int64_t>(config_.batch_seconds * 12.5) / longest);
  at::Tensor pcm = at::zeros({batch, longest * kBlock});
  at::Tensor speaking = at::zeros({batch, longest});
  std::vector<int64_t> frames, lengths, targets;
  for (int64_t b = 0; b < batch; ++b) {
    const Item item = draw(bucket, rng);
    std::copy(item.samples.begin(), item.samples.end(), pcm[b].data_ptr<float>());
    frames.push_back(longest);
    lengths.push_back(static_cast<int64_t>(item.target.size()));
    targets.insert(targets.end(), item.target.begin(), item.target.end());
    const int64_t first = item.speech_begin / kBlock,
                  last = std::min(longest - 1, item.speech_end / kBlock);
    speaking[b].narrow(0, first, last - first + 1).fill_(1.0);
  }
  at::Tensor mel = encoder_.log_mel(pcm);
  for (int64_t b = 0; b < batch; ++b) {  // SpecAugment's frequency masks (Park et al. 2019)
    if (!chance(rng, 0.5)) continue;
    const int64_t low = uniform_index(rng, 61);
    mel[b].narrow(0, low, 1 + uniform_index(rng, 15)).fill_(-0.6);
  }
  models::WhisperEncoder::Output out;
  {
    const Autocast autocast(config_.bf16);
    out = encoder_.forward_mel(mel, uniform_index(rng, config_.encoder.positions));
  }
  const at::Tensor log_probs = at::log_softmax(out.ctc.to(at::kFloat), -1).transpose(0, 1);
  const at::Tensor ctc =
      at::ctc_loss(log_probs, at::tensor(targets, at::kLong), frames, lengths,
                   config_.encoder.ctc_pieces, at::Reduction::Mean, /*zero_infinity=*/true);
  const at::Tensor voice =
      at::binary_cross_entropy_with_logits(out.speaking.to(at::kFloat), speaking);
  const at::Tensor loss = ctc + config_.speaking_weight * voice;
  optimizer_->zero_grad();
  loss.backward();
  const double norm = optimizer_->step(context.lr_factor);
  return {{"loss", ctc.item<double>()}, {"speaking", voice.item<double>()}, {"norm", norm}};
}

Metrics EncoderTask::evaluate() {
  if (heldout_.empty()) return {};
  const c10::NoGradGuard no_grad;
  int64_t errors = 0, words = 0, shown = 0, exact = 0;
  std::ofstream heard_file;
  if (!config_.heard_file.empty()) heard_file.open(config_.heard_file);
  for (const Utterance& utterance : heldout_) {
    std::vector<float> samples(3200, 0.0F);
    const std::vector<float> speech = to_float(utterance.samples);
    samples.insert(samples.end(), speech.begin(), speech.end());
    samples.insert(samples.end(), 10000, 0.0F);
    const at::Tensor pcm =
        at::from_blob(samples.data(), {1, static_cast<int64_t>(samples.size())}).clone();
    std::string text;
    for (const int id : ctc_greedy(encoder_.forward(pcm).ctc[0])) text += pieces_.piece(id);
    std::string spaced;
    for (size_t i = 0; i < text.size();) {  // U+2581 marks a word's start
      if (text.compare(i, 3, "\xE2\x96\x81") == 0) {
        spaced += ' ';
        i += 3;
      } else {
        spaced += text[i++];
      }
    }
    const std::string reference = normalise_transcript(utterance.text);
    const std::string heard = normalise_transcript(spaced);
    const auto [wrong, count] = word_errors(reference, heard);
    if (heard_file.is_open())
      heard_file << nlohmann::json{{"topic", utterance.topic},
                                   {"voice", utterance.voice},
                                   {"said", reference},
                                   {"heard", heard}}
                        .dump()
                 << '\n';
    exact += wrong == 0;
    errors += wrong;
    words += count;
    if (shown++ < 4)
      std::fprintf(stderr, "\n  said: %s\n  heard:%s", reference.c_str(), spaced.c_str());
  }
  std::fprintf(stderr, "\n");
  return {{"wer", words ? static_cast<double>(errors) / static_cast<double>(words) : 0.0},
          {"exact", static_cast<double>(exact) / static_cast<double>(heldout_.size())}};
}

}  // namespace duet::train
