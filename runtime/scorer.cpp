#include "runtime/scorer.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>

#include "runtime/activity.h"
#include "runtime/answer_key.h"

namespace duet::runtime {

namespace {

constexpr double kMaxBackchannelSeconds = 1.0;
constexpr std::size_t kMaxBackchannelWords = 2;
/// Activity lies on 10 ms frames: comparisons of its borders allow half of one.
constexpr double kHalfFrame = 0.005;

/// The activity running at `time_s` lasts for at least `seconds` more.
bool goes_on(const Activity& activity, double time_s, double seconds) {
  const Segment* running = activity.at(time_s);
  return running != nullptr && running->end_s >= time_s + seconds - kHalfFrame;
}

EventScore score_question(const ScriptedEvent& event, double until_s, const Activity& agent) {
  const LatencyEvent reply = measure_reply(event.user, until_s, agent);
  return {event.kind, reply.is_counted, reply.latency_s <= kAnsweredSeconds, reply.at_s,
          reply.latency_s};
}

EventScore score_interruption(const ScriptedEvent& event, const Activity& agent,
                              const Activity* control) {
  const LatencyEvent stop = measure_stop(event.user, agent);
  const bool would_go_on =
      control == nullptr || goes_on(*control, event.user.start_s, kControlGoesOnSeconds);
  return {event.kind, stop.is_counted && would_go_on,
          stop.latency_s <= kBargeInSeconds + kHalfFrame, stop.at_s, stop.latency_s};
}

EventScore score_continuation(const ScriptedEvent& event, const Activity& agent,
                              const Activity* control) {
  const LatencyEvent stop = measure_stop(event.user, agent);
  const bool would_go_on =
      control == nullptr || goes_on(*control, event.user.start_s, kControlGoesOnSeconds);
  return {event.kind, stop.is_counted && would_go_on,
          goes_on(agent, event.user.start_s, kControlGoesOnSeconds), stop.at_s, stop.latency_s};
}

EventScore score_pause(const ScriptedEvent& event, const Activity& agent) {
  EventScore score{event.kind, agent.at(event.user.start_s) == nullptr, true, event.user.start_s,
                   kInfinity};
  const Segment* onset = agent.next(event.user.start_s);
  if (onset != nullptr && onset->start_s < event.user.end_s) {
    score.is_success = false;
    score.latency_s = onset->start_s - event.user.start_s;
  }
  return score;
}

std::size_t num_words_in(const Segment& segment, std::span<const AgentTurn> turns) {
  std::size_t count = 0;
  bool has_turn = false;
  for (const AgentTurn& turn : turns) {
    if (turn.end_s <= segment.start_s || turn.start_s >= segment.end_s) continue;
    has_turn = true;
    count += normalise_words(turn.text).size();
  }
  return has_turn ? count : std::numeric_limits<std::size_t>::max();
}

}  // namespace

EventScore score_event(const ScriptedEvent& event, double until_s, const Activity& agent,
                       const Activity* control) {
  switch (event.kind) {
    case EventKind::kInterruption: return score_interruption(event, agent, control);
    case EventKind::kBackchannel:
    case EventKind::kNoise: return score_continuation(event, agent, control);
    case EventKind::kPause: return score_pause(event, agent);
    case EventKind::kQuestion: break;
  }
  return score_question(event, until_s, agent);
}

std::vector<Segment> score_false_alarms(const Segment& user_turn, const Activity& agent,
                                        std::span<const AgentTurn> turns) {
  std::vector<Segment> alarms = find_false_alarms(user_turn, agent);
  std::erase_if(alarms, [&](const Segment& segment) {
    return segment.seconds() <= kMaxBackchannelSeconds + kHalfFrame &&
           num_words_in(segment, turns) <= kMaxBackchannelWords;
  });
  return alarms;
}

Estimate bootstrap(std::span<const double> values, const Statistic& statistic, std::uint64_t seed,
                   int num_samples) {
  Estimate estimate;
  estimate.n = values.size();
  if (values.empty()) return estimate;
  estimate.value = statistic(values);
  // mt19937_64's sequence is fixed by the standard; the modulo's bias at these sizes is below
  // 1e-13.
  std::mt19937_64 random(seed);
  std::vector<double> resample(values.size());
  std::vector<double> results;
  for (int i = 0; i < num_samples; ++i) {
    for (double& x : resample) x = values[random() % values.size()];
    results.push_back(statistic(resample));
  }
  estimate.low = percentile(results, 0.025);
  estimate.high = percentile(results, 0.975);
  return estimate;
}

Estimate share(const std::vector<bool>& outcomes, std::uint64_t seed) {
  std::vector<double> values;
  for (const bool outcome : outcomes) values.push_back(outcome ? 1.0 : 0.0);
  return bootstrap(
      values,
      [](std::span<const double> x) {
        return std::accumulate(x.begin(), x.end(), 0.0) / static_cast<double>(x.size());
      },
      seed);
}

LatencySummary summarise_latencies(std::span<const EventScore> scores, EventKind kind,
                                   std::uint64_t seed) {
  std::vector<double> latencies;
  for (const EventScore& score : scores) {
    if (score.kind == kind && score.is_counted) latencies.push_back(score.latency_s);
  }
  const auto at = [&](double fraction) {
    return bootstrap(
        latencies, [fraction](std::span<const double> x) { return percentile(x, fraction); }, seed);
  };
  const auto within = [&](double limit_s) {
    std::vector<bool> outcomes;
    for (const double latency : latencies) outcomes.push_back(latency <= limit_s + kHalfFrame);
    return share(outcomes, seed);
  };
  return {at(0.5), at(0.9), at(0.95), within(0.5), within(1.0), within(1.5)};
}

}  // namespace duet::runtime
