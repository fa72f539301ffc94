#include "runtime/scorer.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <random>

using namespace duet::runtime;

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr int kRateHz = 24000;

Activity activity(double seconds, const std::vector<Segment>& segments) {
  Activity result;
  result.segments = segments;
  result.end_s = seconds;
  return result;
}

/// An agent channel made of known sound: speech-like noise bursts with gaps of up to 150 ms inside,
/// over a noise floor.
class Channel {
 public:
  Channel(double seconds, unsigned seed, double floor_db)
      : random_(seed), samples_(static_cast<std::size_t>(seconds * kRateHz)) {
    const double floor = std::pow(10.0, floor_db / 20.0);
    for (float& x : samples_) x = static_cast<float>(floor * normal_(random_));
  }

  /// Speech from `start_s` to `end_s`: its first and last 60 ms are sound, the gaps lie between.
  void speak(double start_s, double end_s, double level_db = -22.0) {
    add(start_s, end_s, level_db);
    for (double t = start_s + uniform(0.2, 0.6); t + 0.25 < end_s; t += uniform(0.25, 0.8))
      mute(t, t + uniform(0.03, 0.15));
  }

  /// Noise at a level, added.
  void add(double start_s, double end_s, double level_db) {
    const double level = std::pow(10.0, level_db / 20.0);
    for (auto i = index(start_s); i < std::min(index(end_s), samples_.size()); ++i) {
      samples_[i] += static_cast<float>(level * normal_(random_));
    }
  }

  /// Fades the last `seconds` before `end_s` linearly to nothing.
  void fade(double end_s, double seconds) {
    for (auto i = index(end_s - seconds); i < std::min(index(end_s), samples_.size()); ++i) {
      samples_[i] *= static_cast<float>((end_s - static_cast<double>(i) / kRateHz) / seconds);
    }
  }

  double uniform(double low, double high) {
    return low + (high - low) * std::uniform_real_distribution<double>()(random_);
  }
  Activity find() const { return find_activity(measure_levels_db(samples_, kRateHz)); }

 private:
  static std::size_t index(double time_s) {
    return static_cast<std::size_t>(std::max(0.0, std::round(time_s * kRateHz)));
  }
  void mute(double start_s, double end_s) {
    for (auto i = index(start_s); i < std::min(index(end_s), samples_.size()); ++i)
      samples_[i] *= 1e-3F;
  }

  std::mt19937 random_;
  std::normal_distribution<double> normal_;
  std::vector<float> samples_;
};

}  // namespace

TEST_CASE("synthetic agents with known latencies come back within 10 ms in 99 % of cases",
          "[property]") {
  // 400 conversations: a reply after a known latency, stopped a known time after an interruption;
  // floors from -75 to -58 dB, breaths of up to 50 ms and clicks in the silences, gaps in the
  // speech, short fades (8 ms) at its end.
  int num_good_replies = 0;
  int num_good_stops = 0;
  constexpr int kNumCases = 400;
  for (unsigned seed = 0; seed < kNumCases; ++seed) {
    std::mt19937 random(seed);
    const auto uniform = [&](double low, double high) {
      return low + (high - low) * std::uniform_real_distribution<double>()(random);
    };
    const double user_end_s = uniform(1.5, 2.5);
    const double reply_s = uniform(0.0, 2.0);
    const double onset_s = user_end_s + reply_s;
    const double interruption_s = onset_s + uniform(1.0, 2.5);
    const double stop_s = uniform(0.05, 2.0);
    const double stop_at_s = interruption_s + stop_s;
    Channel channel(stop_at_s + 2.5, seed, uniform(-75.0, -58.0));
    channel.speak(onset_s, stop_at_s, uniform(-30.0, -15.0));
    channel.fade(stop_at_s, 0.008);
    const double breath_s = uniform(0.1, 0.9);  // Before the user ends, and after the stop.
    channel.add(breath_s, breath_s + 0.045, -35.0);
    channel.add(stop_at_s + 0.6, stop_at_s + 0.64, -30.0);
    const Activity agent = channel.find();
    const EventScore reply =
        score_event({EventKind::kQuestion, {0.5, user_end_s}}, interruption_s, agent);
    const EventScore stop = score_event(
        {EventKind::kInterruption, {interruption_s, stop_at_s + 1.0}}, kInfinity, agent);
    // 10 ms frames: a border is found within one frame of where it is.
    num_good_replies += reply.is_counted && std::abs(reply.latency_s - reply_s) <= 0.0101;
    num_good_stops += stop.is_counted && std::abs(stop.latency_s - stop_s) <= 0.0101;
  }
  CHECK(num_good_replies >= kNumCases * 99 / 100);
  CHECK(num_good_stops >= kNumCases * 99 / 100);
}

