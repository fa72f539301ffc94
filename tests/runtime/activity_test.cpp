#include "runtime/activity.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <random>

using namespace duet::runtime;

namespace {

/// Levels of `seconds` of silence (-80 dB) in which the given stretches are at `level_db`.
std::vector<float> levels(double seconds, const std::vector<Segment>& loud,
                          float level_db = -20.0F) {
  std::vector<float> result(static_cast<std::size_t>(std::lround(seconds * 100)), -80.0F);
  for (const Segment& s : loud) {
    for (auto i = std::lround(s.start_s * 100); i < std::lround(s.end_s * 100); ++i) {
      result[static_cast<std::size_t>(i)] = level_db;
    }
  }
  return result;
}

Activity activity(double seconds, const std::vector<Segment>& segments) {
  Activity result;
  result.segments = segments;
  result.end_s = seconds;
  return result;
}

constexpr double kInfinity = std::numeric_limits<double>::infinity();

}  // namespace

TEST_CASE("levels: a full-scale sine is at -3 dB, a constant 0.1 at -20, silence at -200",
          "[unit]") {
  std::vector<float> samples(24000);
  for (std::size_t i = 0; i < 8000; ++i)
    samples[i] = static_cast<float>(std::sin(2.0 * M_PI * 1000.0 * static_cast<double>(i) / 24000));
  for (std::size_t i = 12000; i < 24000; ++i) samples[i] = 0.1F;
  const auto db = measure_levels_db(samples, 24000);
  REQUIRE(db.size() == 100);
  CHECK(db[10] == Approx(-3.0103).margin(0.001));
  CHECK(db[40] == Approx(-200.0));
  CHECK(db[60] == Approx(-20.0).margin(0.001));
}

TEST_CASE("level frames keep the clock at rates that 100 does not divide, whatever the pieces",
          "[property]") {
  // 22050 / 100 = 220.5: frame i ends at floor((i + 1) * 220.5); after 10 s there are exactly 1000
  // frames.
  std::vector<float> samples(220500, 0.0F);
  samples[220499] = 1.0F;
  samples[220] = 1.0F;  // Frame 0 is [0, 220), so this is the first of frame 1.
  const auto whole = measure_levels_db(samples, 22050);
  REQUIRE(whole.size() == 1000);
  CHECK(whole[0] == Approx(-200.0));
  CHECK(whole[1] > -30.0F);
  CHECK(whole[999] > -30.0F);
  std::mt19937 random(3);
  LevelMeter meter(22050);
  for (std::size_t at = 0; at < samples.size();) {
    const std::size_t size = std::min<std::size_t>(random() % 999, samples.size() - at);
    meter.process(std::span(samples).subspan(at, size));
    at += size;
  }
  CHECK(meter.levels_db() == whole);
  meter.process(std::vector<float>(100, 0.5F));
  CHECK(meter.levels_db().size() == 1000);
  meter.flush();
  CHECK(meter.levels_db().back() == Approx(-6.02).margin(0.01));
}

TEST_CASE("the threshold is -50 dB, or 20 dB under the 95th percentile when that is higher",
          "[unit]") {
  // 10 s, 4 % loud: the 95th percentile is silence, the floor counts.
  CHECK(find_activity(levels(10.0, {{1.0, 1.4}})).threshold_db == -50.0);
  // 6 % at -20 dB: percentile -20, threshold -40; a stretch at -45 is then no activity.
  auto db = levels(10.0, {{1.0, 1.6}});
  for (std::size_t i = 500; i < 530; ++i) db[i] = -45.0F;
  const Activity found = find_activity(db);
  CHECK(found.threshold_db == Approx(-40.0));
  CHECK(found.segments == std::vector<Segment>{{1.0, 1.6}});
  // Nearest rank: of 100 frames the 95th smallest. 5 loud ones are 96..100, 6 reach rank 95.
  CHECK(find_activity(levels(1.0, {{0.1, 0.15}})).threshold_db == -50.0);
  CHECK(find_activity(levels(1.0, {{0.1, 0.16}})).threshold_db == Approx(-40.0));
  CHECK(find_activity({}).segments.empty());
}

TEST_CASE("bursts under 60 ms are dropped first, then gaps under 200 ms closed", "[unit]") {
  const ActivityOptions options;
  CHECK(find_activity(levels(2.0, {{1.0, 1.05}}), options).segments.empty());
  CHECK(find_activity(levels(2.0, {{1.0, 1.06}}), options).segments ==
        std::vector<Segment>{{1.0, 1.06}});
  CHECK(find_activity(levels(3.0, {{1.0, 1.3}, {1.49, 2.0}}), options).segments ==
        std::vector<Segment>{{1.0, 2.0}});
  CHECK(find_activity(levels(3.0, {{1.0, 1.3}, {1.5, 2.0}}), options).segments ==
        std::vector<Segment>{{1.0, 1.3}, {1.5, 2.0}});
  // A click in the middle of a gap of 300 ms does not bridge it: it is gone before gaps are closed.
  CHECK(find_activity(levels(3.0, {{1.0, 1.3}, {1.44, 1.47}, {1.6, 2.0}}), options).segments ==
        std::vector<Segment>{{1.0, 1.3}, {1.6, 2.0}});
}

