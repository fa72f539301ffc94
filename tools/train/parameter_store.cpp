#include "tools/train/parameter_store.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <cmath>
#include <functional>
#include <sstream>

#include "runtime/core/error.h"

namespace duet::train {
namespace {

at::Tensor initial_value(at::IntArrayRef shape, models::Init init, uint64_t seed,
                         const std::string& name) {
  using Kind = models::Init::Kind;
  if (init.kind == Kind::kZeros) return at::zeros(shape);
  if (init.kind == Kind::kOnes) return at::ones(shape);
  if (init.kind == Kind::kConstant) return at::full(shape, init.scale);
  // One generator a name: adding a layer leaves all others' start as it was.
  at::Generator generator = at::detail::createCPUGenerator(seed ^ std::hash<std::string>{}(name));
  double deviation = init.scale;
  if (init.kind == Kind::kFanIn) {
    int64_t fan_in = 1;
    for (size_t i = 1; i < shape.size(); ++i) fan_in *= shape[i];
    deviation /= std::sqrt(static_cast<double>(fan_in));
  }
  return at::randn(shape, generator) * deviation;
}

std::string sizes_text(at::IntArrayRef sizes) {
  std::ostringstream out;
  out << sizes;
  return out.str();
}

}  // namespace

ParameterStore::ParameterStore(uint64_t seed, models::TensorMap initial, std::string source)
    : seed_(seed), initial_(std::move(initial)), source_(std::move(source)) {}

at::Tensor ParameterStore::parameter(const std::string& name, at::IntArrayRef shape,
                                     models::Init init) {
  for (const auto& [known, tensor] : parameters_)
    if (known == name) return tensor;  // a tied tensor is one parameter
  at::Tensor value;
  const auto found = initial_.find(name);
  if (found != initial_.end() && found->second.sizes() == shape) {
    value = found->second.to(at::kFloat).clone();
    ++from_source_;
  } else {
    if (found != initial_.end())
      problems_.push_back(name + ": expected " + sizes_text(shape) + ", found " +
                          sizes_text(found->second.sizes()));
    value = initial_value(shape, init, seed_, name);
  }
  value = value.contiguous();
  value.set_requires_grad(true);
  parameters_.emplace_back(name, value);
  return value;
}

at::Tensor ParameterStore::buffer(const std::string& name, at::IntArrayRef shape,
                                  const std::function<at::Tensor()>& make) {
  const auto found = initial_.find(name);
  at::Tensor value = found != initial_.end() && found->second.sizes() == shape
                         ? found->second.clone()
                     : make ? make()
                            : at::zeros(shape);
  buffers_.emplace_back(name, value);
  return value;
}

bool ParameterStore::contains(const std::string& name) const {
  return initial_.empty() || initial_.count(name) != 0;
}

void ParameterStore::finish() {
  if (problems_.empty()) return;
  std::string all = problems_.front();
  for (size_t i = 1; i < problems_.size(); ++i) all += "; " + problems_[i];
  throw core::LoadError({.subject = all, .expected = {}, .found = {}, .file = source_, .hint = {}});
}

int64_t ParameterStore::num_values() const {
  int64_t count = 0;
  for (const auto& [name, tensor] : parameters_) count += tensor.numel();
  return count;
}

void ParameterStore::freeze(const std::string& prefix) {
  for (auto& [name, tensor] : parameters_)
    if (name.starts_with(prefix)) tensor.set_requires_grad(false);
}

models::TensorMap ParameterStore::tensors() const {
  models::TensorMap out;
  for (const auto& [name, tensor] : parameters_) out[name] = tensor.detach().clone();
  for (const auto& [name, tensor] : buffers_) out[name] = tensor.detach().clone();
  return out;
}

void ParameterStore::assign(const models::TensorMap& tensors, const std::string& source) {
  const c10::NoGradGuard no_grad;
  for (auto& [name, tensor] : parameters_) {
    const auto found = tensors.find(name);
    if (found == tensors.end() || found->second.sizes() != tensor.sizes())
      throw core::LoadError(
          {.subject = name,
           .expected = sizes_text(tensor.sizes()),
           .found = found == tensors.end() ? "nothing" : sizes_text(found->second.sizes()),
           .file = source,
           .hint = "this checkpoint belongs to another configuration"});
    tensor.copy_(found->second);
  }
}

}  // namespace duet::train
