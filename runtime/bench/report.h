#pragma once
// A run as a table, as JSON ("duet.bench.report/1") and as one self-contained HTML page.

#include <string>

#include "runtime/bench/suite_run.h"

namespace duet::runtime::bench {

std::string to_text(const SuiteResult& result);

/// "interruption 12 of 20, pause 5 of 5": how many met the conditions of their definition (the
/// agent was active, the control run went on; at a pause: silent).
std::string counted_text(const SuiteResult& result);

/// The same run gives the same bytes, all that depends on the machine's speed aside: that is under
/// "speed", which is last.
std::string to_json(const SuiteResult& result);

/// Reads such a report. Throws core::LoadError.
SuiteResult load_report(const std::string& path);

struct HtmlOptions {
  std::string folder;            ///< Of the run's WAV files; empty: neither waveforms nor sound.
  std::size_t max_dialogs = 40;  ///< Shown, the worst first.
  std::size_t max_audio = 20;    ///< Of these, with sound.
};

/// Nothing is loaded from anywhere: styles, figures and sound are inside.
std::string to_html(const SuiteResult& result, const HtmlOptions& options);

/// How bad a dialogue went: failed events weigh most, then unanswered and wrong ones, then seconds.
double badness(const DialogResult& dialog) noexcept;

/// Figures of other systems, as published.
struct Reference {
  const char* metric;  ///< Id of the metric that it stands beside.
  const char* system;
  double value;  ///< In the metric's unit (seconds, share).
  const char* source;
};
const std::vector<Reference>& references();

}  // namespace duet::runtime::bench
