#pragma once
// Times the parts of a step as the engine runs them (runtime/engine/torch_engine.cpp): encoder, LM,
// sampler, codec. Input is noise at -40 dBFS; what is said is heard back.

#include <functional>
#include <vector>

#include "runtime/bench/speed.h"
#include "tools/speed/parts.h"

namespace duet::speed {

struct MeasureOptions {
  int num_steps = 200;
  int num_warm_up = 10;
  int num_threads = 1;            ///< Of LibTorch. The engine's sessions use one.
  double max_seconds = 60.0;      ///< Of clock for each measurement: it then ends with fewer steps.
  std::vector<int> batches = {};  ///< Conversations in one step of the parts, e.g. 1, 2, 4, 8.
  std::function<bool()> should_stop = {};
  std::function<void(int done, int total)> on_progress = {};
};

/// Throws core::ConfigError for options out of range. At least one step is measured.
runtime::bench::SpeedReport measure(const Parts& parts, const MeasureOptions& options);

}  // namespace duet::speed
