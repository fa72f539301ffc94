#include "models/nn/kv_cache.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "runtime/core/error.h"

namespace duet::models::nn {
namespace {

constexpr int64_t kUnlimitedStart = 1024;

int64_t bytes_of(const at::Tensor& tensor) {
  return tensor.defined() ? static_cast<int64_t>(tensor.nbytes()) : 0;
}

void double_capacity(at::Tensor& tensor) { tensor = at::cat({tensor, at::zeros_like(tensor)}, 2); }

}  // namespace

KvCache::State KvCache::State::clone() const {
  State copy;
  copy.keys = keys.clone();
  copy.values = values.clone();
  if (raw_sinks.defined()) copy.raw_sinks = raw_sinks.clone();
  return copy;
}

int64_t KvCache::State::num_bytes() const {
  return bytes_of(keys) + bytes_of(values) + bytes_of(raw_sinks);
}

KvCache::KvCache(int64_t heads, int64_t head_dim, int64_t window, int64_t sinks)
    : heads_(heads), head_dim_(head_dim), window_(window), sinks_(window > 0 ? sinks : 0) {
  DUET_CHECK(window == 0 || sinks < window);
}

KvCache::State KvCache::initial_state(int64_t batch, at::ScalarType dtype) const {
  const auto options = at::TensorOptions().dtype(dtype);
  State state;
  state.keys =
      at::zeros({batch, heads_, window_ > 0 ? window_ : kUnlimitedStart, head_dim_}, options);
  state.values = at::zeros_like(state.keys);
  if (sinks_ > 0) state.raw_sinks = at::zeros({batch, heads_, sinks_, head_dim_}, options);
  return state;
}

KvCache::View KvCache::append(int64_t position, const at::Tensor& raw_key, const at::Tensor& key,
                              const at::Tensor& value, const Rope::Angles& sink_angles,
                              State& state) const {
  int64_t slot = position;
  if (window_ > 0 && position >= sinks_) slot = sinks_ + (position - sinks_) % (window_ - sinks_);
  if (slot >= state.keys.size(2)) {
    DUET_CHECK(window_ == 0);
    double_capacity(state.keys);
    double_capacity(state.values);
  }
  state.keys.select(2, slot).copy_(key);
  state.values.select(2, slot).copy_(value);
  if (position < sinks_) state.raw_sinks.select(2, position).copy_(raw_key);
  if (sinks_move(position)) {
    const at::Tensor moved =
        Rope::rotate(state.raw_sinks.transpose(1, 2), sink_angles);  // [B, sinks, heads, d]
    state.keys.narrow(2, 0, sinks_).copy_(moved.transpose(1, 2));
  }
  const int64_t filled = std::min(position + 1, state.keys.size(2));
  return {state.keys.narrow(2, 0, filled), state.values.narrow(2, 0, filled)};
}

}  // namespace duet::models::nn
