#pragma once
// Recorded questions as the LM hears them, kept by their text: recorded dialogues (written.h) are
// heard through whole utterances, errors and all, at the cost of one encoder pass an utterance
// instead of one a dialogue.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "tools/train/augment.h"
#include "tools/train/speech_set.h"
#include "tools/train/written.h"

namespace duet::train {

/// An utterance in a recording of its own: some silence, the words, silence.
struct UtteranceSound {
  std::vector<float> samples;  ///< A whole number of steps.
  int64_t first_step = 0;      ///< Holds the first sample of the speech.
  int64_t last_step = 0;       ///< Holds the last one.
};

/// Speed, 0.25 to 0.6 s of lead, at least `tail_steps` behind the words, up to a multiple of
/// `multiple` steps, then the channel of `config`. A function of the generator's state.
UtteranceSound place_utterance(const Utterance& utterance, const AugmentConfig& config,
                               int64_t tail_steps, int64_t multiple, Random& random);

class HeardUtterances {
 public:
  /// Keeps the last `per_utterance` takes of each utterance.
  explicit HeardUtterances(size_t per_utterance = 2) : per_utterance_(per_utterance) {}

  /// frames [n, U]; frame `last_frame` holds the last sample of the words.
  void add(const std::string& text, size_t utterance, const at::Tensor& frames, int64_t last_frame);
  /// A random take of a random utterance of this text; id -1 when there is none.
  HeardSegment find(const std::string& text, Random& random) const;
  /// [n, U]
  const at::Tensor& frames(int64_t id) const { return takes_[static_cast<size_t>(id)].frames; }
  size_t num_texts() const { return by_text_.size(); }

 private:
  struct Take {
    at::Tensor frames;
    int64_t last_frame = 0;
  };
  size_t per_utterance_;
  std::vector<Take> takes_;
  std::unordered_map<std::string, std::vector<size_t>> by_text_;  // takes
  std::unordered_map<size_t, std::pair<std::vector<size_t>, size_t>>
      of_utterance_;  // takes, oldest
};

}  // namespace duet::train
