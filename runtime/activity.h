#pragma once
// When somebody is audible, and what follows from it: the definitions behind every latency that
// duet reports. Everything is timed on audio on one clock, never on tokens. Pure functions; no
// tensors, no model.

#include <cstddef>
#include <limits>
#include <optional>
#include <span>
#include <vector>

namespace duet::runtime {

/// Of a time: never, or without end.
inline constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// A stretch of time in seconds, end excluded.
struct Segment {
  double start_s = 0.0;
  double end_s = 0.0;

  double seconds() const noexcept { return end_s - start_s; }
  bool contains(double time_s) const noexcept { return start_s <= time_s && time_s < end_s; }
  bool operator==(const Segment&) const = default;
};

/// Length of a level frame.
inline constexpr double kLevelFrameSeconds = 0.01;

/// RMS level of 10 ms frames of a stream, in dB relative to 1.0 (a full-scale sine is at -3). Frame
/// i holds the samples [i, i + 1) * rate / 100, rounded down, so frames never drift from the clock
/// at rates that 100 does not divide.
class LevelMeter {
 public:
  explicit LevelMeter(int rate_hz);
  void process(std::span<const float> samples);
  /// End of stream: the last, shorter frame counts over the samples it has.
  void flush();
  /// Levels of the complete frames so far; silence is at -200.
  const std::vector<float>& levels_db() const noexcept { return levels_db_; }

 private:
  void close_frame();

  int rate_hz_;
  std::size_t num_samples_ = 0;
  std::size_t frame_end_ = 0;
  std::size_t num_in_frame_ = 0;
  double energy_ = 0.0;
  std::vector<float> levels_db_;
};

/// Levels of a whole channel.
std::vector<float> measure_levels_db(std::span<const float> samples, int rate_hz);

/// Whether the RMS of a block is above -50 dB, the floor of activity (ActivityOptions::floor_db).
bool is_audible(std::span<const float> pcm) noexcept;

struct ActivityOptions {
  double floor_db = -50.0;  ///< Nothing below this is activity.
  double below_loud_db =
      20.0;  ///< Nor what is further than this under the channel's `percentile` level.
  double percentile = 0.95;          ///< Nearest rank over all frames of the channel.
  std::size_t min_burst_frames = 6;  ///< Shorter bursts (< 60 ms) are dropped ...
  std::size_t min_gap_frames = 20;   ///< ... then gaps shorter than this (< 200 ms) are closed.
};

/// Where a channel is audible. Segments are in order, apart by at least the minimal gap.
struct Activity {
  double threshold_db = 0.0;
  std::vector<Segment> segments;
  double end_s = 0.0;  ///< Length of the channel.

  /// The segment that holds `time_s`, if any.
  const Segment* at(double time_s) const noexcept;
  /// The first segment that starts at or after `time_s`, if any.
  const Segment* next(double time_s) const noexcept;
};

/// Frames above max(floor, 20 dB under the 95th percentile), bursts dropped, gaps closed.
Activity find_activity(std::span<const float> levels_db, const ActivityOptions& options = {});

/// User segments joined to turns across gaps of less than 0.7 s in which the agent is silent.
inline constexpr double kTurnGapSeconds = 0.7;
std::vector<Segment> join_turns(std::span<const Segment> segments, const Activity& agent,
                                double max_gap_s = kTurnGapSeconds);

/// User segments from a per-step speech probability. Step t speaks about [t, t + 1) * step_seconds
/// - delay_s. Each border is then moved to the nearest change of `user` (the activity of the user's
/// channel) within 160 ms, since steps are coarser than what is to be measured; it stays where it
/// is when there is none (noise).
std::vector<Segment> find_user_segments(std::span<const float> speaking_probability,
                                        double step_seconds, double delay_s, const Activity& user);

/// User end of turn -> next agent onset. Counted when the agent is silent at the user's end
/// (starting earlier is a false alarm). `until_s`: the next user onset, or the end; without an
/// onset before it, latency_s is infinite.
struct LatencyEvent {
  bool is_counted = false;
  double at_s = 0.0;       ///< The user's end (reply) or onset (stop).
  double latency_s = 0.0;  ///< Infinite when it never came.
};
LatencyEvent measure_reply(const Segment& user_turn, double until_s, const Activity& agent);

/// User onset -> end of the agent activity that was running: its first silence of >= 0.2 s. Counted
/// when the agent was active at the onset and for >= 0.3 s before it. Infinite when the activity
/// runs to the end of the channel. (That a control run without the user would have gone on for
/// >= 1.5 s is for the caller to know.)
inline constexpr double kMinActiveBeforeStopSeconds = 0.3;
LatencyEvent measure_stop(const Segment& user_turn, const Activity& agent);

/// An agent onset inside the user's turn, more than 0.3 s before its end. (Backchannels are for the
/// caller to excuse.)
inline constexpr double kFalseAlarmMarginSeconds = 0.3;
std::vector<Segment> find_false_alarms(const Segment& user_turn, const Activity& agent);

/// `values` sorted at `fraction` in [0, 1], by linear interpolation between ranks; 0 when empty.
double percentile(std::span<const double> values, double fraction);

}  // namespace duet::runtime