TEST_CASE("user segments join across short gaps, unless the agent speaks in them", "[unit]") {
  const std::vector<Segment> user = {{1.0, 1.5}, {2.1, 2.6}, {3.3, 3.5}};
  // Gaps 0.6 and 0.7 s: the first joins, the second (not under 0.7) does not.
  CHECK(join_turns(user, activity(10, {})) == std::vector<Segment>{{1.0, 2.6}, {3.3, 3.5}});
  CHECK(join_turns(user, activity(10, {{1.6, 1.9}})) == user);
  // Agent speech that runs across the whole gap counts; speech that ends where the gap begins does
  // not.
  CHECK(join_turns(user, activity(10, {{0.5, 3.0}})) == user);
  CHECK(join_turns(user, activity(10, {{0.5, 1.5}})) ==
        std::vector<Segment>{{1.0, 2.6}, {3.3, 3.5}});
}

TEST_CASE("the head's steps become segments, their borders drawn to the audio", "[unit]") {
  // Steps 10-19 speak: 0.8 to 1.6 s. The audio says 0.87 to 1.45.
  std::vector<float> probability(40, 0.1F);
  std::fill(probability.begin() + 10, probability.begin() + 20, 0.9F);
  CHECK(find_user_segments(probability, 0.08, 0.0, activity(3, {{0.87, 1.45}})) ==
        std::vector<Segment>{{0.87, 1.45}});
  // Noise all along: no border near, so the head's own stay. A delay of 20 ms moves them.
  const auto noisy = find_user_segments(probability, 0.08, 0.02, activity(3, {{0.0, 3.0}}));
  REQUIRE(noisy.size() == 1);
  CHECK(noisy[0].start_s == Approx(0.78));
  CHECK(noisy[0].end_s == Approx(1.58));
  // Two stretches of the head inside one of the audio, both drawn to its borders, become one.
  std::fill(probability.begin() + 14, probability.begin() + 15, 0.2F);
  CHECK(find_user_segments(probability, 0.08, 0.0, activity(3, {{1.15, 1.6}})).size() == 2);
  CHECK(find_user_segments({}, 0.08, 0.0, activity(3, {})).empty());
}

TEST_CASE("reply latency runs from the user's end to the next agent onset", "[unit]") {
  const Activity agent = activity(20, {{2.3, 4.0}, {9.0, 10.0}});
  const LatencyEvent replied = measure_reply({1.0, 2.0}, 6.0, agent);
  CHECK(replied.is_counted);
  CHECK(replied.latency_s == Approx(0.3));
  // The agent speaks at the user's end: a false alarm or an overlap, not a reply.
  CHECK_FALSE(measure_reply({1.0, 2.5}, 6.0, agent).is_counted);
  // The next onset belongs to a later turn.
  const LatencyEvent none = measure_reply({5.0, 6.0}, 8.0, agent);
  CHECK(none.is_counted);
  CHECK(none.latency_s == kInfinity);
  // Starting at the very end is a latency of 0.
  CHECK(measure_reply({1.0, 2.29}, 6.0, agent).latency_s == Approx(0.01));
}

TEST_CASE("stop latency runs from the user's onset to the end of the running activity", "[unit]") {
  const Activity agent = activity(10, {{2.0, 4.0}, {5.0, 10.0}});
  const LatencyEvent stopped = measure_stop({3.5, 5.0}, agent);
  CHECK(stopped.is_counted);
  CHECK(stopped.latency_s == Approx(0.5));
  CHECK_FALSE(measure_stop({4.5, 5.0}, agent).is_counted);  // Silent at the onset.
  CHECK_FALSE(measure_stop({2.2, 3.0}, agent).is_counted);  // Active for 0.2 s only.
  CHECK(measure_stop({2.3, 3.0}, agent).is_counted);
  CHECK(measure_stop({6.0, 7.0}, agent).latency_s == kInfinity);  // Still speaking at the end.
  // 0.1 s of silence before the end of the channel is no stop yet, 0.2 s is.
  CHECK(measure_stop({6.0, 7.0}, activity(8.1, {{5.0, 8.0}})).latency_s == kInfinity);
  CHECK(measure_stop({6.0, 7.0}, activity(8.2, {{5.0, 8.0}})).latency_s == Approx(2.0));
}

TEST_CASE("a false alarm is an onset inside the user's turn, well before its end", "[unit]") {
  const Activity agent = activity(10, {{2.0, 2.5}, {4.0, 6.0}});
  CHECK(find_false_alarms({1.0, 3.0}, agent) == std::vector<Segment>{{2.0, 2.5}});
  CHECK(find_false_alarms({1.0, 2.2}, agent).empty());  // 0.2 s early only.
  CHECK(find_false_alarms({2.0, 3.0}, agent).empty());  // It was first.
  CHECK(find_false_alarms({4.5, 5.5}, agent).empty());  // Running already: a barge-in.
}

TEST_CASE("percentiles interpolate, and keep infinity out until they reach it", "[unit]") {
  CHECK(percentile({}, 0.5) == 0.0);
  CHECK(percentile(std::vector<double>{3.0, 1.0, 2.0}, 0.5) == 2.0);
  CHECK(percentile(std::vector<double>{1.0, 2.0}, 0.5) == 1.5);
  CHECK(percentile(std::vector<double>{1.0, 2.0, kInfinity}, 0.5) == 2.0);
  CHECK(percentile(std::vector<double>{1.0, 2.0, kInfinity}, 0.95) == kInfinity);
}
