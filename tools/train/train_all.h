#pragma once
// `duet train all RECIPE`: the stages of a recipe one after the other, one progress view, and a
// report.

#include <string>
#include <vector>

#include "tools/train/stages.h"

namespace duet::train {

struct TrainAllOptions {
  std::string config = {};                  ///< YAML, see configs/train/coffee-bar.yaml.
  std::vector<std::string> overrides = {};  ///< key=value
  std::string only = {}, from = {};         ///< Names of stages; they are done anew.
  bool is_dry_run = false;                  ///< Says what would be done.
  std::string duet = {};                    ///< The program for ${duet}; empty: this one.
};

/// 0; 130 after Ctrl-C, and the next call goes on from there. Throws core::ConfigError (recipe,
/// names) and core::LoadError: a stage that failed, with its last line and its log; the stages
/// before it are done.
int train_all(const TrainAllOptions& options);

/// The report's part about training: what each stage took, and the curves of those with metrics.
std::string training_html(const StageRecipe& recipe);

}  // namespace duet::train
