#pragma once
// A weight matrix as the steps of streams use it: a few rows at a time, so that reading the weights
// is much of the cost. When its values are 8-bit integers times a scale a row, as in our model
// files, that form is kept beside fp32 and products of a few rows read a quarter of the bytes, with
// the same result up to the order of sums. Everything else is at::linear.

#include <ATen/core/Tensor.h>

namespace duet::models::nn {

class Matrix {
 public:
  Matrix() = default;
  /// weight [out, in]. Shares the tensor; the 8-bit form is made only when it is exact (to 1e-6 of
  /// the row's largest).
  explicit Matrix(at::Tensor weight);

  /// x [..., in] -> x weight^T + bias [..., out]; bias may be undefined. Safe for autograd and
  /// autocast: only up to 128 fp32 rows without a graph take the short way, in which a row's result
  /// does not depend on the others, and the 8-bit form is not used while the weight is being
  /// trained.
  at::Tensor multiply(const at::Tensor& x, const at::Tensor& bias = {}) const;

  const at::Tensor& weight() const { return weight_; }
  bool is_packed() const { return packed_.defined(); }

 private:
  at::Tensor weight_;
  at::Tensor packed_;  // [out, in] int8; undefined when not exact
  at::Tensor scales_;  // [out] fp32
};

}  // namespace duet::models::nn
