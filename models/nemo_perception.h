#pragma once
// The perception of NeMo's duplex models: 16 kHz samples -> log-mel -> FastConformer -> modality
// adapter -> projection to the LM's width. Source:
// nemo/collections/speechlm2/modules/perception.py; checkpoint prefix: perception.

#include <ATen/core/Tensor.h>

#include <memory>
#include <optional>

#include "models/nemo_encoder.h"
#include "models/nn/log_mel.h"
#include "models/speech_encoder.h"
#include "models/weights/weight_reader.h"
#include "runtime/core/config_reader.h"

namespace duet::models {

struct NemoPerceptionConfig {
  nn::NemoLogMel::Config log_mel;
  NemoEncoderConfig encoder;
  std::optional<NemoEncoderConfig> adapter;  ///< nullopt: IdentityConnector.
  int64_t projection_in =
      0;                     ///< The adapter block's d_model when it asks for a projection, else 0.
  int64_t out_width = 2048;  ///< output_dim: the LM's width.

  void validate()
      const;  ///< Throws core::ConfigError: widths that do not meet, a frame other than 80 ms.

  /// From the `perception` block of a model's config.json. `context` as in
  /// NemoEncoderConfig::parse, for the encoder.
  static NemoPerceptionConfig parse(const core::ConfigReader& config,
                                    std::optional<nn::ChunkContext> context = {});
};

class NemoPerception : public SpeechEncoder {
 public:
  struct StreamState : State {
    nn::NemoLogMel::State log_mel;
    NemoEncoder::State encoder;
    std::optional<NemoEncoder::State> adapter;
    std::unique_ptr<State> clone() const override;
    int64_t num_bytes() const override;
  };
  /// Every stage of a whole utterance, for comparison with a reference. Each [B, n or T, width of
  /// the stage].
  struct Stages {
    at::Tensor mel, pre_encode, encoder, adapter, user;
  };

  /// `weights` is the scope "perception.".
  NemoPerception(const NemoPerceptionConfig& config, const WeightScope& weights);

  std::unique_ptr<State> initial_state(int64_t batch) const override;
  void reset(State& state) const override;
  at::Tensor forward(const at::Tensor& pcm) const override;
  at::Tensor step(const at::Tensor& pcm, State& state) const override;
  at::Tensor flush(State& state) const override;
  int64_t width() const override { return config_.out_width; }
  int64_t lookahead_samples() const override;

  Stages forward_stages(const at::Tensor& pcm) const;
  /// Multiply-adds of a step (one encoder frame) once the past is full: matrices, convolutions,
  /// attention, mel filters (the FFT left out, as in WhisperEncoder::macs_per_step). The table of
  /// relative positions is made at stream start and not counted.
  int64_t macs_per_step() const;
  /// Frames forward gives for so many samples: one more than whole packets of 1280.
  int64_t num_frames(int64_t num_samples) const;
  const NemoPerceptionConfig& config() const { return config_; }
  const NemoEncoder& encoder() const { return encoder_; }

 private:
  at::Tensor project(const at::Tensor& x) const;

  NemoPerceptionConfig config_;
  nn::NemoLogMel log_mel_;
  NemoEncoder encoder_;
  std::optional<NemoEncoder> adapter_;
  std::optional<nn::Linear> projection_;
};

}  // namespace duet::models
