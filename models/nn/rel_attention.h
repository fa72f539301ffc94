#pragma once
// Multi-head self-attention with relative positions over chunks with a limited past, as in
// streaming Conformers. Source: NeMo RelPositionMultiHeadAttention (multi_head_attention.py;
// Transformer-XL, arXiv:1901.02860 section 3.3) with att_context_style "chunked_limited": frame i
// is in chunk i / c and attends to its own chunk and the `left` frames before it. Checkpoint
// prefix: self_attn.
//   s_ij = [ (q_i + u) . k_j + (q_i + v) . W_pos PE(i - j) ] / sqrt(d)
// Distances are looked up directly instead of by the reference's pad-and-reshape ("rel_shift"). No
// absolute positions.

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "models/nn/layers.h"
#include "models/weights/weight_reader.h"
#include "runtime/core/move_only.h"

namespace duet::models::nn {

/// Which frames may attend where: chunks of `chunk` frames, `left` frames (a multiple of chunk, or
/// 0) before the chunk.
struct ChunkContext {
  int64_t left = 70;
  int64_t chunk = 2;
};

/// Sinusoids of the distances -(chunk - 1) .. left + chunk - 1: PE(r)[2n] = sin(r w_n), [2n + 1] =
/// cos(r w_n), w_n = 10000^(-2n / width). Positive = the key lies in the past. Returns [left + 2
/// chunk - 1, width] fp32.
at::Tensor relative_positions(const ChunkContext& context, int64_t width);

/// Index into relative_positions of query i and key j, [num_queries, num_keys] int64, when the keys
/// end with the queries. Distances that no allowed pair has are clamped.
at::Tensor relative_index(const ChunkContext& context, int64_t num_queries, int64_t num_keys);

/// true where query i may attend key j; the keys end with the queries and both start at a chunk
/// border. [num_queries, num_keys] bool.
at::Tensor chunk_mask(const ChunkContext& context, int64_t num_queries, int64_t num_keys);

class RelativeAttention {
 public:
  struct Config {
    int64_t width = 512;
    int64_t num_heads = 8;
    bool has_bias = true;
    ChunkContext context;
  };
  /// Keys and values of the past, in buffers with room behind them, so that most steps copy
  /// nothing.
  struct State : core::MoveOnly {
    at::Tensor keys, values;  ///< [B, H, capacity, d]; frames begin .. end are valid.
    at::Tensor distances;  ///< [H, left + 2 chunk - 1, d] = W_pos PE(r), computed at stream start,
                           ///< never written.
    int64_t begin = 0, end = 0;
    State clone() const;  ///< Shares `distances`.
    int64_t num_bytes() const;
  };

  /// `pos_bias_u`, `pos_bias_v` [H, d]: undefined when every layer has its own (read from
  /// `weights`), else shared.
  RelativeAttention(const Config& config, const WeightScope& weights,
                    const at::Tensor& pos_bias_u = {}, const at::Tensor& pos_bias_v = {});

  /// Whole sequence from its start, x [B, T, D] -> [B, T, D]. T need not be a multiple of the
  /// chunk.
  at::Tensor forward(const at::Tensor& x) const;
  /// The next whole chunks (a short last one only at the end of the stream), at most kMaxStepFrames
  /// frames.
  at::Tensor step(const at::Tensor& x, State& state) const;
  State initial_state(int64_t batch) const;
  void reset(State& state) const;

  static constexpr int64_t kMaxStepFrames = 64;

 private:
  at::Tensor heads(const at::Tensor& x) const;
  at::Tensor distances() const;
  at::Tensor attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                    const at::Tensor& positions) const;

  Config config_;
  int64_t head_width_;
  Linear query_, key_, value_, out_;
  at::Tensor position_;  // [D, D], never a bias
  at::Tensor bias_u_, bias_v_;
};

}  // namespace duet::models::nn
