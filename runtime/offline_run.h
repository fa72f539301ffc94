#pragma once
// A conversation with a recording: the input is fed step by step, as a microphone would, and both
// voices are written as a live listener would have heard them (benchmarks, "listener's clock").
//
//   source -> Resampler -> Framer -> Session::step -> place on the clock -> stereo WAV, Timeline

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "audio/sample_source.h"
#include "runtime/engine.h"
#include "runtime/timeline.h"

namespace duet::runtime {

/// Places steps on the listener's clock. Without `finished_s` the machine counts as infinitely
/// fast: step t is heard at its last input sample, (t + 1) * step_seconds + input_delay_s. With it,
/// a step is heard no earlier than it was finished and no earlier than the one before has played
/// out; a delay, once there, is made good in silence, as live playout does.
class ListenersClock {
 public:
  /// `input_delay_s`: look-ahead of what stands before the engine (the resampler).
  ListenersClock(double step_seconds, double input_delay_s);
  /// When step t can be fed: its last sample has been said.
  double due_s(std::int64_t step) const noexcept;
  /// Where the pcm of step t begins. Steps in order. `is_silent`: may overlap the step before,
  /// whose end then wins.
  double place(std::int64_t step, std::optional<double> finished_s, bool is_silent) noexcept;

 private:
  double step_seconds_;
  double input_delay_s_;
  double played_until_s_ = 0.0;
};

/// Something said or heard, as it comes.
struct RunEvent {
  enum class Kind { kUserWords, kAgentTurnStarted, kAgentWords, kAgentTurnEnded };
  Kind kind;
  double time_s;          ///< Listener's clock.
  std::string_view text;  ///< Valid during the call.
};

struct RunOptions {
  SessionOptions session;
  bool realtime = false;         ///< Paced by the wall clock; compute time counts.
  std::optional<double> tail_s;  ///< Silence fed after the input; unset: until the agent has been
                                 ///< silent for 2 s, 30 s at most.
  std::string output_path;       ///< Stereo PCM16 WAV at the engine's output rate, left user, right
                                 ///< agent; empty: none.
};

struct RunHooks {
  std::function<void(const RunEvent&)> on_event = {};
  std::function<bool()> should_stop =
      {};  ///< Asked every step; true ends the conversation, and what there is is written whole.
};

/// Runs to the end. Throws core::LoadError and core::ConfigError (input, output, options) and
/// StepError (the engine); no output file is left then. The Timeline's `commit` is the caller's to
/// fill.
Timeline run_offline(const Engine& engine, audio::SampleSource& input, const RunOptions& options,
                     const RunHooks& hooks = {});

}  // namespace duet::runtime
