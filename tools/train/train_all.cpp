#include "tools/train/train_all.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <optional>

#include "runtime/bench/table.h"
#include "runtime/core/atomic_file.h"
#include "runtime/core/cancel.h"
#include "runtime/core/error.h"
#include "runtime/core/progress_bar.h"
#include "tools/train/child_process.h"

namespace duet::train {
namespace {

namespace fs = std::filesystem;

std::size_t find_stage(const StageRecipe& recipe, const std::string& file, const char* flag,
                       const std::string& name) {
  std::string known;
  for (std::size_t i = 0; i < recipe.stages.size(); ++i) {
    if (recipe.stages[i].name == name) return i;
    known += (known.empty() ? "" : ", ") + recipe.stages[i].name;
  }
  throw core::ConfigError({.subject = flag,
                           .expected = "a stage (" + known + ")",
                           .found = name,
                           .file = file,
                           .hint = {}});
}

/// Stages [first, last) are wanted; those that are `is_forced` even when they are done.
struct Wanted {
  std::size_t first, last;
  bool is_forced;
};

Wanted wanted_stages(const TrainAllOptions& options, const StageRecipe& recipe) {
  if (!options.only.empty()) {
    const std::size_t only = find_stage(recipe, options.config, "--only", options.only);
    return {only, only + 1, true};
  }
  if (options.from.empty()) return {0, recipe.stages.size(), false};
  return {find_stage(recipe, options.config, "--from", options.from), recipe.stages.size(), true};
}

class Run {
 public:
  Run(const StageRecipe& recipe, const Wanted& wanted)
      : recipe_(recipe), wanted_(wanted), bar_("all", units(recipe, wanted)) {}

  /// False after Ctrl-C.
  bool run() {
    const core::InterruptScope interrupt_scope;
    bool is_anew = wanted_.is_forced;
    for (std::size_t i = wanted_.first; i < wanted_.last; ++i) {
      const Stage& stage = recipe_.stages[i];
      StageState state = read_state(recipe_.out_dir, stage);
      StageNeed need = need_of(stage, state);
      // What was forced and then stopped is resumed, not begun again.
      if (is_anew && need == StageNeed::kDone) need = StageNeed::kRestart;
      if (need == StageNeed::kDone) {
        bar_.message(title(i) + "done before, in " + core::format_duration(state.seconds));
      } else if (!run_stage(i, need, state)) {
        return false;
      }
      done_minutes_ += stage.minutes;
    }
    bar_.finish();
    return true;
  }

 private:
  static std::int64_t units(const StageRecipe& recipe, const Wanted& wanted) {
    double minutes = 0.0;
    for (std::size_t i = wanted.first; i < wanted.last; ++i) minutes += recipe.stages[i].minutes;
    return std::max<std::int64_t>(1, static_cast<std::int64_t>(60.0 * minutes));
  }
  std::string title(std::size_t index) const {
    return std::to_string(index + 1) + " of " + std::to_string(recipe_.stages.size()) + ": " +
           recipe_.stages[index].name + "  ";
  }

  bool run_stage(std::size_t index, StageNeed need, StageState state) {
    const Stage& stage = recipe_.stages[index];
    if (need != StageNeed::kResume) state.seconds = 0.0;
    state.kind = StageState::Kind::kStarted;
    state.fingerprint = fingerprint(stage);
    write_state(recipe_.out_dir, stage, state);
    const bool restarts = stage.is_training && need == StageNeed::kRestart;
    const std::string log = (fs::path(recipe_.out_dir) / (stage.name + ".log")).string();
    const auto begin = std::chrono::steady_clock::now();
    const double before = state.seconds;
    const auto seconds = [&] {
      const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
      return took.count();
    };
    const ChildResult result = run_child(
        stage.command + (restarts ? " --restart" : ""), log, [] { return core::interrupted(); },
        [&] { show(index, last_line(log)); });
    state.seconds = before + seconds();
    write_state(recipe_.out_dir, stage, state);
    if (result.was_interrupted) {
      bar_.message(title(index) + "stopped; the same command goes on from there");
      return false;
    }
    if (result.exit_code != 0) {
      throw core::LoadError({.subject = "stage " + stage.name,
                             .expected = "exit code 0",
                             .found = std::to_string(result.exit_code) + ": " + last_line(log),
                             .file = log,
                             .hint = "the same command goes on from this stage"});
    }
    require_outputs(stage);
    state.kind = StageState::Kind::kDone;
    write_state(recipe_.out_dir, stage, state);
    bar_.message(title(index) + "done in " + core::format_duration(state.seconds));
    return true;
  }

  void show(std::size_t index, const std::string& line) {
    const double share = std::max(0.0, share_in(line));
    bar_.update(
        static_cast<std::int64_t>(60.0 * (done_minutes_ + share * recipe_.stages[index].minutes)),
        title(index) + line);
  }

  static void require_outputs(const Stage& stage) {
    for (const std::string& path : stage.outputs) {
      if (fs::exists(path)) continue;
      throw core::LoadError({.subject = "stage " + stage.name,
                             .expected = "the output " + path,
                             .found = "no such file, though it ended well",
                             .file = {},
                             .hint = {}});
    }
  }

  const StageRecipe& recipe_;
  Wanted wanted_;
  core::ProgressBar bar_;
  double done_minutes_ = 0.0;
};

void print_plan(const StageRecipe& recipe, const Wanted& wanted) {
  for (std::size_t i = wanted.first; i < wanted.last; ++i) {
    const Stage& stage = recipe.stages[i];
    const StageState state = read_state(recipe.out_dir, stage);
    const StageNeed need = need_of(stage, state);
    const std::string time = need == StageNeed::kDone
                                 ? "in " + core::format_duration(state.seconds)
                                 : "about " + core::format_duration(60.0 * stage.minutes);
    std::printf("%2zu %-16s %-10s %-16s %s\n", i + 1, stage.name.c_str(),
                wanted.is_forced ? "to do anew" : name_of(need), time.c_str(),
                stage.command.c_str());
  }
}

void write_report(const StageRecipe& recipe) {
  namespace bench = runtime::bench;
  const bench::Table table =
      recipe.table.empty() ? bench::Table{.name = "training"} : bench::load_table(recipe.table);
  core::write_file_atomically(
      recipe.page, bench::to_html(table, {.work = recipe.work, .more = training_html(recipe)}));
  std::printf("%s\n", recipe.page.c_str());
}

std::string this_program() {
  std::error_code error;
  const fs::path path = fs::read_symlink("/proc/self/exe", error);
  return error ? "duet" : path.string();
}

}  // namespace

int train_all(const TrainAllOptions& options) {
  const StageRecipe recipe = read_stage_recipe(
      options.config, options.overrides, options.duet.empty() ? this_program() : options.duet);
  const Wanted wanted = wanted_stages(options, recipe);
  if (options.is_dry_run) {
    print_plan(recipe, wanted);
    return 0;
  }
  fs::create_directories(recipe.out_dir);
  if (!Run(recipe, wanted).run()) return 130;
  if (recipe.table.empty() || fs::exists(recipe.table)) write_report(recipe);
  return 0;
}

}  // namespace duet::train
