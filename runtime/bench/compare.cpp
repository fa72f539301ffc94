#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <map>
#include <random>

#include "runtime/bench/metrics.h"
#include "runtime/core/error.h"

namespace duet::runtime::bench {

namespace {

/// Two that never come are equal.
double difference(double second, double first) {
  return std::isinf(first) && std::isinf(second) ? 0.0 : second - first;
}

struct Pairs {
  std::vector<double> first, second;
};

Pairs pair_up(const Values& first, const Values& second) {
  const std::map<std::string, double> by_key(second.begin(), second.end());
  Pairs pairs;
  for (const auto& [key, value] : first) {
    const auto found = by_key.find(key);
    if (found == by_key.end()) continue;
    pairs.first.push_back(value);
    pairs.second.push_back(found->second);
  }
  return pairs;
}

std::string show_difference(double value, Unit unit) {
  if (std::isinf(value)) return value > 0.0 ? "+never" : "-never";
  return (value < 0.0 ? "" : "+") + show(value, unit);
}

}  // namespace

PairedDifference paired_difference(const Values& first, const Values& second,
                                   StatisticFunction statistic, std::uint64_t seed,
                                   int num_samples) {
  const Pairs pairs = pair_up(first, second);
  PairedDifference result{.n = pairs.first.size()};
  if (result.n == 0) return result;
  result.first = statistic(pairs.first);
  result.second = statistic(pairs.second);
  std::mt19937_64 random(seed);
  Pairs sample = pairs;
  std::vector<double> differences;
  for (int i = 0; i < num_samples; ++i) {
    for (std::size_t k = 0; k < result.n; ++k) {
      const std::size_t pick = random() % result.n;
      sample.first[k] = pairs.first[pick];
      sample.second[k] = pairs.second[pick];
    }
    differences.push_back(difference(statistic(sample.second), statistic(sample.first)));
  }
  std::sort(differences.begin(), differences.end());
  // Nearest ranks: nothing is interpolated between finite and infinite differences.
  const auto rank = [&](double fraction) {
    return differences[static_cast<std::size_t>(fraction * (num_samples - 1) + 0.5)];
  };
  result.low = rank(0.025);
  result.high = rank(0.975);
  return result;
}

std::vector<Comparison> compare(const SuiteResult& first, const SuiteResult& second,
                                std::uint64_t seed, int num_samples) {
  if (first.fingerprint != second.fingerprint || first.mode != second.mode) {
    throw core::ConfigError(
        {.subject = "reports",
         .expected = first.suite + " (" + first.fingerprint + ", " + name_of(first.mode) + ")",
         .found = second.suite + " (" + second.fingerprint + ", " + name_of(second.mode) + ")",
         .file = "",
         .hint = "only runs of the same suite in the same mode can be compared"});
  }
  std::vector<Comparison> comparisons;
  for (const MetricDefinition& definition : metric_definitions()) {
    const auto [n, a, b, low, high] =
        paired_difference(values_of(definition, first), values_of(definition, second),
                          definition.statistic, seed, num_samples);
    if (n == 0) continue;
    const bool is_higher = low > 0.0, is_lower = high < 0.0;
    comparisons.push_back({.definition = &definition,
                           .n = n,
                           .first = a,
                           .second = b,
                           .low = low,
                           .high = high,
                           .is_regression = definition.is_lower_better ? is_higher : is_lower,
                           .is_improvement = definition.is_lower_better ? is_lower : is_higher});
  }
  return comparisons;
}

std::string to_text(const std::vector<Comparison>& comparisons, const SuiteResult& first,
                    const SuiteResult& second) {
  std::string text = first.suite + ", " + name_of(first.mode) + ": " + first.system + " -> " +
                     second.system + "\n";
  for (const Comparison& row : comparisons) {
    const Unit unit = row.definition->unit;
    char line[240];
    std::snprintf(line, sizeof line, "%-29s %9s -> %-9s (95 %%: %s to %s, n %zu)%s\n",
                  row.definition->label, show(row.first, unit).c_str(),
                  show(row.second, unit).c_str(), show_difference(row.low, unit).c_str(),
                  show_difference(row.high, unit).c_str(), row.n,
                  row.is_regression ? "  WORSE" : (row.is_improvement ? "  better" : ""));
    text += line;
  }
  return text;
}

}  // namespace duet::runtime::bench
