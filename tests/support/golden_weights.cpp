#include "tests/support/golden_weights.h"

#include <ATen/ATen.h>

#include <cmath>

namespace duet::test {

uint32_t fnv1a(std::string_view text) {
  uint32_t hash = 2166136261U;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619U;
  return hash;
}

at::Tensor golden_tensor(std::string_view name, at::IntArrayRef shape) {
  at::Tensor out = at::empty(shape, at::kFloat);
  const int64_t count = out.numel();
  double offset = 0.0, gain = 0.1;
  if (name.ends_with("original0")) {
    offset = 0.6, gain = 0.2;
  } else if (name.ends_with("alpha") || name.ends_with("running_var")) {
    offset = 1.0, gain = 0.3;
  } else if (shape.size() == 1) {
    if (name.ends_with("weight")) offset = 1.0;
  } else if (name.find("pos_bias") != std::string_view::npos) {
    gain = 0.2;
  } else {
    gain = 1.5 / std::sqrt(static_cast<double>(count) / static_cast<double>(shape[0]));
  }
  const double phase = 0.01 * static_cast<double>(fnv1a(name) % 1000U);
  float* values = out.data_ptr<float>();
  for (int64_t i = 0; i < count; ++i)
    values[i] =
        static_cast<float>(offset + gain * std::sin(0.7 * static_cast<double>(i + 1) + phase));
  return out;
}

at::Tensor GoldenWeightReader::parameter(const std::string& name, at::IntArrayRef shape,
                                         models::Init) {
  at::Tensor value = golden_tensor(name, shape);
  tensors_[name] = value;
  return value;
}

at::Tensor GoldenWeightReader::buffer(const std::string& name, at::IntArrayRef shape,
                                      const std::function<at::Tensor()>& make) {
  const bool from_name = name.ends_with("running_mean") || name.ends_with("running_var") || !make;
  at::Tensor value = from_name ? golden_tensor(name, shape) : make();
  tensors_[name] = value;
  return value;
}

bool GoldenWeightReader::contains(const std::string& name) const {
  if (name.ends_with("weight_g") || name.ends_with("weight_v") ||
      name.find("lora_") != std::string::npos || name.find("base_layer") != std::string::npos)
    return false;
  return !(name.starts_with("audio_codec.") && name.ends_with("conv.weight"));
}

}  // namespace duet::test
