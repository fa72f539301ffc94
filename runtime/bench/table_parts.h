#pragma once
// Measuring one part of the big table with an engine, and keeping what came of it: a folder a part,
// with figures.json when it is done, so that a run that was stopped goes on.

#include <functional>
#include <optional>
#include <string>

#include "runtime/bench/table.h"
#include "runtime/engine.h"

namespace duet::runtime::bench {

struct MeasureContext {
  const Engine* engine = nullptr;  ///< Shares steps (batching_engine.h) where `num_at_once` > 1.
  std::string work = {};           ///< Folder; a folder a part below it.
  int num_at_once = 1;             ///< Dialogues side by side.
  int num_cores = 1;               ///< Of them that compute.
  /// Times steps (tools/speed is above this folder). Empty: speed is "not measured".
  std::function<SpeedReport(int num_steps)> measure_speed = {};
  std::function<void(double share)> on_progress = {};  ///< Of this part, 0 to 1.
  std::function<bool()> should_stop = {};
};

/// Rough: seconds of audio to be stepped. For the shares of a progress view.
double cost_of(const TablePart& part);

/// The part, from its folder where the same measurement of the same model is done already. Material
/// that is not there gives PartResult::missing. Nothing when it was told to stop: what can be
/// resumed is in the folder. Throws as run_suite and evaluate_questions do.
std::optional<PartResult> measure_part(const TablePart& part, const MeasureContext& context);

}  // namespace duet::runtime::bench
