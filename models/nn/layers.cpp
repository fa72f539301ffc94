#include "models/nn/layers.h"

#include <ATen/ATen.h>

#include <cmath>
#include <limits>

#include <torch/version.h>

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

at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                     const at::Tensor& mask, bool is_causal) {
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