TEST_CASE("a slow fade ends where it falls 20 dB under the speech", "[property]") {
  // Linear over 400 ms: a tenth of the amplitude is reached 40 ms before the end.
  int num_good = 0;
  for (unsigned seed = 0; seed < 50; ++seed) {
    Channel channel(6.0, seed, -75.0);
    channel.add(1.0, 3.0, -20.0);
    channel.fade(3.0, 0.4);
    const Activity agent = channel.find();
    num_good += agent.segments.size() == 1 && std::abs(agent.segments[0].end_s - 2.96) <= 0.0201;
  }
  CHECK(num_good >= 48);
}

TEST_CASE("an agent that goes on through a backchannel and one that does not", "[unit]") {
  const ScriptedEvent event{EventKind::kBackchannel, {3.0, 3.4}};
  const Activity control = activity(10, {{1.0, 8.0}});
  CHECK(score_event(event, kInfinity, activity(10, {{1.0, 8.0}}), &control).is_success);
  const EventScore stopped = score_event(event, kInfinity, activity(10, {{1.0, 3.5}}), &control);
  CHECK(stopped.is_counted);
  CHECK_FALSE(stopped.is_success);
  // Stopping for 0.3 s and going on is a break too.
  CHECK_FALSE(
      score_event(event, kInfinity, activity(10, {{1.0, 3.5}, {3.8, 8.0}}), &control).is_success);
  // Not counted: silent at the event, or the control would have ended soon anyway.
  CHECK_FALSE(score_event(event, kInfinity, activity(10, {{4.0, 8.0}}), &control).is_counted);
  const Activity ending = activity(10, {{1.0, 4.0}});
  CHECK_FALSE(score_event(event, kInfinity, activity(10, {{1.0, 4.0}}), &ending).is_counted);
  CHECK(
      score_event({EventKind::kNoise, {3.0, 3.4}}, kInfinity, activity(10, {{1.0, 4.6}}), &control)
          .is_success);
}

TEST_CASE("interruptions: success within 1.5 s, counted only when there was something to stop",
          "[unit]") {
  const ScriptedEvent event{EventKind::kInterruption, {3.0, 5.0}};
  const Activity control = activity(10, {{1.0, 8.0}});
  const EventScore stopped =
      score_event(event, kInfinity, activity(10, {{1.0, 3.4}, {5.3, 6.0}}), &control);
  CHECK(stopped.is_counted);
  CHECK(stopped.is_success);
  CHECK(stopped.latency_s == Approx(0.4));
  const EventScore slow = score_event(event, kInfinity, activity(10, {{1.0, 4.6}}), &control);
  CHECK(slow.is_counted);
  CHECK_FALSE(slow.is_success);
  const EventScore never = score_event(event, kInfinity, activity(10, {{1.0, 10.0}}), &control);
  CHECK(never.latency_s == kInfinity);
  CHECK_FALSE(never.is_success);
  // The agent would have been done 1.2 s later anyway.
  const Activity ending = activity(10, {{1.0, 4.2}});
  CHECK_FALSE(score_event(event, kInfinity, activity(10, {{1.0, 3.4}}), &ending).is_counted);
}

