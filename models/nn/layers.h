#pragma once
// Small stateless layers shared by every model. `forward` is safe for autograd; weights are const
// after construction.

#include <ATen/core/Tensor.h>

#include <optional>

#include "models/nn/matrix.h"
#include "models/weights/weight_reader.h"

namespace duet::models::nn {

/// y = x W^T + b. x [..., in] -> [..., out]. Names: weight [out, in], bias [out].
class Linear {
 public:
  Linear(int64_t in, int64_t out, const WeightScope& weights, bool has_bias = true,
         Init init = Init::fan_in());
  at::Tensor forward(const at::Tensor& x) const;
  const at::Tensor& weight() const { return matrix_.weight(); }
  const at::Tensor& bias() const { return bias_; }

 private:
  Matrix matrix_;
  at::Tensor bias_;
};

/// LayerNorm over the last axis, eps 1e-5 by default. Names: weight, bias [size].
class LayerNorm {
 public:
  LayerNorm(int64_t size, const WeightScope& weights, double epsilon = 1e-5, bool has_bias = true);
  at::Tensor forward(const at::Tensor& x) const;

 private:
  at::Tensor weight_, bias_;
  double epsilon_;
};

/// x * rsqrt(mean(x^2) + eps) * weight; statistics in fp32 (Llama). Name: weight [size].
class RmsNorm {
 public:
  RmsNorm(int64_t size, const WeightScope& weights, double epsilon = 1e-5);
  at::Tensor forward(const at::Tensor& x) const;

 private:
  at::Tensor weight_;
  double epsilon_;
};

/// softmax(q k^T / sqrt(d) + bias) v. q [B, H, Tq, d], k and v [B, H, Tk, d], mask [Tq, Tk] bool
/// (true = may attend) or undefined for "all"; is_causal (without a mask, Tq = Tk): row t attends
/// to 0..t, cheaper than the same mask. Returns [B, H, Tq, d]. Uses the fused kernel of
/// LibTorch 2.x where there is one.
at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                     const at::Tensor& mask = {}, bool is_causal = false);

}  // namespace duet::models::nn
