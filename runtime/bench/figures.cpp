#include "runtime/bench/figures.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

namespace duet::runtime::bench {

namespace {

/// In the order of Unit.
constexpr std::array<const char*, 5> kUnitNames = {"s", "share", "1/h", "1", "MB"};

/// Turns of one round by their own ids, so that rounds can be paired.
void add_round(Figures& figures, const std::string& name, const EvalReport& report, int round) {
  Figure right{"right." + name, Unit::kShare, {}}, answered{"answered." + name, Unit::kShare, {}};
  for (const EvalTurnResult& turn : report.turns) {
    if (turn.round != round) continue;
    right.values.emplace_back(turn.id, turn.is_right);
    answered.values.emplace_back(turn.id, turn.score.is_counted && turn.score.is_success);
  }
  figures.push_back(std::move(right));
  figures.push_back(std::move(answered));
}

/// The last round in which as many turns were asked as in the first.
int last_whole_round(const EvalReport& report) {
  std::map<int, std::size_t> counts;
  for (const EvalTurnResult& turn : report.turns) ++counts[turn.round];
  int last = 0;
  for (const auto& [round, count] : counts)
    if (count == counts[0]) last = round;
  return last;
}

}  // namespace

const char* unit_name(Unit unit) { return kUnitNames[static_cast<std::size_t>(unit)]; }

std::optional<Unit> unit_of(std::string_view name) {
  const auto found = std::find(kUnitNames.begin(), kUnitNames.end(), name);
  if (found == kUnitNames.end()) return std::nullopt;
  return static_cast<Unit>(found - kUnitNames.begin());
}

Estimate Figure::estimate() const {
  std::vector<double> all;
  for (const auto& [event, value] : values) all.push_back(value);
  return bootstrap(all, statistic_of(id));
}

Figure word_error_rate(const std::string& id, const std::vector<WordErrors>& texts) {
  Figure figure{id, Unit::kShare, {}};
  double num_words = 0.0;
  for (const auto& [event, said, heard] : texts) {
    const auto wanted = normalise_words(said);
    figure.values.emplace_back(event, count_word_errors(wanted, normalise_words(heard)));
    num_words += static_cast<double>(wanted.size());
  }
  for (auto& [event, value] : figure.values)
    value *= static_cast<double>(texts.size()) / std::max(1.0, num_words);
  return figure;
}

Figures figures_of(const SuiteResult& result) {
  Figures figures;
  for (const MetricDefinition& definition : metric_definitions()) {
    Values values = values_of(definition, result);
    if (!values.empty()) figures.push_back({definition.id, definition.unit, std::move(values)});
  }
  return figures;
}

Figures figures_of(const EvalReport& report) {
  std::map<std::string, Figure> by_id;
  const auto add = [&](const std::string& id, Unit unit, const std::string& event, double value) {
    Figure& figure = by_id.try_emplace(id, Figure{id, unit, {}}).first->second;
    figure.values.emplace_back(event, value);
  };
  for (const EvalTurnResult& turn : report.turns) {
    const std::string event =
        turn.round == 0 ? turn.id : turn.id + "@" + std::to_string(turn.round);
    add("answered", Unit::kShare, event, turn.score.is_counted && turn.score.is_success);
    add("right", Unit::kShare, event, turn.is_right);
    add("right." + turn.topic, Unit::kShare, event, turn.is_right);
    if (turn.is_drink_right) add("right.drink", Unit::kShare, event, *turn.is_drink_right);
    add("false_alarm", Unit::kShare, event, turn.has_false_alarm);
    add("falls_silent", Unit::kShare, event, turn.falls_silent);
    if (turn.score.is_counted && std::isfinite(turn.score.latency_s))
      for (const char* id : {"reply.median", "reply.p95"})
        add(id, Unit::kMilliseconds, event, turn.score.latency_s);
  }
  std::vector<WordErrors> heard;
  bool has_words = false;
  for (const EvalTurnResult& turn : report.turns) {
    heard.push_back({turn.id, turn.text, turn.heard});
    has_words = has_words || !turn.heard.empty();
  }
  Figures figures;
  if (has_words) figures.push_back(word_error_rate("user_wer", heard));
  for (auto& [id, figure] : by_id) figures.push_back(std::move(figure));
  if (const int last = last_whole_round(report); last > 0) {
    add_round(figures, "first", report, 0);
    add_round(figures, "last", report, last);
  }
  return figures;
}

Figures figures_of(const QuietReport& report) {
  Figure starts{"starts.sum", Unit::kCount, {}};
  const auto num_minutes = static_cast<int>(std::ceil(report.minutes - 1e-6));
  for (int minute = 0; minute < num_minutes; ++minute) {
    const auto count = std::count_if(
        report.starts.begin(), report.starts.end(),
        [&](const Segment& segment) { return static_cast<int>(segment.start_s / 60.0) == minute; });
    starts.values.emplace_back("minute " + std::to_string(minute + 1), count);
  }
  return {starts};
}

Figures figures_of(const SpeedReport& report) {
  Figure median{"step.median", Unit::kMilliseconds, {}}, p99{"step.p99", Unit::kMilliseconds, {}};
  for (const double ms : report.step().ms)
    median.values.emplace_back("step " + std::to_string(median.values.size() + 1), ms / 1000.0);
  p99.values = median.values;
  const Figure memory{"memory.conversation",
                      Unit::kMegabytes,
                      {{"state", static_cast<double>(report.session_bytes) * 1e-6}}};
  return {median, p99, memory};
}

const Figure* find_figure(const Figures& figures, const std::string& id) {
  const auto found = std::find_if(figures.begin(), figures.end(),
                                  [&](const Figure& figure) { return figure.id == id; });
  return found == figures.end() ? nullptr : &*found;
}

}  // namespace duet::runtime::bench
