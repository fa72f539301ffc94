#pragma once
// The loop around every training: schedule, budget, progress line with ETA, metrics as JSONL,
// checkpoints that resume, Ctrl-C that saves. What one step does is the task's affair.

#include <cstdint>
#include <functional>
#include <map>
#include <random>
#include <string>

#include "models/weights/weight_reader.h"
#include "tools/train/parameter_store.h"

namespace duet::train {

using Metrics = std::map<std::string, double>;

struct StepContext {
  int64_t step = 0;        ///< From 0.
  double progress = 0.0;   ///< 0..1 of the planned run.
  double lr_factor = 1.0;  ///< Warm-up, then cosine to `final_lr_ratio`.
};

/// One kind of training. `rng` is the only source of randomness, so that a resumed run equals an
/// uninterrupted one.
class TrainTask {
 public:
  virtual ~TrainTask() = default;
  virtual std::string name() const = 0;
  /// Forward, backward and optimizer. Returns what the progress line shows ("loss" at least).
  virtual Metrics step(const StepContext& context, std::mt19937_64& rng) = 0;
  /// Held-out figures; called every `evaluate_every` steps and at the end.
  virtual Metrics evaluate() { return {}; }
  /// Optimizer and data state beyond the parameters.
  virtual void save(models::TensorMap& out) const = 0;
  virtual void load(const models::TensorMap& in) = 0;
};

struct LoopConfig {
  std::string out_dir;  ///< Checkpoint, metrics.jsonl; made when missing.
  int64_t max_steps = 1000;
  double budget_minutes =
      0.0;  ///< > 0: the schedule follows the clock, whichever of the two ends first.
  int64_t warmup_steps = 100;
  double final_lr_ratio = 0.02;
  double save_every_minutes = 5.0;
  int64_t evaluate_every = 0;  ///< Steps; 0: only at the end.
  int64_t log_every = 10;
  uint64_t seed = 1;
  bool resume = true;  ///< Go on from out_dir/checkpoint.safetensors when it is there.
};

enum class LoopEnd { kFinished, kInterrupted };

/// Runs until max_steps, the budget or Ctrl-C (core::interrupted); always saves before returning.
/// With budget_minutes = 0 a resumed run is bit-identical to an uninterrupted one.
LoopEnd run_training(TrainTask& task, ParameterStore& store, const LoopConfig& config);

/// Warm-up then cosine.
double schedule(int64_t step, double progress, int64_t warmup_steps, double final_lr_ratio);

}  // namespace duet::train
