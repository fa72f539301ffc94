#pragma once
// The passes between the matrix products of a Llama layer, each as one pass over memory, forward
// and backward. On a core whose matrix unit does 1 TFLOP/s in bf16 they would otherwise take most
// of a training step. Same formulas as the plain operators; fp32 and bf16 storage, arithmetic in
// fp32. Under CPU autocast the results that feed a matrix product are bf16 at once, so that no cast
// pass follows.

#include <ATen/core/Tensor.h>

#include <utility>

#include "models/nn/rope.h"

namespace duet::models::nn {

/// What feeds the next matrix product: bf16 under CPU autocast to bf16, else the dtype of `x`.
at::ScalarType product_dtype(const at::Tensor& x);
/// Products of `x` are fp32 and nothing is recorded for a backward pass: kernels without one do.
bool is_fp32_without_graph(const at::Tensor& x);

/// The residual stream goes on and its norm branches off: {s, rms(s) * weight} with s = x + delta
/// (x when delta is undefined). x, delta [..., D]; weight [D]. The stream keeps x's dtype, the norm
/// has product_dtype(x).
std::pair<at::Tensor, at::Tensor> add_rms_norm(const at::Tensor& x, const at::Tensor& delta,
                                               const at::Tensor& weight, double epsilon);

/// silu(gate) * up, same shapes and dtypes.
at::Tensor swiglu(const at::Tensor& gate, const at::Tensor& up);

/// x [B, T, heads * d] -> [B, heads * repeat, T, d]: heads split off, rotated by `angles` of T
/// positions where they are defined, each head repeated `repeat` times in a row.
at::Tensor split_heads(const at::Tensor& x, int64_t heads, int64_t repeat,
                       const Rope::Angles& angles);

}  // namespace duet::models::nn
