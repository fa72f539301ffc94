#pragma once
// Causal depthwise-separable subsampling in front of a FastConformer: mel frames -> encoder frames,
// 1/factor as many. Source: NeMo ConvSubsampling (subsampling.py), "dw_striding" with
// causal_downsampling, CausalConv2D: every stride-2 convolution pads 2 before and 1 after on time
// and frequency. Checkpoint names: conv.0 (3x3, 1 -> C), then per further stage conv.{3s-1} (3x3
// depthwise) and conv.{3s} (1x1), out (linear over channel-major [C, F']). Not supported: the
// non-causal variant (symmetric padding looks ahead).

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "models/nn/layers.h"
#include "models/weights/weight_reader.h"
#include "runtime/core/move_only.h"

namespace duet::models::nn {

class DwStriding {
 public:
  struct Config {
    int64_t num_mels = 80;
    int64_t num_channels = 256;
    int64_t factor = 8;  ///< A power of two >= 2.
    int64_t width = 512;
    void validate() const;  ///< Throws core::ConfigError.
  };
  /// One carry per stage: its last one or two input frames, zeros before the stream. (Zero mel
  /// frames before the stream would not do: a later stage's input there is 0, not the response to
  /// zeros.)
  struct State : core::MoveOnly {
    struct Stage {
      at::Tensor carry;  ///< [B, 2, F_s, C_s]; the last num_carry are valid.
      int64_t num_carry = 2;
    };
    std::vector<Stage> stages;
    State clone() const;
    int64_t num_bytes() const;
  };

  DwStriding(const Config& config, const WeightScope& weights);

  State initial_state(int64_t batch) const;
  void reset(State& state) const;
  /// mel [B, n, M] -> [B, num_frames(n), width].
  at::Tensor forward(const at::Tensor& mel) const;
  /// mel [B, t, M] -> [B, t', width]: frame i appears with mel frame factor * i.
  at::Tensor step(const at::Tensor& mel, State& state) const;
  /// The frames forward would give beyond those of step: [B, 0 or 1, width].
  at::Tensor flush(State& state) const;

  /// n -> n/2 + 1 once per stage.
  int64_t num_frames(int64_t num_mel_frames) const;
  /// Multiply-adds for one output frame.
  int64_t macs_per_frame() const;

 private:
  struct StageWeights {
    at::Tensor taps;       // [3, 3, C]
    at::Tensor bias;       // [C]
    at::Tensor pointwise;  // [C, C]; undefined in the first stage
    at::Tensor pointwise_bias;
  };
  at::Tensor convolve(const at::Tensor& x, const StageWeights& stage) const;
  at::Tensor project(const at::Tensor& x) const;

  Config config_;
  std::vector<StageWeights> stages_;
  std::vector<int64_t> sizes_;  // frequency bins before each stage, and after the last
  std::vector<Linear> out_;     // one element, made after sizes_ are known
};

}  // namespace duet::models::nn
