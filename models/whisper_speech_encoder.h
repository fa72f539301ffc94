#pragma once
// The chunk-causal Whisper encoder as a SpeechEncoder. A user frame is the encoder's features, and
// where the LM was trained so, its CTC posterior beside them: softmax * kPosteriorScale, which
// brings its share of the LM adapter's input to that of the features. Latency: a frame a block; see
// WhisperEncoder for the declared delay.

#include <ATen/core/Tensor.h>

#include "models/speech_encoder.h"
#include "models/whisper_encoder.h"

namespace duet::models {

class WhisperSpeechEncoder : public SpeechEncoder {
 public:
  static constexpr double kPosteriorScale = 8.0;

  WhisperSpeechEncoder(const WhisperEncoder::Config& config, bool has_posterior,
                       const WeightScope& weights);

  std::unique_ptr<State> initial_state(int64_t batch) const override;
  void reset(State& state) const override;
  at::Tensor forward(const at::Tensor& pcm) const override;
  at::Tensor step(const at::Tensor& pcm, State& state) const override;
  std::vector<at::Tensor> step_together(const at::Tensor& pcm,
                                        std::span<State* const> states) const override;
  /// A frame needs its whole block: the rest of a block at the end of a stream gives none.
  at::Tensor flush(State& state) const override;

  int64_t width() const override;
  int64_t lookahead_samples() const override { return WhisperEncoder::kBlockSamples; }
  int64_t num_ctc_classes() const override { return encoder_.config().ctc_pieces + 1; }
  at::Tensor ctc_logits(const at::Tensor& frames) const override;
  at::Tensor speaking_logit(const at::Tensor& frames) const override;

 private:
  at::Tensor frames(const WhisperEncoder::Output& heard) const;
  at::Tensor features(const at::Tensor& frames) const;

  WhisperEncoder encoder_;
  bool has_posterior_;
};

}  // namespace duet::models
