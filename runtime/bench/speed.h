#pragma once
// What a step costs on this machine, stage by stage, and how many conversations that leaves room
// for. The times come from elsewhere (tools/speed); this is what they mean.

#include <cstdint>
#include <string>
#include <vector>

namespace duet::runtime::bench {

struct StageTimes {
  std::string name;        ///< "encoder", "lm", ...; the last one is the whole "step".
  std::vector<double> ms;  ///< One a step.
};

struct StageSummary {
  std::string name;
  double mean_ms = 0.0, p50_ms = 0.0, p95_ms = 0.0, p99_ms = 0.0, max_ms = 0.0;
};

/// Steps of several conversations at once.
struct BatchPoint {
  int sessions = 1;
  double p50_ms = 0.0, p95_ms = 0.0;
};

struct SpeedReport {
  std::string subject;  ///< "coffee-bar 0.3", "nemo-1.2b".
  std::string weights;  ///< "the model's", "random, int8".
  double budget_ms = 80.0;
  int num_warm_up = 0;
  int num_threads = 1;  ///< Of LibTorch, inside a step.
  double load_s = 0.0;
  std::int64_t num_values = 0;     ///< Of all weights.
  std::int64_t session_bytes = 0;  ///< State of one conversation.
  std::int64_t peak_bytes = 0;     ///< Of the process.
  std::vector<StageTimes> stages;
  std::vector<BatchPoint> batches;  ///< Empty: not measured.
  std::string batch_note;           ///< How conversations share steps in this build.

  /// The whole step's.
  const StageTimes& step() const;
  std::size_t num_misses() const;  ///< Steps over the budget.
  double rtf() const;              ///< Mean step / budget.
  /// Conversations that fit into one core, steps one after the other, with a tenth of the time left
  /// free.
  int sessions_one_by_one() const;
  /// The most that were stepped together with p95 under nine tenths of the budget; 0: not even one,
  /// or not measured.
  int sessions_together() const;
};

/// Share of the budget that conversations may fill.
inline constexpr double kUsableBudget = 0.9;

StageSummary summarise(const StageTimes& times);
std::string to_text(const SpeedReport& report);
/// Schema "duet.bench.speed/1".
std::string to_json(const SpeedReport& report);
/// One self-contained page: stages, steps over time and the batch curve as SVG.
std::string to_html(const SpeedReport& report);

/// Highest resident memory of this process so far; 0 when unknown.
std::int64_t peak_memory_bytes() noexcept;

}  // namespace duet::runtime::bench
