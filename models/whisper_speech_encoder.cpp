#include "models/whisper_speech_encoder.h"

#include <ATen/ATen.h>

namespace duet::models {
namespace {

struct WhisperState : SpeechEncoder::State {
  WhisperEncoder::State encoder;
  int64_t batch = 1;

  std::unique_ptr<SpeechEncoder::State> clone() const override {
    auto copy = std::make_unique<WhisperState>();
    copy->encoder = encoder.clone();
    copy->batch = batch;
    return copy;
  }
  /// `pending` is left out: it holds the samples of the block that is not full yet.
  int64_t num_bytes() const override {
    int64_t total = 0;
    const auto add = [&](const at::Tensor& tensor) {
      if (tensor.defined()) total += static_cast<int64_t>(tensor.nbytes());
    };
    add(encoder.pcm_tail);
    add(encoder.mel_tail);
    add(encoder.conv_tail);
    for (const auto* layers : {&encoder.layers, &encoder.top})
      for (const auto& layer : *layers) {
        add(layer.keys);
        add(layer.values);
      }
    return total;
  }
};

WhisperState& as_whisper(SpeechEncoder::State& state) { return static_cast<WhisperState&>(state); }

}  // namespace

WhisperSpeechEncoder::WhisperSpeechEncoder(const WhisperEncoder::Config& config, bool has_posterior,
                                           const WeightScope& weights)
    : encoder_(config, weights), has_posterior_(has_posterior) {}

std::unique_ptr<SpeechEncoder::State> WhisperSpeechEncoder::initial_state(int64_t batch) const {
  auto state = std::make_unique<WhisperState>();
  state->encoder = encoder_.initial_state(batch);
  state->batch = batch;
  return state;
}

void WhisperSpeechEncoder::reset(State& state) const { encoder_.reset(as_whisper(state).encoder); }

at::Tensor WhisperSpeechEncoder::frames(const WhisperEncoder::Output& heard) const {
  if (!has_posterior_) return heard.features;
  return at::cat({heard.features, at::softmax(heard.ctc, -1, at::kFloat) * kPosteriorScale}, -1);
}

at::Tensor WhisperSpeechEncoder::forward(const at::Tensor& pcm) const {
  return frames(encoder_.forward(pcm));
}

at::Tensor WhisperSpeechEncoder::step(const at::Tensor& pcm, State& state) const {
  return frames(encoder_.step(pcm, as_whisper(state).encoder));
}

std::vector<at::Tensor> WhisperSpeechEncoder::step_together(const at::Tensor& pcm,
                                                            std::span<State* const> states) const {
  std::vector<WhisperEncoder::State*> own;
  for (State* state : states) own.push_back(&as_whisper(*state).encoder);
  for (const WhisperEncoder::State* state : own)
    if (state->pending.size(1) > 0) return SpeechEncoder::step_together(pcm, states);
  return frames(encoder_.step_together(pcm, own)).split(1, 0);
}

at::Tensor WhisperSpeechEncoder::flush(State& state) const {
  return at::empty({as_whisper(state).batch, 0, width()});
}

int64_t WhisperSpeechEncoder::width() const {
  return encoder_.config().top_width + (has_posterior_ ? num_ctc_classes() : 0);
}

at::Tensor WhisperSpeechEncoder::features(const at::Tensor& frames) const {
  return frames.narrow(-1, 0, encoder_.config().top_width);
}

at::Tensor WhisperSpeechEncoder::ctc_logits(const at::Tensor& frames) const {
  return encoder_.ctc_logits(features(frames));
}

at::Tensor WhisperSpeechEncoder::speaking_logit(const at::Tensor& frames) const {
  return encoder_.speaking_logit(features(frames));
}

}  // namespace duet::models
