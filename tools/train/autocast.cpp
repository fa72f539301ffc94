#include "tools/train/autocast.h"

#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <torch/version.h>

namespace duet::train {
namespace {

bool is_enabled() {
#if TORCH_VERSION_MAJOR >= 2
  return at::autocast::is_autocast_enabled(at::kCPU);
#else
  return at::autocast::is_cpu_enabled();
#endif
}

void set_enabled(bool enabled) {
#if TORCH_VERSION_MAJOR >= 2
  at::autocast::set_autocast_dtype(at::kCPU, at::kBFloat16);
  at::autocast::set_autocast_enabled(at::kCPU, enabled);
#else
  at::autocast::set_autocast_cpu_dtype(at::kBFloat16);
  at::autocast::set_cpu_enabled(enabled);
#endif
}

}  // namespace

Autocast::Autocast(bool enabled) : previous_(is_enabled()) {
  at::autocast::increment_nesting();
  set_enabled(enabled);
}

Autocast::~Autocast() {
  // Leaving the outermost scope drops the cached bf16 copies of the weights: they are stale after
  // an optimizer step.
  if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
  set_enabled(previous_);
}

}  // namespace duet::train
