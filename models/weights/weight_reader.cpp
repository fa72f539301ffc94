#include "models/weights/weight_reader.h"

#include <ATen/ATen.h>

#include "models/weights/name_pattern.h"
#include "models/weights/tensor_text.h"
#include "runtime/core/error.h"

namespace duet::models {

TensorMapReader::TensorMapReader(TensorMap tensors, std::string source,
                                 std::vector<std::string> ignorable)
    : tensors_(std::move(tensors)), source_(std::move(source)), ignorable_(std::move(ignorable)) {}

at::Tensor TensorMapReader::take(const std::string& name, at::IntArrayRef shape) {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) {
    problems_.push_back(name + ": expected " + shape_text(shape) + ", found nothing");
    return at::zeros(shape);
  }
  used_[name] = true;
  if (found->second.sizes() != shape) {
    problems_.push_back(name + ": expected " + shape_text(shape) + ", found " +
                        shape_text(found->second.sizes()));
    return at::zeros(shape);
  }
  at::Tensor value = found->second.is_floating_point() ? found->second.to(at::kFloat).contiguous()
                                                       : found->second.contiguous();
  if (value.is_floating_point() && !at::isfinite(value).all().item<bool>())
    problems_.push_back(name + ": expected finite values, found NaN or infinity");
  return value;
}

at::Tensor TensorMapReader::parameter(const std::string& name, at::IntArrayRef shape, Init) {
  return take(name, shape);
}

at::Tensor TensorMapReader::buffer(const std::string& name, at::IntArrayRef shape,
                                   const std::function<at::Tensor()>& make) {
  if (make && !contains(name)) return make();
  return take(name, shape);
}

bool TensorMapReader::contains(const std::string& name) const { return tensors_.count(name) != 0; }

void TensorMapReader::finish() {
  for (const auto& [name, tensor] : tensors_) {
    if (used_.count(name)) continue;
    bool ignorable = false;
    for (const std::string& pattern : ignorable_)
      ignorable = ignorable || matches_pattern(pattern, name);
    if (!ignorable)
      problems_.push_back(name + ": expected no such tensor, found " + shape_text(tensor.sizes()));
  }
  if (problems_.empty()) return;
  std::string all = problems_.front();
  for (size_t i = 1; i < problems_.size(); ++i) all += "; " + problems_[i];
  throw core::LoadError({.subject = all, .expected = {}, .found = {}, .file = source_, .hint = {}});
}

}  // namespace duet::models
