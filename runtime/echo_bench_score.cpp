#include "runtime/echo_bench_score.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "runtime/core/error.h"
#include "runtime/scorer.h"

namespace duet::runtime {

namespace {

constexpr int kScoreRate = 16000;

/// Activity with gaps below 0.7 s closed: what a listener takes for one reply.
std::vector<Segment> replies_of(const Activity& activity) {
  std::vector<Segment> replies;
  for (const Segment& segment : activity.segments) {
    if (!replies.empty() && segment.start_s - replies.back().end_s < kTurnGapSeconds) {
      replies.back().end_s = segment.end_s;
    } else {
      replies.push_back(segment);
    }
  }
  return replies;
}

/// One of the segments has a part in [begin_s, end_s].
bool is_any_within(std::span<const Segment> segments, double begin_s, double end_s) {
  return std::any_of(segments.begin(), segments.end(),
                     [&](const Segment& s) { return s.start_s <= end_s && s.end_s >= begin_s; });
}

bool goes_on(std::span<const Segment> replies, double from_s, double until_s) {
  return std::any_of(replies.begin(), replies.end(), [&](const Segment& reply) {
    return reply.start_s <= from_s && reply.end_s >= until_s;
  });
}

/// Probability of at most `num` events where `mean` are expected.
double poisson_at_most(int num, double mean) {
  double term = std::exp(-mean);
  double sum = term;
  for (int i = 1; i <= num; ++i) sum += term *= mean / i;
  return sum;
}

}  // namespace

OwnEchoScore score_own_echo(const Activity& agent, const Activity& control,
                            std::span<const Segment> users, double until_s) {
  constexpr double kMargin = kControlGoesOnSeconds;
  OwnEchoScore score;
  for (const Segment& segment : agent.segments)
    score.playback_s += std::max(0.0, std::min(segment.end_s, until_s) - segment.start_s);
  const auto others = replies_of(control);
  for (const Segment& reply : replies_of(agent)) {
    if (reply.start_s < until_s - kMargin &&
        !is_any_within(users, reply.start_s - kMargin, reply.start_s) &&
        !is_any_within(others, reply.start_s - kMargin, reply.start_s + kMargin))
      score.starts_s.push_back(reply.start_s);
    if (reply.end_s < until_s - kMargin &&
        !is_any_within(users, reply.end_s - kMargin, reply.end_s) &&
        goes_on(others, reply.end_s, reply.end_s + kMargin))
      score.stops_s.push_back(reply.end_s);
  }
  return score;
}

bool is_other_answer(std::string_view text, std::string_view control) {
  text = text.substr(0, text.find_last_not_of(' ') + 1);
  const auto first_word = [](std::string_view words) { return words.substr(0, words.find(' ')); };
  return !text.empty() && first_word(text) != first_word(control) &&
         std::string_view(".?!").find(text.back()) != std::string_view::npos;
}

double most_per_hour(int num, double hours) {
  DUET_CHECK(num >= 0 && hours > 0.0);
  constexpr double kChance = 0.05;
  double low = 0.0;
  double high = 10.0 + 3.0 * num;
  for (int i = 0; i < 60; ++i) {
    const double middle = 0.5 * (low + high);
    (poisson_at_most(num, middle) > kChance ? low : high) = middle;
  }
  return high / hours;
}

double active_db(std::vector<float> levels_db) {
  std::sort(levels_db.begin(), levels_db.end());
  double sum = 0.0;
  const std::size_t half = levels_db.size() / 2;
  for (std::size_t i = half; i < levels_db.size(); ++i)
    sum += std::pow(10.0, static_cast<double>(levels_db[i]) / 10.0);
  return power_db(sum / static_cast<double>(std::max<std::size_t>(levels_db.size() - half, 1)));
}

double active_dbfs(std::span<const float> samples) {
  return active_db(measure_levels_db(samples, kScoreRate));
}

std::vector<float> at_level(std::span<const float> samples, double dbfs) {
  const auto gain = static_cast<float>(std::pow(10.0, (dbfs - active_dbfs(samples)) / 20.0));
  std::vector<float> result(samples.begin(), samples.end());
  for (float& x : result) x *= gain;
  return result;
}

double energy(std::span<const float> samples) {
  double sum = 0.0;
  for (const float x : samples) sum += static_cast<double>(x) * static_cast<double>(x);
  return sum;
}

double power_db(double ratio) { return 10.0 * std::log10(std::max(ratio, 1e-20)); }

double kept_db(std::span<const float> near, std::span<const float> out) {
  DUET_CHECK(near.size() == out.size());
  const double common = std::inner_product(near.begin(), near.end(), out.begin(), 0.0);
  return 2.0 * power_db(std::max(common / (energy(near) + 1e-12), 1e-3));
}

}  // namespace duet::runtime
