#pragma once
// One scripted conversation with a system, step by step, on the listener's clock: sample i of the
// user's channel and of the agent's lie at i / rate seconds, and the agent's sound of step t begins
// at (t + 1) * step_seconds, where a live listener first hears it.

#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "runtime/activity.h"
#include "runtime/bench/script.h"
#include "runtime/bench/system.h"
#include "runtime/engine.h"
#include "runtime/timeline.h"

namespace duet::runtime::bench {

/// The sound of one event at the engine's input rate, gain applied.
struct Clip {
  std::vector<float> samples;
  Segment audible;  ///< First to last activity, from the clip's start; the user's onset and end.
};

/// One clip an event (empty for an echo). Throws core::LoadError: unreadable or silent audio;
/// core::ConfigError: text without a synthesiser.
std::vector<Clip> load_clips(const ScriptDialog& dialog, int rate_hz);

/// Where an event came to lie.
struct Placement {
  double start_s = 0.0;  ///< Of its audio.
  Segment user;          ///< Of what is audible in it; of an echo, of its path.
};

/// Where a fixed timeline puts every event.
std::vector<Placement> place_fixed(const Script& script, const ScriptDialog& dialog,
                                   const std::vector<Clip>& clips);

/// The user's channel of such a timeline, `removed` left out, and its length [s].
std::vector<float> render_user(const std::vector<Clip>& clips, const std::vector<Placement>& places,
                               double seconds, int rate_hz,
                               std::optional<std::size_t> removed = std::nullopt);

struct ConversationPlan {
  Mode mode = Mode::kFixed;
  SessionOptions session;
  /// A control run: events before `removed` lie at `places`, that one and all after it are left
  /// out, and it ends at `until_s`.
  std::optional<std::size_t> removed = std::nullopt;
  std::vector<Placement> places = {};
  double until_s = std::numeric_limits<double>::infinity();
  std::function<bool()> should_stop = {};
};

struct Recording {
  std::vector<Placement> places;  ///< One an event; fewer in a control run.
  std::vector<float> user;        ///< As the engine heard it, at its input rate.
  std::vector<float> agent;       ///< At its output rate.
  int user_rate_hz = 0;
  int agent_rate_hz = 0;
  Activity activity;             ///< Of the agent.
  std::vector<AgentTurn> turns;  ///< With the text channel's words.
  std::int64_t num_steps = 0;
  double compute_s = 0.0;
  std::optional<double> lag_s;  ///< See Partner::lag_s.
  bool is_stopped = false;      ///< By should_stop: the rest is not there.
};

/// Throws as System::connect and Partner::step do.
Recording converse(const System& system, const Script& script, const ScriptDialog& dialog,
                   const std::vector<Clip>& clips, const ConversationPlan& plan);

}  // namespace duet::runtime::bench
