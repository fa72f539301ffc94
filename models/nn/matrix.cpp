#include "models/nn/matrix.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "models/nn/fused.h"
#include "models/nn/fused_kernels.h"

namespace duet::models::nn {
namespace {

constexpr float kExactness = 1e-6F;    // of a row's largest value: fp32 rounding of scale * integer
constexpr int64_t kFewRows = 128;      // beyond, a library product's own layout pays
constexpr int64_t kWorthwhile = 4096;  // values; model files keep smaller matrices in fp32

/// Integers and scale of one row, if it is such a row.
bool pack_row(const float* row, int64_t width, int8_t* packed, float& scale) {
  float largest = 0.0F;
  for (int64_t i = 0; i < width; ++i) largest = std::max(largest, std::abs(row[i]));
  scale = largest / 127.0F;
  for (int64_t i = 0; i < width; ++i) {
    const float value = scale > 0.0F ? std::nearbyint(row[i] / scale) : 0.0F;
    if (!(std::abs(value * scale - row[i]) <= kExactness * largest)) return false;
    packed[i] = static_cast<int8_t>(value);
  }
  return true;
}

}  // namespace

Matrix::Matrix(at::Tensor weight) : weight_(std::move(weight)) {
  if (weight_.scalar_type() != at::kFloat || weight_.numel() < kWorthwhile ||
      !weight_.is_contiguous())
    return;
  const int64_t rows = weight_.size(0), width = weight_.size(1);
  const float* values = weight_.data_ptr<float>();
  std::vector<int8_t> probe(static_cast<size_t>(width));
  float scale = 0.0F;
  if (!pack_row(values, width, probe.data(), scale))
    return;  // before allocating: most matrices end here
  at::Tensor packed = at::empty({rows, width}, at::kChar), scales = at::empty({rows}, at::kFloat);
  for (int64_t r = 0; r < rows; ++r)
    if (!pack_row(values + r * width, width, packed.data_ptr<int8_t>() + r * width,
                  scales.data_ptr<float>()[r]))
      return;
  packed_ = packed;
  scales_ = scales;
}

at::Tensor Matrix::multiply(const at::Tensor& x, const at::Tensor& bias) const {
  const int64_t width = weight_.size(1), count = x.numel() / width;
  // The integers' products round x: all rows of a recording at once as well as those of a step.
  const bool is_packed = packed_.defined() && !weight_.requires_grad();
  const bool is_own = (is_packed || count <= kFewRows) && x.size(-1) == width &&
                      weight_.is_contiguous() && is_fp32_without_graph(x) &&
                      is_fp32_without_graph(weight_);
  if (!is_own) return at::linear(x, weight_, bias);
  const at::Tensor rows = x.contiguous();
  std::vector<int64_t> shape(x.sizes().begin(), x.sizes().end());
  shape.back() = weight_.size(0);
  at::Tensor y = at::empty(shape, x.options());
  const float* offset = bias.defined() ? bias.data_ptr<float>() : nullptr;
  if (is_packed)
    kernels::multiply_rows(packed_.data_ptr<int8_t>(), scales_.data_ptr<float>(),
                           rows.data_ptr<float>(), count, offset, weight_.size(0), width,
                           y.data_ptr<float>());
  else
    kernels::multiply_rows(weight_.data_ptr<float>(), rows.data_ptr<float>(), count, offset,
                           weight_.size(0), width, y.data_ptr<float>());
  return y;
}

}  // namespace duet::models::nn
