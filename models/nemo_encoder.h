#pragma once
// NeMo's ConformerEncoder as used by speechlm2 models: as the speech encoder (log-mel in,
// dw_striding subsampling) and as the modality adapter (encoder frames in, subsampling_factor 1: a
// linear layer). Checkpoint prefixes: perception.encoder. and perception.modality_adapter. Source:
// nemo/collections/asr/modules/conformer_encoder.py. Eval mode: no dropout, batch norm with running
// statistics. Refused with a message: everything that would look ahead without bound or is not a
// relative-position Conformer.

#include <ATen/core/Tensor.h>

#include <optional>
#include <vector>

#include "models/nn/conformer.h"
#include "models/nn/dw_striding.h"
#include "models/nn/layers.h"
#include "models/weights/weight_reader.h"
#include "runtime/core/config_reader.h"

namespace duet::models {

struct NemoEncoderConfig {
  int64_t in_features = 80;  ///< Mel bins, or the width of the encoder in front of an adapter.
  int64_t subsampling_factor = 8;  ///< 1: linear, else dw_striding.
  int64_t subsampling_channels = 256;
  bool is_scaled = true;     ///< xscaling: frames times sqrt(width) after subsampling.
  int64_t out_features = 0;  ///< feat_out; 0 or the width: no output projection.
  nn::ConformerConfig conformer;

  int64_t width() const { return out_features > 0 ? out_features : conformer.width; }
  void validate() const;  ///< Throws core::ConfigError.

  /// From a NeMo config block, every key of ConformerEncoder's constructor known; unsupported
  /// values are refused with the key's full path. `context` picks an entry of att_context_size when
  /// that is a list of pairs (default: first).
  static NemoEncoderConfig parse(const core::ConfigReader& config,
                                 std::optional<nn::ChunkContext> context = {});
};

class NemoEncoder {
 public:
  struct State : core::MoveOnly {
    nn::DwStriding::State subsampling;  ///< No stages with subsampling_factor 1.
    nn::ConformerStack::State layers;
    State clone() const;
    int64_t num_bytes() const;
  };

  NemoEncoder(const NemoEncoderConfig& config, const WeightScope& weights);

  State initial_state(int64_t batch) const;
  void reset(State& state) const;
  /// x [B, n, in_features] -> [B, T, width()]; T = num_frames(n).
  at::Tensor forward(const at::Tensor& x) const;
  at::Tensor step(const at::Tensor& x, State& state) const;
  at::Tensor flush(State& state) const;

  /// Output of the subsampling, before scaling: [B, n, in_features] -> [B, T, D]. For comparing
  /// stage by stage.
  at::Tensor pre_encode(const at::Tensor& x) const;
  int64_t num_frames(int64_t num_inputs) const;
  /// Multiply-adds for one output frame once the past is full.
  int64_t macs_per_frame() const;
  const NemoEncoderConfig& config() const { return config_; }

 private:
  at::Tensor scale(const at::Tensor& x) const;
  at::Tensor project(const at::Tensor& x) const;

  NemoEncoderConfig config_;
  std::optional<nn::DwStriding> subsampling_;
  std::optional<nn::Linear> linear_;
  nn::ConformerStack layers_;
  std::optional<nn::Linear> out_;
};

}  // namespace duet::models
