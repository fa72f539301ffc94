#include "tools/speed/random_weights.h"

#include <ATen/ATen.h>

#include <cmath>

namespace duet::speed {

namespace {

bool ends_with_any(const std::string& name, std::initializer_list<const char*> endings) {
  for (const char* ending : endings)
    if (name.ends_with(ending)) return true;
  return false;
}

}  // namespace

at::Tensor RandomWeightReader::random(at::IntArrayRef shape, double scale) {
  std::vector<std::int64_t> key(shape.begin(), shape.end());
  if (options_.shares_layers)
    if (const auto found = by_shape_.find(key); found != by_shape_.end()) return found->second;
  const at::Tensor tensor = at::empty(shape, at::kFloat);
  float* values = tensor.data_ptr<float>();
  const std::int64_t count = tensor.numel(), width = shape.empty() ? 1 : count / shape[0];
  // Uniform over 255 integers has the wanted standard deviation with this step.
  const auto step = static_cast<float>(scale * std::sqrt(3.0) / 127.0);
  for (std::int64_t i = 0; i < count; ++i) {
    state_ = state_ * 6364136223846793005ULL + 1442695040888963407ULL;  // Knuth's MMIX
    const std::uint64_t bits = state_ >> 32;
    if (options_.is_int8) {
      // The first of a row is the largest: its scale is then the step.
      const auto integer = i % width == 0 ? 127 : static_cast<int>(bits % 255) - 127;
      values[i] = static_cast<float>(integer) * step;
    } else {
      values[i] = (static_cast<float>(bits) * 0x1p-32F - 0.5F) * 254.0F * step;
    }
  }
  if (options_.shares_layers) by_shape_[key] = tensor;
  return tensor;
}

at::Tensor RandomWeightReader::parameter(const std::string& name, at::IntArrayRef shape,
                                         models::Init init) {
  std::int64_t count = 1;
  for (const std::int64_t size : shape) count *= size;
  num_values_ += count;
  using Kind = models::Init::Kind;
  if (ends_with_any(name, {"alpha"})) return at::ones(shape);  // Of the snake: it is divided by.
  switch (init.kind) {
    case Kind::kZeros: return at::zeros(shape);
    case Kind::kOnes: return at::ones(shape);
    case Kind::kConstant: return at::full(shape, init.scale, at::kFloat);
    case Kind::kNormal: return random(shape, init.scale);
    case Kind::kFanIn: break;
  }
  if (shape.size() < 2) return name.ends_with("weight") ? at::ones(shape) : at::zeros(shape);
  return random(shape, init.scale / std::sqrt(static_cast<double>(count / shape[0])));
}

at::Tensor RandomWeightReader::buffer(const std::string& name, at::IntArrayRef shape,
                                      const std::function<at::Tensor()>& make) {
  const at::Tensor value = make                             ? make()
                           : name.ends_with("running_var")  ? at::ones(shape)
                           : name.ends_with("running_mean") ? at::zeros(shape)
                                                            : random(shape, 0.1);
  num_values_ += value.numel();
  return value;
}

bool RandomWeightReader::contains(const std::string& name) const {
  return !ends_with_any(name, {"weight_g", "weight_v", "original0", "original1"}) &&
         name.find("lora_") == std::string::npos && name.find("base_layer") == std::string::npos;
}

}  // namespace duet::speed
