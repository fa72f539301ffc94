#include "tools/train/autocast.h"

#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <torch/version.h>

#include <cstdio>

namespace duet::train {
namespace {

// LibTorch 1.13 refuses bf16 beside fp32 weights in some kernels (layer norm): fp32 there.
#if TORCH_VERSION_MAJOR >= 2
bool is_enabled() { return at::autocast::is_autocast_enabled(at::kCPU); }

void set_enabled(bool enabled) {
  at::autocast::set_autocast_dtype(at::kCPU, at::kBFloat16);
  at::autocast::set_autocast_enabled(at::kCPU, enabled);
}
#else
bool is_enabled() { return false; }

void set_enabled(bool enabled) {
  static bool is_told = false;
  if (enabled && !is_told)
    std::fprintf(stderr, "bf16 needs LibTorch 2: this is %s, training goes on in fp32\n",
                 TORCH_VERSION);
  is_told = is_told || enabled;
}
#endif

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
