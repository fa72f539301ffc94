#pragma once
// Rotary positions, HF "rotate half": theta_j = p * base^(-2j/d), x' = x cos + [-x2, x1] sin,
// halves and not interleaved pairs (Su et al. 2021; transformers LlamaRotaryEmbedding). Angles are
// reduced in double, so that position 135,000 (hour 3) is as exact as position 0; only the sines
// and cosines are fp32.

#include <ATen/core/Tensor.h>

namespace duet::models::nn {

class Rope {
 public:
  /// cos and sin [T, head_dim / 2], fp32.
  struct Angles {
    at::Tensor cos, sin;
  };

  Rope(int64_t head_dim, double theta);

  /// Positions first .. first + count - 1.
  Angles angles(int64_t first, int64_t count) const;

  /// x [B, T, heads, head_dim], angles of T positions. Same shape and dtype. Safe for autograd.
  static at::Tensor rotate(const at::Tensor& x, const Angles& angles);

 private:
  int64_t half_;
  at::Tensor frequencies_;  // [head_dim / 2], double
};

}  // namespace duet::models::nn
