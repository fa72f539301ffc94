#pragma once
// `duet train all`: a recipe of stages, each a program with files that it reads and files that it
// leaves behind. A stage is done when it ended well on the same command, recipe and inputs.

#include <string>
#include <vector>

namespace duet::train {

struct Stage {
  std::string name;
  std::string command;               ///< For /bin/sh.
  std::string recipe;                ///< Of a training: its file belongs to the inputs.
  bool is_training = false;          ///< Takes --restart, and resumes without it.
  std::vector<std::string> inputs;   ///< Files.
  std::vector<std::string> outputs;  ///< Files or folders.
  double minutes = 1.0;              ///< About; for the share of a progress view.
  std::string metrics;               ///< metrics.jsonl of a training, for its curves; may be empty.
};

struct StageRecipe {
  std::string out_dir;  ///< What is done, logs.
  std::vector<Stage> stages;
  std::string table,
      work;          ///< JSON of `duet bench all` and its --work; empty: no table in the report.
  std::string page;  ///< The report.
};

/// Reads a recipe (configs/train/coffee-bar.yaml explains the keys); `duet` stands for ${duet}
/// unless the recipe says otherwise. Throws core::ConfigError: keys, unknown ${names}, two stages
/// of one name, inputs and recipes that are neither there nor the output of a stage before.
StageRecipe read_stage_recipe(const std::string& path, const std::vector<std::string>& overrides,
                              const std::string& duet);

/// What `out_dir` remembers of a stage.
struct StageState {
  enum class Kind { kNew, kStarted, kDone };
  Kind kind = Kind::kNew;
  std::string fingerprint;
  double seconds = 0.0;  ///< Of all runs of it.
};
StageState read_state(const std::string& out_dir, const Stage& stage);
void write_state(const std::string& out_dir, const Stage& stage, const StageState& state);

/// Of command, recipe and inputs as they are now (files by size and time).
std::string fingerprint(const Stage& stage);

enum class StageNeed {
  kDone,     ///< Nothing to do.
  kStart,    ///< Never begun.
  kResume,   ///< Begun on the same inputs, and stopped.
  kRestart,  ///< Something it was made from has changed, or an output is gone.
};
StageNeed need_of(const Stage& stage, const StageState& state);
const char* name_of(StageNeed need);

}  // namespace duet::train
