#pragma once
// The figures of a report, each from the events that count for it (docs/bench.md says which), with
// its bootstrap interval and n. One table of definitions serves reports and comparisons.

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/bench/suite_run.h"
#include "runtime/scorer.h"

namespace duet::runtime::bench {

enum class Unit { kMilliseconds, kShare, kPerHour, kCount, kMegabytes };

using StatisticFunction = double (*)(std::span<const double> values);
/// What the last part of an id names (median, p90, p95, p99, sum); otherwise the mean.
StatisticFunction statistic_of(std::string_view id);

struct MetricDefinition {
  const char* id;     ///< "stop.median"
  const char* label;  ///< For people.
  Unit unit;
  bool is_lower_better;
  /// Value of an event, nothing when it does not count. `is_first`: the dialogue's first turn.
  std::optional<double> (*value)(const EventResult& event, bool is_first);
  StatisticFunction statistic;
};
const std::vector<MetricDefinition>& metric_definitions();

struct Metric {
  const MetricDefinition* definition;
  Estimate estimate;
};

/// "dialogue/event" and its value, in order.
using Values = std::vector<std::pair<std::string, double>>;
Values values_of(const MetricDefinition& definition, const SuiteResult& result);

/// Those that some event counts for.
std::vector<Metric> compute_metrics(const SuiteResult& result);

/// "350 ms", "94.5 %", "2.0 /h"; "never" for an infinite latency.
std::string show(double value, Unit unit);

/// A statistic of two systems on the events that count in both, and the 95 % interval of the
/// second's minus the first's, by resampling pairs.
struct PairedDifference {
  std::size_t n = 0;
  double first = 0.0, second = 0.0;
  double low = 0.0, high = 0.0;
};
PairedDifference paired_difference(const Values& first, const Values& second,
                                   StatisticFunction statistic, std::uint64_t seed = 1,
                                   int num_samples = 2000);

/// Two systems on the same events. Positive differences: the second's figure is higher.
struct Comparison {
  const MetricDefinition* definition;
  std::size_t n = 0;  ///< Events that count in both.
  double first = 0.0, second = 0.0;
  double low = 0.0, high = 0.0;  ///< 95 % interval of the difference, by resampling pairs.
  bool is_regression = false;    ///< The interval lies wholly on the worse side of zero.
  bool is_improvement = false;
};

/// Throws core::ConfigError when they are of different suites or modes.
std::vector<Comparison> compare(const SuiteResult& first, const SuiteResult& second,
                                std::uint64_t seed = 1, int num_samples = 2000);
std::string to_text(const std::vector<Comparison>& comparisons, const SuiteResult& first,
                    const SuiteResult& second);

}  // namespace duet::runtime::bench
