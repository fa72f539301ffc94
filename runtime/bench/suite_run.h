#pragma once
// A whole suite: dialogues side by side on threads, each with its control runs; one JSON and one
// WAV a dialogue in a folder, from which a run that was stopped goes on.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "runtime/bench/dialog_result.h"
#include "runtime/bench/script.h"
#include "runtime/bench/system.h"
#include "runtime/engine.h"

namespace duet::runtime::bench {

struct SuiteOptions {
  std::optional<Mode> mode = std::nullopt;  ///< Unset: the script's.
  SessionOptions session = {};
  std::string folder = {};  ///< Of the JSON and WAV files; empty: nothing is kept.
  int num_threads = 0;      ///< 0: one a core that this process may use.
  /// Dialogues whose steps are done together (batching_engine.h): the time of a step is theirs
  /// together.
  int num_sharing = 1;
  std::size_t limit = 0;  ///< At most so many dialogues, from the first; 0: all.
  int max_attempts = 3;   ///< At a dialogue whose connection is lost (LostError::may_retry).
};

struct SuiteHooks {
  /// After each dialogue, from one thread at a time.
  std::function<void(std::size_t done, std::size_t total)> on_progress = {};
  std::function<bool()> should_stop = {};
};

struct SuiteResult {
  std::string system;  ///< "coffee-bar 0.2", or the folder of finished outputs.
  std::string suite;
  std::string fingerprint;
  Mode mode = Mode::kFixed;
  std::uint64_t seed = 0;        ///< Of the sampler.
  std::uint64_t suite_seed = 0;  ///< Of the script's ranges.
  double temperature = 0.0;
  std::string dtype;
  std::size_t num_dialogs = 0;            ///< Wanted.
  std::size_t num_resumed = 0;            ///< Taken from files.
  std::vector<DialogResult> dialogs;      ///< Done, in the script's order.
  double audio_s = 0.0, compute_s = 0.0;  ///< Of all steps, control runs included.

  bool is_complete() const noexcept { return dialogs.size() == num_dialogs; }
};

/// A dialogue whose engine or server fails gets a row with the error. After three of these in a row
/// that never got a connection the rest is not tried. Throws core::LoadError (audio, folder) and
/// core::ConfigError (options).
SuiteResult run_suite(const System& system, const Script& script, const SuiteOptions& options,
                      const SuiteHooks& hooks = {});
SuiteResult run_suite(const Engine& engine, const Script& script, const SuiteOptions& options,
                      const SuiteHooks& hooks = {});

/// Writes what another system needs in order to be measured: `<id>.wav`, the user's channel of a
/// fixed timeline, and for each event that needs a control run `<id>.without-<event>.wav`. Returns
/// the number of files.
std::size_t render_suite(const Script& script, const std::string& folder, int rate_hz = 16000);

/// Scores what another system gave: `<id>.wav` (one channel, or two of which the agent is the
/// second), time-synchronous with the rendered user channel, and, where they are, the same for
/// `<id>.without-<event>.wav`. A dialogue without a file gets a row with an error.
SuiteResult score_outputs(const Script& script, const std::string& folder,
                          const std::string& keep_folder = "");

}  // namespace duet::runtime::bench
