#include "models/nn/rope.h"

#include <ATen/ATen.h>

#include "runtime/core/error.h"

namespace duet::models::nn {

Rope::Rope(int64_t head_dim, double theta) : half_(head_dim / 2) {
  DUET_CHECK(head_dim > 0 && head_dim % 2 == 0);
  const at::Tensor exponent =
      at::arange(half_, at::kDouble) * (-2.0 / static_cast<double>(head_dim));
  frequencies_ = at::pow(at::scalar_tensor(theta, at::kDouble), exponent);
}

Rope::Angles Rope::angles(int64_t first, int64_t count) const {
  const at::Tensor positions = at::arange(first, first + count, at::kDouble);
  const at::Tensor angle = at::outer(positions, frequencies_);
  return {at::cos(angle).to(at::kFloat), at::sin(angle).to(at::kFloat)};
}

at::Tensor Rope::rotate(const at::Tensor& x, const Angles& angles) {
  const int64_t half = x.size(-1) / 2;
  const at::Tensor cos = angles.cos.to(x.scalar_type()).unsqueeze(1),
                   sin = angles.sin.to(x.scalar_type()).unsqueeze(1);
  const at::Tensor a = x.narrow(-1, 0, half), b = x.narrow(-1, half, half);
  return at::cat({a * cos - b * sin, b * cos + a * sin}, -1);
}

}  // namespace duet::models::nn
