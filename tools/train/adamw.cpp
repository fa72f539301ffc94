#include "tools/train/adamw.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <cmath>

#include "runtime/core/error.h"

namespace duet::train {

AdamW::AdamW(const Config& config, const ParameterStore& store, std::vector<std::string> prefixes)
    : config_(config) {
  for (const auto& [name, parameter] : store.parameters()) {
    bool wanted = prefixes.empty();
    for (const std::string& prefix : prefixes) wanted = wanted || name.starts_with(prefix);
    if (!wanted || !parameter.requires_grad()) continue;
    Slot slot{name, parameter, at::zeros_like(parameter), at::zeros_like(parameter), 1.0};
    size_t longest = 0;
    for (const auto& [prefix, factor] : config.multipliers) {
      if (!name.starts_with(prefix) || prefix.size() < longest) continue;
      longest = prefix.size();
      slot.multiplier = factor;
    }
    slots_.push_back(std::move(slot));
  }
}

void AdamW::zero_grad() {
  for (Slot& slot : slots_) slot.parameter.mutable_grad() = at::Tensor();
}

double AdamW::step(double lr_factor) {
  const c10::NoGradGuard no_grad;
  double squares = 0.0;
  for (const Slot& slot : slots_)
    if (slot.parameter.grad().defined())
      squares += std::pow(slot.parameter.grad().norm().item<double>(), 2.0);
  const double norm = std::sqrt(squares);
  if (!std::isfinite(norm)) {
    ++skipped_;
    return norm;
  }
  ++count_;
  const double scale =
      config_.clip_norm > 0 && norm > config_.clip_norm ? config_.clip_norm / norm : 1.0;
  const double correction1 = 1.0 - std::pow(config_.beta1, static_cast<double>(count_));
  const double correction2 = 1.0 - std::pow(config_.beta2, static_cast<double>(count_));
  const auto beta1 = static_cast<float>(config_.beta1), beta2 = static_cast<float>(config_.beta2);
  const auto root = static_cast<float>(1.0 / std::sqrt(correction2)),
             epsilon = static_cast<float>(config_.epsilon);
  const auto gradient_scale = static_cast<float>(scale);
  for (Slot& slot : slots_) {
    if (!slot.parameter.grad().defined()) continue;
    const at::Tensor gradient = slot.parameter.grad().contiguous();
    const double rate = config_.learning_rate * slot.multiplier * lr_factor;
    const auto step_size = static_cast<float>(rate / correction1);
    const auto keep =
        static_cast<float>(slot.parameter.dim() > 1 ? 1.0 - rate * config_.weight_decay : 1.0);
    float* p = slot.parameter.data_ptr<float>();
    float* m = slot.m.data_ptr<float>();
    float* v = slot.v.data_ptr<float>();
    const float* g = gradient.data_ptr<float>();
    const int64_t count = slot.parameter.numel();
    for (int64_t i = 0; i < count; ++i) {
      const float gi = g[i] * gradient_scale;
      m[i] = beta1 * m[i] + (1.0F - beta1) * gi;
      v[i] = beta2 * v[i] + (1.0F - beta2) * gi * gi;
      p[i] = p[i] * keep - step_size * m[i] / (std::sqrt(v[i]) * root + epsilon);
    }
  }
  return norm;
}

void AdamW::save(models::TensorMap& out, const std::string& prefix) const {
  for (const Slot& slot : slots_) {
    out[prefix + "m." + slot.name] = slot.m.clone();
    out[prefix + "v." + slot.name] = slot.v.clone();
  }
  out[prefix + "count"] = at::full({1}, count_, at::kLong);
}

void AdamW::load(const models::TensorMap& in, const std::string& prefix) {
  const auto take = [&](const std::string& name, at::Tensor& to) {
    const auto found = in.find(name);
    if (found == in.end() || found->second.sizes() != to.sizes())
      throw core::LoadError({.subject = name,
                             .expected = "the optimizer's state",
                             .found = "none of this shape",
                             .file = {},
                             .hint = "the checkpoint belongs to another configuration"});
    to.copy_(found->second);
  };
  for (Slot& slot : slots_) {
    take(prefix + "m." + slot.name, slot.m);
    take(prefix + "v." + slot.name, slot.v);
  }
  at::Tensor count = at::zeros({1}, at::kLong);
  take(prefix + "count", count);
  count_ = count.item<int64_t>();
}

}  // namespace duet::train
