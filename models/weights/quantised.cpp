#include "models/weights/quantised.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/where.h>

#include <algorithm>

#include "models/weights/name_pattern.h"
#include "models/weights/safetensors.h"
#include "models/weights/tensor_text.h"
#include "runtime/core/error.h"

namespace duet::models {
namespace {

const std::string kScaleSuffix = ".scale";

// [R] as [R, 1, ...], to multiply a tensor of `dims` dimensions by rows.
at::Tensor as_column(const at::Tensor& scale, int64_t dims) {
  std::vector<int64_t> shape(static_cast<size_t>(dims), 1);
  shape[0] = scale.numel();
  return scale.reshape(shape);
}

bool is_kept(const std::string& name, const at::Tensor& tensor, const QuantiseOptions& options) {
  if (tensor.dim() < 2 || tensor.numel() < options.min_numel) return true;
  if (matches_pattern("*.fb", name) || matches_pattern("*.window", name)) return true;
  return std::any_of(options.keep.begin(), options.keep.end(),
                     [&](const std::string& pattern) { return matches_pattern(pattern, name); });
}

}  // namespace

TensorMap quantise(const TensorMap& tensors, const QuantiseOptions& options) {
  TensorMap out;
  for (const auto& [name, tensor] : tensors) {
    if (!tensor.is_floating_point()) {
      out[name] = tensor;
      continue;
    }
    const at::Tensor value = tensor.detach().to(at::kFloat).contiguous();
    if (!at::isfinite(value).all().item<bool>())
      throw core::LoadError(
          {.subject = name, .expected = "finite values", .found = "NaN or infinity", .hint = {}});
    if (is_kept(name, value, options)) {
      out[name] = value;
      continue;
    }
    if (value.numel() / value.size(0) < options.min_row_numel) {
      const at::Tensor half = value.to(at::kHalf);
      out[name] = at::isfinite(half).all().item<bool>() ? half : value;
      continue;
    }
    if (tensors.count(name + kScaleSuffix))
      throw core::LoadError({.subject = name + kScaleSuffix,
                             .expected = "no tensor of that name beside " + name,
                             .found = shape_text(tensors.at(name + kScaleSuffix).sizes()),
                             .hint = {}});
    at::Tensor scale = value.flatten(1).abs().amax(1).div(127);
    const at::Tensor divisor = at::where(scale.gt(0), scale, at::ones_like(scale));
    out[name] = value.div(as_column(divisor, value.dim())).round().clamp(-127, 127).to(at::kChar);
    out[name + kScaleSuffix] = scale;
  }
  return out;
}

TensorMap dequantise(TensorMap tensors, const std::string& source) {
  std::vector<std::string> used;
  for (auto& [name, tensor] : tensors) {
    if (tensor.scalar_type() != at::kChar) continue;
    const auto found = tensors.find(name + kScaleSuffix);
    if (found == tensors.end()) continue;
    const at::Tensor& scale = found->second;
    if (!scale.is_floating_point() || tensor.dim() < 1 || scale.dim() != 1 ||
        scale.size(0) != tensor.size(0))
      throw core::LoadError(
          {.subject = found->first,
           .expected = "one float for each row of " + name + " " + shape_text(tensor.sizes()),
           .found =
               std::string(c10::toString(scale.scalar_type())) + " " + shape_text(scale.sizes()),
           .file = source,
           .hint = {}});
    used.push_back(found->first);
    tensor = tensor.to(at::kFloat).mul_(as_column(scale.to(at::kFloat), tensor.dim()));
  }
  for (const std::string& name : used) tensors.erase(name);
  return tensors;
}

TensorMap load_weights(const std::string& path) { return dequantise(load_safetensors(path), path); }

}  // namespace duet::models
