#pragma once
// Chunk-causal Whisper-style speech encoder. Whisper-tiny's convolutions and layers (Radford et al.
// 2022), attention restricted to the current 80 ms chunk and `left` frames before it, then 4 frames
// stacked to one, and causal layers at 12.5 Hz with a CTC head and a "the user is speaking" logit
// (used for events and figures only, never for decisions).
//
// Time: encoder frame t is made from samples up to 1280 (t + 1), so one 80 ms block gives one
// frame; Whisper's centred window then lies 200 samples back, the declared delay. The bundled
// model's figures stand in docs/model-card.md.

#include <ATen/core/Tensor.h>

#include <span>
#include <vector>

#include "models/nn/layers.h"
#include "models/nn/transformer_block.h"
#include "models/weights/weight_reader.h"
#include "runtime/core/move_only.h"

namespace duet::models {

class WhisperEncoder {
 public:
  struct Config {
    int64_t mel_bins = 80;
    int64_t width = 384;  ///< Whisper-tiny's.
    int64_t heads = 6;
    int64_t layers = 4;
    int64_t left_frames = 192;  ///< At 50 Hz; a multiple of 4.
    int64_t positions = 1500;   ///< Sinusoidal positions are taken modulo this.
    int64_t top_width = 512;    ///< Width of the frames the LM sees.
    int64_t top_heads = 8;
    int64_t top_layers = 2;
    int64_t top_left = 63;     ///< At 12.5 Hz.
    int64_t ctc_pieces = 400;  ///< The blank is the extra last class.
    void validate() const;     ///< Throws core::ConfigError.
  };
  static constexpr int64_t kSampleRateHz = 16000;
  static constexpr int64_t kBlockSamples = 1280;  ///< One frame of output.
  static constexpr int64_t kDelaySamples = 200;

  struct State : core::MoveOnly {
    at::Tensor pcm_tail;   ///< [B, 240] samples before the block.
    at::Tensor pending;    ///< [B, <1280] samples waiting for their block.
    at::Tensor mel_tail;   ///< [B, M, 2] mel frames before the block.
    at::Tensor conv_tail;  ///< [B, D, 1] outputs of the first convolution before the block.
    int64_t position = 0;  ///< 50 Hz frame index.
    std::vector<nn::TransformerBlock::State> layers, top;
    State clone() const;
  };
  struct Output {
    at::Tensor features;  ///< [B, T, top_width]
    at::Tensor ctc;       ///< [B, T, ctc_pieces + 1] logits
    at::Tensor speaking;  ///< [B, T] logits
  };

  WhisperEncoder(const Config& config, const WeightScope& weights);

  /// pcm [B, N] 16 kHz in [-1, 1] -> normalised log-mel [B, M, 8 T + 1], T = N / 1280 (rounded
  /// down). fp32, no grad.
  at::Tensor log_mel(const at::Tensor& pcm) const;
  /// mel as from log_mel -> T frames. Safe for autograd and autocast. `position_offset` shifts the
  /// sinusoidal table (training draws it at random so that every row is seen).
  Output forward_mel(const at::Tensor& mel, int64_t position_offset = 0) const;
  Output forward(const at::Tensor& pcm) const { return forward_mel(log_mel(pcm)); }

  /// The heads alone, on features of forward or step: [..., top_width] -> [..., ctc_pieces + 1],
  /// [...].
  at::Tensor ctc_logits(const at::Tensor& features) const { return ctc_head_.forward(features); }
  at::Tensor speaking_logit(const at::Tensor& features) const;

  State initial_state(int64_t batch) const;
  void reset(State& state) const;
  /// pcm [B, n], any n -> the frames completed by it (T may be 0). Equals forward on the
  /// concatenation.
  Output step(const at::Tensor& pcm, State& state) const;
  /// One block of each of several streams, wherever each is: pcm [N, kBlockSamples], state i that
  /// of row i, made for one stream, with no samples pending. Each row as step gives it.
  Output step_together(const at::Tensor& pcm, std::span<State* const> states) const;

  const Config& config() const { return config_; }
  int64_t macs_per_step() const;

 private:
  at::Tensor mel_of(const at::Tensor& padded_pcm) const;
  Output finish(const at::Tensor& stacked_input, std::span<State* const> states) const;

  Config config_;
  at::Tensor filters_, window_, sinusoid_;
  at::Tensor conv1_weight_, conv1_bias_, conv2_weight_, conv2_bias_;
  std::vector<nn::TransformerBlock> layers_, top_;
  nn::LayerNorm norm_, top_norm_;
  nn::Linear stack_, ctc_head_, speaking_head_;
};

/// Renames the encoder half of Whisper's CTranslate2 tensors
/// ("encoder/layer_0/ffn/linear_0/weight") to this class's names below `prefix`. Tensors of the
/// decoder are left out. Throws core::LoadError when one is missing.
TensorMap import_whisper_encoder(const TensorMap& ctranslate2, const std::string& prefix,
                                 int64_t layers);

}  // namespace duet::models
