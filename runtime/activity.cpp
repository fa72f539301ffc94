#include "runtime/activity.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "runtime/core/error.h"

namespace duet::runtime {

namespace {

constexpr double kSilenceEnergy = 1e-20;  // -200 dB.
/// How far find_user_segments looks for a change of level: two steps of 80 ms.
constexpr double kMaxBorderShiftSeconds = 0.16;
constexpr float kSpeakingThreshold = 0.5F;

struct Frames {
  std::size_t begin;
  std::size_t end;
};

std::vector<Frames> frames_above(std::span<const float> levels_db, double threshold_db) {
  std::vector<Frames> runs;
  for (std::size_t i = 0; i < levels_db.size(); ++i) {
    if (static_cast<double>(levels_db[i]) <= threshold_db) continue;
    if (runs.empty() || runs.back().end != i) runs.push_back({i, i});
    runs.back().end = i + 1;
  }
  return runs;
}

/// The border of `activity` nearest to `time_s` within the allowed shift: a start or an end.
double nearest_border(double time_s, bool is_start, const Activity& activity) {
  double best = time_s;
  double best_distance = kMaxBorderShiftSeconds + 1e-9;
  for (const Segment& segment : activity.segments) {
    const double border = is_start ? segment.start_s : segment.end_s;
    const double distance = std::abs(border - time_s);
    if (distance < best_distance) {
      best = border;
      best_distance = distance;
    }
  }
  return best;
}

}  // namespace

LevelMeter::LevelMeter(int rate_hz) : rate_hz_(rate_hz) {
  DUET_CHECK(rate_hz >= 100);
  frame_end_ = static_cast<std::size_t>(rate_hz) / 100;
}

void LevelMeter::close_frame() {
  levels_db_.push_back(static_cast<float>(
      10.0 * std::log10(energy_ / static_cast<double>(num_in_frame_) + kSilenceEnergy)));
  energy_ = 0.0;
  num_in_frame_ = 0;
  frame_end_ = (levels_db_.size() + 1) * static_cast<std::size_t>(rate_hz_) / 100;
}

void LevelMeter::process(std::span<const float> samples) {
  for (const float x : samples) {
    energy_ += static_cast<double>(x) * static_cast<double>(x);
    ++num_in_frame_;
    if (++num_samples_ == frame_end_) close_frame();
  }
}

void LevelMeter::flush() {
  if (num_in_frame_ > 0) close_frame();
}

bool is_audible(std::span<const float> pcm) noexcept {
  double energy = 0.0;
  for (const float x : pcm) energy += static_cast<double>(x) * static_cast<double>(x);
  return energy > static_cast<double>(pcm.size()) * 1e-5;
}

std::vector<float> measure_levels_db(std::span<const float> samples, int rate_hz) {
  LevelMeter meter(rate_hz);
  meter.process(samples);
  meter.flush();
  return meter.levels_db();
}

const Segment* Activity::at(double time_s) const noexcept {
  const auto found = std::find_if(segments.begin(), segments.end(),
                                  [&](const Segment& s) { return s.contains(time_s); });
  return found == segments.end() ? nullptr : &*found;
}

const Segment* Activity::next(double time_s) const noexcept {
  const auto found = std::find_if(segments.begin(), segments.end(),
                                  [&](const Segment& s) { return s.start_s >= time_s; });
  return found == segments.end() ? nullptr : &*found;
}

Activity find_activity(std::span<const float> levels_db, const ActivityOptions& options) {
  Activity activity;
  activity.threshold_db = options.floor_db;
  activity.end_s = static_cast<double>(levels_db.size()) * kLevelFrameSeconds;
  if (levels_db.empty()) return activity;
  std::vector<float> sorted(levels_db.begin(), levels_db.end());
  const auto rank = static_cast<std::size_t>(
      std::max(1.0, std::ceil(options.percentile * static_cast<double>(sorted.size()))));
  const auto nth = sorted.begin() + static_cast<std::ptrdiff_t>(rank - 1);
  std::nth_element(sorted.begin(), nth, sorted.end());
  activity.threshold_db =
      std::max(options.floor_db, static_cast<double>(*nth) - options.below_loud_db);

  std::vector<Frames> closed;
  for (const Frames& burst : frames_above(levels_db, activity.threshold_db)) {
    if (burst.end - burst.begin < options.min_burst_frames) continue;
    if (!closed.empty() && burst.begin - closed.back().end < options.min_gap_frames) {
      closed.back().end = burst.end;
    } else {
      closed.push_back(burst);
    }
  }
  // Hundredths are divided, not multiplied, so that frame 29 ends at 0.29 and not at
  // 0.29000000000000004.
  for (const Frames& run : closed) {
    activity.segments.push_back(
        {static_cast<double>(run.begin) / 100.0, static_cast<double>(run.end) / 100.0});
  }
  return activity;
}

std::vector<Segment> join_turns(std::span<const Segment> segments, const Activity& agent,
                                double max_gap_s) {
  std::vector<Segment> turns;
  for (const Segment& segment : segments) {
    const bool joins =
        !turns.empty() && segment.start_s - turns.back().end_s < max_gap_s - 1e-9 &&
        std::none_of(agent.segments.begin(), agent.segments.end(), [&](const Segment& speech) {
          return speech.start_s < segment.start_s && speech.end_s > turns.back().end_s;
        });
    if (joins) {
      turns.back().end_s = std::max(turns.back().end_s, segment.end_s);
    } else {
      turns.push_back(segment);
    }
  }
  return turns;
}

std::vector<Segment> find_user_segments(std::span<const float> speaking_probability,
                                        double step_seconds, double delay_s, const Activity& user) {
  std::vector<Segment> segments;
  std::size_t last = 0;
  for (std::size_t t = 0; t < speaking_probability.size(); ++t) {
    if (speaking_probability[t] < kSpeakingThreshold) continue;
    const double end_s = static_cast<double>(t + 1) * step_seconds - delay_s;
    if (!segments.empty() && last + 1 == t) {
      segments.back().end_s = end_s;
    } else {
      segments.push_back({std::max(0.0, end_s - step_seconds), end_s});
    }
    last = t;
  }
  for (Segment& segment : segments) {
    const Segment refined{nearest_border(segment.start_s, true, user),
                          nearest_border(segment.end_s, false, user)};
    if (refined.start_s < refined.end_s) segment = refined;
  }
  // Two segments may have been drawn to the same piece of audio.
  std::vector<Segment> apart;
  for (const Segment& segment : segments) {
    if (!apart.empty() && segment.start_s <= apart.back().end_s) {
      apart.back().end_s = std::max(apart.back().end_s, segment.end_s);
    } else {
      apart.push_back(segment);
    }
  }
  return apart;
}

LatencyEvent measure_reply(const Segment& user_turn, double until_s, const Activity& agent) {
  LatencyEvent event{.is_counted = agent.at(user_turn.end_s) == nullptr,
                     .at_s = user_turn.end_s,
                     .latency_s = std::numeric_limits<double>::infinity()};
  const Segment* onset = agent.next(user_turn.end_s);
  if (onset != nullptr && onset->start_s < until_s)
    event.latency_s = onset->start_s - user_turn.end_s;
  return event;
}

LatencyEvent measure_stop(const Segment& user_turn, const Activity& agent) {
  LatencyEvent event{.is_counted = false,
                     .at_s = user_turn.start_s,
                     .latency_s = std::numeric_limits<double>::infinity()};
  const Segment* running = agent.at(user_turn.start_s);
  // Borders are multiples of 10 ms: half of one absorbs rounding.
  if (running == nullptr ||
      user_turn.start_s - running->start_s < kMinActiveBeforeStopSeconds - 0.005)
    return event;
  event.is_counted = true;
  constexpr double kMinSilenceSeconds = 0.2;
  if (running->end_s + kMinSilenceSeconds <= agent.end_s + 1e-9)
    event.latency_s = running->end_s - user_turn.start_s;
  return event;
}

std::vector<Segment> find_false_alarms(const Segment& user_turn, const Activity& agent) {
  std::vector<Segment> alarms;
  for (const Segment& speech : agent.segments) {
    if (speech.start_s > user_turn.start_s &&
        speech.start_s < user_turn.end_s - kFalseAlarmMarginSeconds) {
      alarms.push_back(speech);
    }
  }
  return alarms;
}

double percentile(std::span<const double> values, double fraction) {
  if (values.empty()) return 0.0;
  std::vector<double> sorted(values.begin(), values.end());
  std::sort(sorted.begin(), sorted.end());
  const double position = fraction * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(position);
  if (below + 1 >= sorted.size()) return sorted.back();
  const double part = position - static_cast<double>(below);
  // No interpolation towards infinity: inf - x and 0 * inf are no numbers.
  return part == 0.0 ? sorted[below] : sorted[below] * (1.0 - part) + sorted[below + 1] * part;
}

}  // namespace duet::runtime
