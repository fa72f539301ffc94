#include "runtime/bench/speed.h"

#include <sys/resource.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <numeric>

#include "runtime/activity.h"
#include "runtime/core/error.h"
#include "runtime/core/version.h"
#include "runtime/machine.h"

namespace duet::runtime::bench {

namespace {

using nlohmann::ordered_json;

template <typename... Values>
std::string format(const char* pattern, Values... values) {
  char text[320];
  std::snprintf(text, sizeof text, pattern, values...);
  return text;
}

std::string gigabytes(std::int64_t bytes) {
  return format("%.2f GB", static_cast<double>(bytes) / 1e9);
}

double rounded(double value) { return std::round(value * 1e3) / 1e3; }

std::string verdict(const SpeedReport& report) {
  const double rtf = report.rtf();
  if (rtf > 1.0) return format("%.1f times too slow for real time", rtf);
  if (report.num_misses() > 0) {
    return format("real time on average (RTF %.3f), but %zu steps came late", rtf,
                  report.num_misses());
  }
  return format("real time, %.1f times faster than needed", 1.0 / rtf);
}

}  // namespace

const StageTimes& SpeedReport::step() const {
  DUET_CHECK(!stages.empty() && !stages.back().ms.empty());
  return stages.back();
}

std::size_t SpeedReport::num_misses() const {
  const auto& ms = step().ms;
  return static_cast<std::size_t>(
      std::count_if(ms.begin(), ms.end(), [this](double x) { return x > budget_ms; }));
}

double SpeedReport::rtf() const { return summarise(step()).mean_ms / budget_ms; }

int SpeedReport::sessions_one_by_one() const {
  return static_cast<int>(kUsableBudget / rtf() + 1e-9);
}

int SpeedReport::sessions_together() const {
  int most = 0;
  for (const BatchPoint& point : batches)
    if (point.p95_ms <= kUsableBudget * budget_ms) most = std::max(most, point.sessions);
  return most;
}

StageSummary summarise(const StageTimes& times) {
  const auto& ms = times.ms;
  if (ms.empty()) return {.name = times.name};
  return {.name = times.name,
          .mean_ms = std::accumulate(ms.begin(), ms.end(), 0.0) / static_cast<double>(ms.size()),
          .p50_ms = percentile(ms, 0.5),
          .p95_ms = percentile(ms, 0.95),
          .p99_ms = percentile(ms, 0.99),
          .max_ms = percentile(ms, 1.0)};
}

std::string to_text(const SpeedReport& report) {
  const CpuInfo cpu = cpu_info();
  std::string text = report.subject + ", weights: " + report.weights + "; " +
                     format("%.1f M values, ", static_cast<double>(report.num_values) / 1e6) +
                     format("%zu steps of %.0f ms", report.step().ms.size(), report.budget_ms) +
                     format(" after %d of warm-up, %d %s\n", report.num_warm_up, report.num_threads,
                            report.num_threads == 1 ? "thread" : "threads");
  text += cpu.model + format(", %d %s; ", cpu.num_cores, cpu.num_cores == 1 ? "core" : "cores") +
          core::version_text() + "\n";
  text += "ms a step           mean      p50      p95      p99      max\n";
  for (const StageTimes& stage : report.stages) {
    const StageSummary s = summarise(stage);
    text += format("%-14s %9.2f%9.2f%9.2f%9.2f%9.2f\n", s.name.c_str(), s.mean_ms, s.p50_ms,
                   s.p95_ms, s.p99_ms, s.max_ms);
  }
  text += format("deadline misses      %zu of %zu\n", report.num_misses(), report.step().ms.size());
  text += format("RTF                  %.3f: ", report.rtf()) + verdict(report) + "\n";
  text +=
      format("conversations        %d a core, one after the other\n", report.sessions_one_by_one());
  for (const BatchPoint& point : report.batches) {
    text += format("%4d together        p50 %.2f ms, p95 %.2f ms, %.2f ms each\n", point.sessions,
                   point.p50_ms, point.p95_ms, point.p50_ms / point.sessions);
  }
  if (!report.batches.empty()) {
    const bool is_all = report.sessions_together() == report.batches.back().sessions;
    text += format("most together        %d%s\n", report.sessions_together(),
                   is_all ? ", the most that was tried" : "");
  }
  if (!report.batch_note.empty()) text += report.batch_note + "\n";
  text += "peak memory          " + gigabytes(report.peak_bytes) +
          format("; a conversation's state %.1f MB; ready after %.1f s\n",
                 static_cast<double>(report.session_bytes) / 1e6, report.load_s);
  return text;
}

std::string to_json(const SpeedReport& report) {
  const CpuInfo cpu = cpu_info();
  ordered_json json;
  json["schema"] = "duet.bench.speed/1";
  json["subject"] = report.subject;
  json["weights"] = report.weights;
  json["num_values"] = report.num_values;
  json["machine"] = {{"cpu", cpu.model},
                     {"cores", cpu.num_cores},
                     {"memory_bytes", memory_info().total_bytes},
                     {"build", core::version_text()}};
  json["threads"] = report.num_threads;
  json["budget_ms"] = report.budget_ms;
  json["warm_up_steps"] = report.num_warm_up;
  json["steps"] = report.step().ms.size();
  json["stages"] = ordered_json::array();
  for (const StageTimes& stage : report.stages) {
    const StageSummary s = summarise(stage);
    json["stages"].push_back({{"name", s.name},
                              {"mean_ms", rounded(s.mean_ms)},
                              {"p50_ms", rounded(s.p50_ms)},
                              {"p95_ms", rounded(s.p95_ms)},
                              {"p99_ms", rounded(s.p99_ms)},
                              {"max_ms", rounded(s.max_ms)}});
  }
  json["deadline_misses"] = report.num_misses();
  json["rtf"] = std::round(report.rtf() * 1e4) / 1e4;
  json["sessions_one_by_one"] = report.sessions_one_by_one();
  json["batches"] = ordered_json::array();
  for (const BatchPoint& point : report.batches) {
    json["batches"].push_back({{"sessions", point.sessions},
                               {"p50_ms", rounded(point.p50_ms)},
                               {"p95_ms", rounded(point.p95_ms)}});
  }
  if (!report.batches.empty()) json["sessions_together"] = report.sessions_together();
  json["batch_note"] = report.batch_note;
  json["peak_bytes"] = report.peak_bytes;
  json["session_bytes"] = report.session_bytes;
  json["load_s"] = rounded(report.load_s);
  return json.dump(1, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

std::int64_t peak_memory_bytes() noexcept {
  rusage usage{};
  if (::getrusage(RUSAGE_SELF, &usage) != 0) return 0;
  return std::int64_t{usage.ru_maxrss} * 1024;
}

}  // namespace duet::runtime::bench
