#include "tools/train/heard_utterances.h"

#include <algorithm>

#include "runtime/core/error.h"
#include "tools/train/dialogue.h"

namespace duet::train {

UtteranceSound place_utterance(const Utterance& utterance, const AugmentConfig& config,
                               int64_t tail_steps, int64_t multiple, Random& random) {
  std::vector<float> words = to_float(utterance.samples);
  if (chance(random, config.speed_probability))
    words = change_speed(words, uniform(random, config.speed_low, config.speed_high));
  const auto lead = static_cast<int64_t>(uniform(random, 0.25, 0.6) * 16000.0);
  const int64_t end = lead + static_cast<int64_t>(words.size());
  UtteranceSound out;
  out.first_step = lead / kStepSamples;
  out.last_step = (end - 1) / kStepSamples;
  const int64_t steps = (out.last_step + tail_steps + multiple) / multiple * multiple;
  std::vector<float> all(static_cast<size_t>(steps * kStepSamples));
  std::copy(words.begin(), words.end(), all.begin() + lead);
  AugmentConfig channel = config;
  channel.speed_probability = 0.0;
  out.samples = augment(all, {}, channel, random);
  DUET_CHECK(out.samples.size() == all.size());
  return out;
}

void HeardUtterances::add(const std::string& text, size_t utterance, const at::Tensor& frames,
                          int64_t last_frame) {
  DUET_CHECK(frames.dim() == 2 && last_frame >= 0 && last_frame < frames.size(0));
  auto& [mine, oldest] = of_utterance_[utterance];
  if (mine.size() < per_utterance_) {
    mine.push_back(takes_.size());
    by_text_[text].push_back(takes_.size());
    takes_.push_back({frames, last_frame});
  } else {
    takes_[mine[oldest++ % mine.size()]] = {frames, last_frame};
  }
}

HeardSegment HeardUtterances::find(const std::string& text, Random& random) const {
  const auto found = by_text_.find(text);
  if (found == by_text_.end()) return {};
  const std::vector<size_t>& from = found->second;
  const size_t id =
      from[static_cast<size_t>(uniform_index(random, static_cast<int64_t>(from.size())))];
  return {0, static_cast<int64_t>(id), takes_[id].frames.size(0), takes_[id].last_frame};
}

}  // namespace duet::train
