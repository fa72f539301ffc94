#include "runtime/bench/metrics.h"

#include <cmath>
#include <cstdio>
#include <numeric>

namespace duet::runtime::bench {

namespace {

using Value = std::optional<double>;
/// Activity lies on 10 ms frames: a limit is met within half of one.
constexpr double kHalfFrame = 0.005;

double mean(std::span<const double> x) {
  return std::accumulate(x.begin(), x.end(), 0.0) / static_cast<double>(x.size());
}
double median(std::span<const double> x) { return percentile(x, 0.5); }
double p90(std::span<const double> x) { return percentile(x, 0.9); }
double p95(std::span<const double> x) { return percentile(x, 0.95); }
double p99(std::span<const double> x) { return percentile(x, 0.99); }
double sum(std::span<const double> x) { return std::accumulate(x.begin(), x.end(), 0.0); }

Value counted_latency(const std::optional<EventScore>& score) {
  return score && score->is_counted ? Value(score->latency_s) : std::nullopt;
}
Value counted_success(const std::optional<EventScore>& score) {
  return score && score->is_counted ? Value(score->is_success) : std::nullopt;
}

Value stop(const EventResult& event, bool) { return counted_latency(event.stop); }

template <int kLimitMs>
Value stops_within(const EventResult& event, bool) {
  const Value latency = counted_latency(event.stop);
  return latency ? Value(*latency <= kLimitMs / 1000.0 + kHalfFrame) : std::nullopt;
}

/// SALM-Duplex's own condition: the agent was speaking at the onset, whatever it had done without.
Value paper_success(const EventResult& event, bool) {
  if (!event.stop || !event.is_agent_active) return std::nullopt;
  return event.stop->latency_s <= kBargeInSeconds + kHalfFrame;
}
Value paper_stop(const EventResult& event, bool is_first) {
  const Value success = paper_success(event, is_first);
  return success && *success > 0.0 ? Value(event.stop->latency_s) : std::nullopt;
}

Value interrupts(const EventResult& event, bool) {
  return event.kind == Kind::kInterruption ? Value(event.is_agent_active) : std::nullopt;
}

/// Of answered turns; those without an answer have their own row.
Value reply(const EventResult& event, bool) {
  const Value latency = counted_latency(event.reply);
  return latency && std::isfinite(*latency) ? latency : std::nullopt;
}
Value first_reply(const EventResult& event, bool is_first) {
  return is_first ? reply(event, is_first) : std::nullopt;
}
Value answered(const EventResult& event, bool) { return counted_success(event.reply); }

Value right(const EventResult& event, bool) {
  return event.is_right ? Value(*event.is_right) : std::nullopt;
}
Value false_alarm(const EventResult& event, bool) {
  return event.has_false_alarm ? Value(*event.has_false_alarm) : std::nullopt;
}
Value takeover(const EventResult& event, bool) {
  const Value respected = counted_success(event.pause);
  return respected ? Value(1.0 - *respected) : std::nullopt;
}

template <Kind kKind>
Value goes_on(const EventResult& event, bool) {
  return event.kind == kKind ? counted_success(event.goes_on) : std::nullopt;
}

Value echo_stops(const EventResult& event, bool) {
  if (event.kind != Kind::kEcho || !event.goes_on) return std::nullopt;
  const bool is_stop = event.goes_on->is_counted && !event.goes_on->is_success;
  return (is_stop ? 3600.0 : 0.0) / event.user.seconds();
}
Value echo_starts(const EventResult& event, bool) {
  if (event.kind != Kind::kEcho) return std::nullopt;
  return 3600.0 * event.num_false_starts / event.user.seconds();
}

}  // namespace

StatisticFunction statistic_of(std::string_view id) {
  const std::string_view name = id.substr(id.rfind('.') + 1);
  if (name == "median") return median;
  if (name == "p90") return p90;
  if (name == "p95") return p95;
  if (name == "p99") return p99;
  return name == "sum" ? sum : mean;
}

const std::vector<MetricDefinition>& metric_definitions() {
  using enum Unit;
  static const std::vector<MetricDefinition> definitions = {
      {"stop.median", "stop latency, median", kMilliseconds, true, stop, median},
      {"stop.p90", "stop latency, p90", kMilliseconds, true, stop, p90},
      {"stop.p95", "stop latency, p95", kMilliseconds, true, stop, p95},
      {"barge_in.500", "barge-in success in 0.5 s", kShare, false, stops_within<500>, mean},
      {"barge_in.1000", "barge-in success in 1.0 s", kShare, false, stops_within<1000>, mean},
      {"barge_in.1500", "barge-in success in 1.5 s", kShare, false, stops_within<1500>, mean},
      {"paper.barge_in", "barge-in success, paper's", kShare, false, paper_success, mean},
      {"paper.stop", "stop latency, paper's mean", kMilliseconds, true, paper_stop, mean},
      {"interrupting", "interruptions that interrupt", kShare, false, interrupts, mean},
      {"reply.median", "reply latency, median", kMilliseconds, true, reply, median},
      {"reply.p90", "reply latency, p90", kMilliseconds, true, reply, p90},
      {"reply.p95", "reply latency, p95", kMilliseconds, true, reply, p95},
      {"first_reply.mean", "first response, mean", kMilliseconds, true, first_reply, mean},
      {"answered", "answered within 3 s", kShare, false, answered, mean},
      {"right", "right answer, by text", kShare, false, right, mean},
      {"false_alarm", "false alarms", kShare, true, false_alarm, mean},
      {"takeover", "pauses taken over", kShare, true, takeover, mean},
      {"backchannel", "goes on: backchannel", kShare, false, goes_on<Kind::kBackchannel>, mean},
      {"noise", "goes on: noise", kShare, false, goes_on<Kind::kNoise>, mean},
      {"second_speaker", "goes on: second speaker", kShare, false, goes_on<Kind::kSecondSpeaker>,
       mean},
      {"echo.stops", "own echo: false stops", kPerHour, true, echo_stops, mean},
      {"echo.starts", "own echo: false starts", kPerHour, true, echo_starts, mean},
  };
  return definitions;
}

Values values_of(const MetricDefinition& definition, const SuiteResult& result) {
  Values values;
  for (const DialogResult& dialog : result.dialogs) {
    bool is_first = true;
    for (const EventResult& event : dialog.events) {
      const Value value = definition.value(event, is_first);
      if (value) values.emplace_back(dialog.id + "/" + event.id, *value);
      if (event.reply) is_first = false;
    }
  }
  return values;
}

std::vector<Metric> compute_metrics(const SuiteResult& result) {
  std::vector<Metric> metrics;
  for (const MetricDefinition& definition : metric_definitions()) {
    std::vector<double> values;
    for (const auto& [key, value] : values_of(definition, result)) values.push_back(value);
    if (!values.empty()) metrics.push_back({&definition, bootstrap(values, definition.statistic)});
  }
  return metrics;
}

std::string show(double value, Unit unit) {
  if (!std::isfinite(value)) return "never";
  char text[32];
  switch (unit) {
    case Unit::kMilliseconds: std::snprintf(text, sizeof text, "%.0f ms", 1000.0 * value); break;
    case Unit::kShare: std::snprintf(text, sizeof text, "%.1f %%", 100.0 * value); break;
    case Unit::kPerHour: std::snprintf(text, sizeof text, "%.1f /h", value); break;
    case Unit::kCount: std::snprintf(text, sizeof text, "%.0f", value); break;
    case Unit::kMegabytes: std::snprintf(text, sizeof text, "%.1f MB", value); break;
  }
  return text;
}

}  // namespace duet::runtime::bench
