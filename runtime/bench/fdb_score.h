#pragma once
// Scores folders of Full-Duplex-Bench in which a system has answered, and lets a system answer
// them.

#include <string>
#include <vector>

#include "runtime/bench/fdb_layout.h"
#include "runtime/bench/suite_run.h"
#include "runtime/bench/system.h"
#include "runtime/scorer.h"

namespace duet::runtime::bench::fdb {

struct ScoreOptions {
  bool is_compatible = false;     ///< With the published code's quirks; see docs/bench.md.
  bool uses_transcripts = true;   ///< output.json where it is; else words from the sound alone.
  std::string people = {};        ///< icc_gt_distribution.json; empty: no JSD.
  bool writes_intervals = false;  ///< v1.5: latency_intervals.json into each folder.
};

/// One figure of a subset.
struct Figure {
  std::string subset, name;  ///< "candor_turn_taking", "TOR".
  std::string unit;          ///< "share", "s", "1/s", "".
  bool is_lower_better = true;
  Estimate estimate;
};

struct Report {
  bool is_compatible = false;
  std::size_t num_transcribed = 0, num_by_sound = 0;  ///< Where the samples' words come from.
  std::vector<Figure> figures;
  std::vector<std::string> problems;  ///< Samples that could not be scored, and why.

  std::string to_text() const;
  /// Schema "duet.bench.fdb/1".
  std::string to_json() const;
};

/// Throws core::LoadError when there is nothing to score.
Report score(const std::string& root, const ScoreOptions& options);

/// Plays every input.wav (v1.5: clean_input.wav, too) to the system and writes output.wav (mono,
/// PCM16, as long as the input and in step with it) and output.json beside it; of interruptions,
/// the words after the user's end only, as the published recogniser step does. Samples that have an
/// output.wav are left alone unless `again`. Returns those that failed, with the reason.
std::vector<std::string> answer(const System& system, const std::string& root,
                                const SessionOptions& session, bool again, const SuiteHooks& hooks);

/// Writes subsets from a suite of scripts, on its fixed timeline: interruptions as
/// synthetic_user_interruption (one a dialogue: the first), pauses as synthetic_pause_handling,
/// backchannels as v1_5/user_backchannel. Returns the number of samples.
std::size_t make_from_suite(const Script& script, const std::string& root);

}  // namespace duet::runtime::bench::fdb
