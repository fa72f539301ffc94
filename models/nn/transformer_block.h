#pragma once
// Pre-norm transformer block (LayerNorm, GELU) with a bounded past, for the layers of the
// Whisper-style encoder.

#include <ATen/core/Tensor.h>

#include <span>

#include "models/nn/layers.h"
#include "models/weights/weight_reader.h"
#include "runtime/core/move_only.h"

namespace duet::models::nn {

/// x + MHSA(LN(x)); x + FC2(gelu(FC1(LN(x)))). Attention is chunk-causal: time is cut into chunks
/// of `chunk` frames; a frame sees its whole chunk and the `left` frames before the chunk. chunk =
/// 1 is causal attention over left + 1 frames. forward: x [B, T, D], T a multiple of chunk, -> [B,
/// T, D]. step:    x [B, chunk, D] -> [B, chunk, D]; equals forward on the concatenation (keys in a
/// ring, order is irrelevant). Names: attn_norm, qkv [3D, D], out, mlp_norm, fc1, fc2. Thread:
/// const methods are safe with one State each.
class TransformerBlock {
 public:
  struct Config {
    int64_t width = 384;
    int64_t heads = 6;
    int64_t chunk = 4;
    int64_t left = 192;       ///< A multiple of chunk.
    bool has_rotary = false;  ///< Rotary positions (rotate-half, theta 10000) on queries and keys.
    int64_t mlp_ratio = 4;
  };
  struct State : core::MoveOnly {
    at::Tensor keys, values;  ///< [B, H, left + chunk, D / H]; ring of chunks.
    int64_t frames = 0;       ///< Frames seen since the start of the stream.
    State clone() const;
  };

  TransformerBlock(const Config& config, const WeightScope& weights);
  State initial_state(int64_t batch) const;
  void reset(State& state) const;
  at::Tensor forward(const at::Tensor& x) const;
  at::Tensor step(const at::Tensor& x, State& state) const;
  /// The same for several streams, wherever each is: x [N, chunk, D], state i that of row i, made
  /// for one stream.
  at::Tensor step_together(const at::Tensor& x, std::span<State* const> states) const;
  const Config& config() const { return config_; }
  /// Multiply-accumulates for one frame with a full past.
  int64_t macs_per_frame() const;

 private:
  struct Heads {
    at::Tensor q, k, v;  // [B, H, T, d]
  };
  Heads project(const at::Tensor& x) const;
  Heads placed(const Heads& heads, int64_t first_position) const;
  at::Tensor finish(const at::Tensor& x, const at::Tensor& context) const;
  at::Tensor attend_local(const Heads& heads, int64_t frames) const;

  Config config_;
  LayerNorm attn_norm_, mlp_norm_;
  Linear qkv_, out_, fc1_, fc2_;
};

/// Boolean mask [T, T]: query i (row) may see key j iff 0 <= i/chunk - j/chunk <= left/chunk.
at::Tensor chunk_mask(int64_t frames, int64_t chunk, int64_t left);

}  // namespace duet::models::nn
