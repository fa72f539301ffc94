#pragma once
// Scores scripted events against an agent channel: what happened, how fast, whether it counts. All
// on the listener's clock and on audio, never on tokens. A control run is the same conversation,
// same seed, event removed.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "runtime/activity.h"
#include "runtime/timeline.h"

namespace duet::runtime {

enum class EventKind {
  kQuestion,      ///< A user turn that wants a reply.
  kInterruption,  ///< A user turn into the agent's speech: it must stop, and reply.
  kBackchannel,   ///< "uh-huh": the agent must go on.
  kNoise,         ///< Cough, door, music, a second speaker: the agent must go on.
  kPause,         ///< A silence inside an unfinished user turn: the agent must not start.
};

/// One thing that the script lets happen, at its place on the clock.
struct ScriptedEvent {
  EventKind kind = EventKind::kQuestion;
  Segment user;  ///< The user's sound; for a pause, the silence.
};

/// What became of it. `latency_s` means: reply latency (question), stop latency (interruption),
/// onset after the pause's start (pause that was taken over); infinite when it never came.
struct EventScore {
  EventKind kind = EventKind::kQuestion;
  bool is_counted =
      false;  ///< Meets the conditions of its definition; else nothing below means anything.
  bool is_success =
      false;  ///< Answered within 3 s, silent within 1.5 s, went on, did not take over.
  double at_s = 0.0;
  double latency_s = 0.0;
};

inline constexpr double kAnsweredSeconds = 3.0;
inline constexpr double kBargeInSeconds = 1.5;
inline constexpr double kControlGoesOnSeconds = 1.5;

/// `until_s`: the onset of the next user turn, or infinity. `control`: nullptr where there was no
/// control run; the conditions that need one are then taken as met.
EventScore score_event(const ScriptedEvent& event, double until_s, const Activity& agent,
                       const Activity* control = nullptr);

/// Agent onsets inside the user's turn that are no backchannels (<= 1 s and <= 2 words). Words come
/// from `turns`; sound without a turn is taken to have more.
std::vector<Segment> score_false_alarms(const Segment& user_turn, const Activity& agent,
                                        std::span<const AgentTurn> turns);

/// A statistic of many events with its 95 % bootstrap interval.
struct Estimate {
  std::size_t n = 0;
  double value = 0.0;
  double low = 0.0;
  double high = 0.0;
};

using Statistic = std::function<double(std::span<const double>)>;

/// Percentile bootstrap, `num_samples` resamples from `seed` (the same everywhere: no library
/// distribution is involved). n = 0 gives zeros.
Estimate bootstrap(std::span<const double> values, const Statistic& statistic,
                   std::uint64_t seed = 1, int num_samples = 2000);

/// Share of values that are true.
Estimate share(const std::vector<bool>& outcomes, std::uint64_t seed = 1);

/// Latencies of the counted events of one kind: median, p90, p95, and the share within 0.5, 1.0
/// and 1.5 s.
struct LatencySummary {
  Estimate median, p90, p95;
  Estimate within_500_ms, within_1000_ms, within_1500_ms;
};
LatencySummary summarise_latencies(std::span<const EventScore> scores, EventKind kind,
                                   std::uint64_t seed = 1);

}  // namespace duet::runtime
