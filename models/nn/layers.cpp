#include "models/nn/layers.h"

#include <ATen/ATen.h>

#include <cmath>
#include <limits>

#include <torch/version.h>

#include "models/nn/fused.h"
#include "models/nn/fused_kernels.h"

namespace duet::models::nn {

Linear::Linear(int64_t in, int64_t out, const WeightScope& weights, bool has_bias, Init init)
    : matrix_(weights.parameter("weight", {out, in}, init)) {
  if (has_bias) bias_ = weights.parameter("bias", {out}, Init::zeros());
}

at::Tensor Linear::forward(const at::Tensor& x) const { return matrix_.multiply(x, bias_); }

LayerNorm::LayerNorm(int64_t size, const WeightScope& weights, double epsilon, bool has_bias)
    : weight_(weights.parameter("weight", {size}, Init::ones())), epsilon_(epsilon) {
  if (has_bias) bias_ = weights.parameter("bias", {size}, Init::zeros());
}

at::Tensor LayerNorm::forward(const at::Tensor& x) const {
  return at::layer_norm(x, {weight_.size(0)}, weight_, bias_, epsilon_);
}

RmsNorm::RmsNorm(int64_t size, const WeightScope& weights, double epsilon)
    : weight_(weights.parameter("weight", {size}, Init::ones())), epsilon_(epsilon) {}

at::Tensor RmsNorm::forward(const at::Tensor& x) const {
  const at::Tensor wide = x.to(at::kFloat);
  const at::Tensor scale = at::rsqrt(wide.pow(2).mean(-1, /*keepdim=*/true) + epsilon_);
  return (wide * scale).to(x.scalar_type()) * weight_;
}

namespace {

constexpr int64_t kFewQueries = 16;  // beyond, a library product's own layout pays

/// Rows [T, d] of each head lie one behind the other.
bool has_dense_heads(const at::Tensor& x) { return x.stride(3) == 1 && x.stride(2) == x.size(3); }

/// attention() of the queries of one step. A library product would copy all keys and values first.
at::Tensor attend_few(const at::Tensor& queries, const at::Tensor& k, const at::Tensor& v) {
  const at::Tensor q = queries.contiguous();
  at::Tensor y = at::empty(q.sizes(), q.options());
  const int64_t heads = q.size(1), d = q.size(3), size = q.size(2) * d;
  for (int64_t b = 0; b < q.size(0); ++b)
    for (int64_t h = 0; h < heads; ++h)
      kernels::attend_rows(q.data_ptr<float>() + (b * heads + h) * size, q.size(2),
                           k.data_ptr<float>() + b * k.stride(0) + h * k.stride(1),
                           v.data_ptr<float>() + b * v.stride(0) + h * v.stride(1), k.size(2), d,
                           y.data_ptr<float>() + (b * heads + h) * size);
  return y;
}

}  // namespace

at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                     const at::Tensor& mask, bool is_causal) {
  if (!mask.defined() && !is_causal && q.dim() == 4 && q.size(2) <= kFewQueries &&
      is_fp32_without_graph(q) && is_fp32_without_graph(k) && is_fp32_without_graph(v) &&
      q.size(0) == k.size(0) && q.size(1) == k.size(1) && has_dense_heads(k) && has_dense_heads(v))
    return attend_few(q, k, v);
#if TORCH_VERSION_MAJOR >= 2
  return at::scaled_dot_product_attention(
      q, k, v, mask.defined() ? std::optional<at::Tensor>(mask) : std::nullopt,
      /*dropout_p=*/0.0, is_causal);
#else
  at::Tensor scores =
      at::matmul(q, k.transpose(-2, -1)) / std::sqrt(static_cast<double>(q.size(-1)));
  at::Tensor allowed = mask;
  if (is_causal)
    allowed = at::ones({q.size(-2), k.size(-2)}, at::TensorOptions().dtype(at::kBool)).tril();
  if (allowed.defined())
    scores = scores.masked_fill(allowed.logical_not(), -std::numeric_limits<float>::infinity());
  return at::matmul(at::softmax(scores, -1, at::kFloat).to(v.scalar_type()), v);
#endif
}

}  // namespace duet::models::nn
