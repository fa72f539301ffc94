#pragma once
// Keys and values of one attention layer, written in place. Three ways to bound it:
//  window > 0, sinks = 0: the last `window` positions (a model trained with that window: step
//  equals forward). window > 0, sinks > 0: the first `sinks` positions and the last `window -
//  sinks`, the sinks moved along so that
//    distances never exceed window - 1 (StreamingLLM, Xiao et al. 2023, section 3.2: positions by
//    cache slot). For models trained without a window.
//  window = 0: everything, as reference implementations do; capacity doubles when full. For parity
//  runs only.

#include <ATen/core/Tensor.h>

#include "models/nn/rope.h"
#include "runtime/core/move_only.h"

namespace duet::models::nn {

class KvCache {
 public:
  struct State : core::MoveOnly {
    at::Tensor keys, values;  ///< [B, heads, capacity, head_dim]; keys rotated.
    at::Tensor raw_sinks;  ///< [B, heads, sinks, head_dim]; keys of the sinks before rotation, to
                           ///< rotate anew.
    State clone() const;
    int64_t num_bytes() const;
  };
  struct View {
    at::Tensor keys, values;  ///< [B, heads, n, head_dim], aliasing the state; order of positions
                              ///< is not defined.
  };

  KvCache(int64_t heads, int64_t head_dim, int64_t window, int64_t sinks);

  /// Zeros, capacity `window` (or 1024 when unlimited).
  State initial_state(int64_t batch, at::ScalarType dtype = at::kFloat) const;

  /// Whether the sinks must be rotated anew at this position, and to which first position.
  bool sinks_move(int64_t position) const { return sinks_ > 0 && position >= window_; }
  int64_t first_sink_position(int64_t position) const { return position - (window_ - 1); }
  int64_t sinks() const { return sinks_; }

  /// Adds the key (raw and rotated) and value [B, heads, head_dim] of `position` (0, 1, 2, ...
  /// without gaps) and returns all that this position may attend to, itself included. `sink_angles`
  /// are those of `sinks` positions from first_sink_position(position) on; used only when
  /// sinks_move(position).
  View append(int64_t position, const at::Tensor& raw_key, const at::Tensor& key,
              const at::Tensor& value, const Rope::Angles& sink_angles, State& state) const;

 private:
  int64_t heads_, head_dim_, window_, sinks_;
};

}  // namespace duet::models::nn
