#include "codecs/neural/fsq.h"

#include <ATen/ATen.h>

#include <cmath>
#include <string>

#include "runtime/core/error.h"

namespace duet::codecs {
namespace {

at::Tensor per_dimension(const std::vector<double>& values) {
  return at::tensor(values, at::kDouble).to(at::kFloat).view({1, 1, -1, 1});
}

at::Tensor per_dimension(const std::vector<int64_t>& values) {
  return at::tensor(values, at::kLong).view({1, 1, -1, 1});
}

}  // namespace

Fsq::Fsq(int64_t num_groups, std::vector<int64_t> levels)
    : num_groups_(num_groups), levels_(std::move(levels)) {
  if (num_groups_ < 1)
    throw core::ConfigError({"codec groups", "at least 1", std::to_string(num_groups_), {}, {}});
  if (levels_.empty()) throw core::ConfigError({"FSQ levels", "at least one", "none", {}, {}});
  std::vector<double> scale, offset, shift;
  std::vector<int64_t> half;
  int64_t base = 1;
  for (const int64_t level : levels_) {
    if (level < 2)
      throw core::ConfigError({"FSQ levels", "2 or more each", std::to_string(level), {}, {}});
    bases_.push_back(base);
    base *= level;
    half.push_back(level / 2);
    scale.push_back(static_cast<double>(level - 1) / 2.0 * (1.0 - 1e-3));
    offset.push_back(level % 2 == 0 ? 0.5 : 0.0);
    shift.push_back(std::tan(offset.back() / scale.back()));
  }
  codebook_size_ = base;
  scale_ = per_dimension(scale);
  offset_ = per_dimension(offset);
  shift_ = per_dimension(shift);
  level_ = per_dimension(levels_);
  base_ = per_dimension(bases_);
  half_ = per_dimension(half);
  half_real_ = half_.to(at::kFloat);
}

at::Tensor Fsq::bounded(const at::Tensor& latents) const {
  const at::Tensor z = latents.to(at::kFloat)
                           .reshape({latents.size(0), num_groups_,
                                     static_cast<int64_t>(levels_.size()), latents.size(2)});
  return at::tanh(z + shift_) * scale_ - offset_;
}

at::Tensor Fsq::encode(const at::Tensor& latents) const {
  return ((at::round(bounded(latents)).to(at::kLong) + half_) * base_).sum(2);
}

at::Tensor Fsq::decode(const at::Tensor& codes) const {
  const at::Tensor digits =
      at::remainder(at::floor_divide(codes.unsqueeze(2), base_), level_) - half_;
  return (digits.to(at::kFloat) / half_real_)
      .reshape({codes.size(0), latent_width(), codes.size(2)});
}

at::Tensor Fsq::quantize(const at::Tensor& latents) const {
  const at::Tensor soft = bounded(latents);
  const at::Tensor hard = soft + (at::round(soft) - soft).detach();
  return (hard / half_real_).reshape({latents.size(0), latent_width(), latents.size(2)});
}

}  // namespace duet::codecs