TEST_CASE("questions: answered within 3 s, before the user speaks again", "[unit]") {
  const ScriptedEvent event{EventKind::kQuestion, {1.0, 2.0}};
  CHECK(score_event(event, kInfinity, activity(10, {{2.4, 3.0}})).is_success);
  const EventScore late = score_event(event, kInfinity, activity(10, {{5.5, 6.0}}));
  CHECK_FALSE(late.is_success);
  CHECK(late.latency_s == Approx(3.5));
  CHECK_FALSE(score_event(event, 2.3, activity(10, {{2.4, 3.0}})).is_success);
  CHECK_FALSE(score_event(event, kInfinity, activity(10, {})).is_success);
  CHECK_FALSE(score_event(event, kInfinity, activity(10, {{1.8, 3.0}})).is_counted);
}

TEST_CASE("a pause that is taken over, and one that is respected", "[unit]") {
  const ScriptedEvent event{EventKind::kPause, {2.0, 3.0}};
  const EventScore taken = score_event(event, kInfinity, activity(10, {{2.5, 4.0}}));
  CHECK(taken.is_counted);
  CHECK_FALSE(taken.is_success);
  CHECK(taken.latency_s == Approx(0.5));
  CHECK(score_event(event, kInfinity, activity(10, {{3.0, 4.0}})).is_success);
  CHECK(score_event(event, kInfinity, activity(10, {})).is_success);
  CHECK_FALSE(score_event(event, kInfinity, activity(10, {{1.0, 4.0}})).is_counted);
}

TEST_CASE("false alarms: onsets in the user's turn, short backchannels excused", "[unit]") {
  const Segment user{1.0, 6.0};
  const Activity agent = activity(10, {{2.0, 2.6}, {4.0, 4.8}});
  const std::vector<AgentTurn> turns = {{2.0, 2.6, "Mm-hmm.", false, true},
                                        {4.0, 4.8, "Seven plus five", false, true}};
  CHECK(score_false_alarms(user, agent, turns) == std::vector<Segment>{{4.0, 4.8}});
  // Sound of which no words are known is no backchannel; nor is a long one.
  CHECK(score_false_alarms(user, agent, {}).size() == 2);
  const std::vector<AgentTurn> slow = {{2.0, 3.2, "Yeah.", false, true}};
  CHECK(score_false_alarms(user, activity(10, {{2.0, 3.2}}), slow).size() == 1);
}

TEST_CASE("bootstrap intervals: repeatable, around the value, exact for equal values", "[unit]") {
  std::vector<double> values;
  for (int i = 0; i < 200; ++i) values.push_back(i % 10);
  const auto mean = [](std::span<const double> x) {
    double sum = 0.0;
    for (const double v : x) sum += v;
    return sum / static_cast<double>(x.size());
  };
  const Estimate a = bootstrap(values, mean, 7);
  const Estimate b = bootstrap(values, mean, 7);
  CHECK(a.low == b.low);
  CHECK(a.n == 200);
  CHECK(a.value == Approx(4.5));
  // Standard error sqrt(8.25 / 200) = 0.203: the interval is 4.5 -+ 0.398.
  CHECK(a.low == Approx(4.10).margin(0.06));
  CHECK(a.high == Approx(4.90).margin(0.06));
  const Estimate same = bootstrap(std::vector<double>(10, 3.0), mean);
  CHECK(same.low == 3.0);
  CHECK(same.high == 3.0);
  CHECK(bootstrap({}, mean).n == 0);
}

TEST_CASE("latency summaries leave out what does not count, and keep infinity", "[unit]") {
  std::vector<EventScore> scores;
  for (int i = 1; i <= 9; ++i)
    scores.push_back({EventKind::kInterruption, true, true, 0.0, 0.1 * i});
  scores.push_back({EventKind::kInterruption, true, false, 0.0, kInfinity});
  scores.push_back({EventKind::kInterruption, false, true, 0.0, 0.01});
  scores.push_back({EventKind::kQuestion, true, true, 0.0, 0.01});
  const LatencySummary summary = summarise_latencies(scores, EventKind::kInterruption);
  CHECK(summary.median.n == 10);
  CHECK(summary.median.value == Approx(0.55));
  CHECK(std::isinf(summary.p95.value));
  CHECK(summary.within_500_ms.value == Approx(0.5));
  CHECK(summary.within_1500_ms.value == Approx(0.9));
  CHECK(std::isinf(summary.median.high) == false);
}
