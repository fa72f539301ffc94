#pragma once
// `duet run` without its command line: from names and options to files and text. The engine comes
// from a factory, so that everything here is tested without a model.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <ostream>
#include <string>

#include "runtime/engine.h"
#include "runtime/offline_run.h"

namespace duet::runtime {

struct RunJob {
  std::string
      input;  ///< Audio file, or "-" for raw samples on standard input. One of input and text.
  std::string text;           ///< Spoken by an installed synthesiser.
  std::string output;         ///< Stereo WAV; empty: default_output(input).
  std::string timeline;       ///< timeline.json; empty: none.
  std::string tail = "auto";  ///< "auto" or seconds.
  int channel = 1;
  int raw_rate_hz = 16000;  ///< Of standard input.
  bool realtime = false;
  SessionOptions session;
  std::size_t terminal_columns = 80;
};

using EngineFactory = std::function<std::unique_ptr<Engine>()>;

/// "talk.wav" -> "talk.duet.wav" in the current folder; "stdin.duet.wav" and "spoken.duet.wav" for
/// the other inputs.
std::string default_output(const RunJob& job);

/// "auto" -> nothing, else seconds. Throws core::ConfigError.
std::optional<double> parse_tail(const std::string& tail);

/// Everything cheap is checked before the model is loaded. Words and figures go to `out`, remarks
/// to `log`. Throws core::Error and StepError; no output file has then been touched. `should_stop`:
/// see RunHooks.
Timeline run_job(const RunJob& job, const EngineFactory& make_engine, std::ostream& out,
                 std::ostream& log, bool (*should_stop)() = nullptr);

}  // namespace duet::runtime
