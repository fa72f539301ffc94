#include "runtime/bench/report.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>

#include "runtime/bench/figures.h"
#include "runtime/bench/json_number.inc"
#include "runtime/bench/metrics.h"
#include "runtime/core/error.h"

namespace duet::runtime::bench {

namespace {

using nlohmann::ordered_json;
constexpr const char* kReportSchema = "duet.bench.report/1";

ordered_json metrics_json(const SuiteResult& result) {
  auto list = ordered_json::array();
  for (const Metric& metric : compute_metrics(result)) {
    list.push_back({{"id", metric.definition->id},
                    {"label", metric.definition->label},
                    {"unit", unit_name(metric.definition->unit)},
                    {"n", metric.estimate.n},
                    {"value", json_number(metric.estimate.value)},
                    {"low", json_number(metric.estimate.low)},
                    {"high", json_number(metric.estimate.high)}});
  }
  return list;
}

/// A dialogue as its own file has it, without what is the run's or depends on the machine.
ordered_json dialog_json(const DialogResult& dialog) {
  ordered_json json = ordered_json::parse(to_json(dialog, ""));
  for (const char* key : {"schema", "fingerprint", "compute_s"}) json.erase(key);
  return json;
}

DialogResult dialog_from(ordered_json json) {
  json["schema"] = "duet.bench.dialog/1";
  json["fingerprint"] = "";
  json["compute_s"] = 0.0;
  auto dialog = dialog_from_json(json.dump(), "");
  if (!dialog) throw ordered_json::other_error::create(501, "not a dialogue", nullptr);
  return std::move(*dialog);
}

/// How many dialogues failed, and why: each reason once.
std::string failures_text(const SuiteResult& result) {
  std::map<std::string, std::size_t> reasons;
  std::size_t count = 0;
  for (const DialogResult& dialog : result.dialogs) {
    if (dialog.error.empty()) continue;
    ++count;
    ++reasons[dialog.error];
  }
  if (count == 0) return "";
  std::string text = "failed dialogues: " + std::to_string(count) + "\n";
  for (const auto& [reason, n] : reasons) text += "  " + std::to_string(n) + ": " + reason + "\n";
  return text;
}

const EventScore* conditional_score(const EventResult& event) {
  if (event.stop) return &*event.stop;
  if (event.goes_on) return &*event.goes_on;
  return event.pause ? &*event.pause : nullptr;
}

}  // namespace

std::string counted_text(const SuiteResult& result) {
  std::map<Kind, std::pair<std::size_t, std::size_t>> counts;
  for (const DialogResult& dialog : result.dialogs) {
    for (const EventResult& event : dialog.events) {
      const EventScore* score = conditional_score(event);
      if (score == nullptr) continue;
      counts[event.kind].first += score->is_counted;
      ++counts[event.kind].second;
    }
  }
  std::string text;
  for (const auto& [kind, count] : counts) {
    text += (text.empty() ? "" : ", ") + std::string(name_of(kind)) + " " +
            std::to_string(count.first) + " of " + std::to_string(count.second);
  }
  return text;
}

std::string to_text(const SuiteResult& result) {
  std::string text = result.suite + ", " + name_of(result.mode) + " timeline, " +
                     std::to_string(result.dialogs.size()) + " of " +
                     std::to_string(result.num_dialogs) + " dialogues; " + result.system +
                     (result.dtype.empty() ? "" : " (" + result.dtype + ")") + "; seed " +
                     std::to_string(result.seed) + ", suite seed " +
                     std::to_string(result.suite_seed) + "\n";
  for (const Metric& metric : compute_metrics(result)) {
    const Unit unit = metric.definition->unit;
    const Estimate& estimate = metric.estimate;
    char line[200];
    std::snprintf(line, sizeof line, "%-29s %9s  (95 %%: %s to %s, n %zu)\n",
                  metric.definition->label, show(estimate.value, unit).c_str(),
                  show(estimate.low, unit).c_str(), show(estimate.high, unit).c_str(), estimate.n);
    text += line;
  }
  if (const std::string counted = counted_text(result); !counted.empty())
    text += "events that count: " + counted + "\n";
  text += failures_text(result);
  double lag_s = -1.0;
  for (const DialogResult& dialog : result.dialogs)
    lag_s = std::max(lag_s, dialog.lag_s.value_or(-1.0));
  if (lag_s >= 0.0) {
    char lag[120];
    std::snprintf(lag, sizeof lag, "%-29s %9s  (its channel behind the user's, at worst)\n",
                  "lag of the server", show(lag_s, Unit::kMilliseconds).c_str());
    text += lag;
  }
  if (result.audio_s > 0.0) {
    char speed[120];
    std::snprintf(speed, sizeof speed, "%-29s %9.3f  (%.0f s of audio, control runs included)\n",
                  "RTF of a step", result.compute_s / result.audio_s, result.audio_s);
    text += speed;
  }
  return text;
}

std::string to_json(const SuiteResult& result) {
  ordered_json json;
  json["schema"] = kReportSchema;
  json["system"] = {{"name", result.system},
                    {"dtype", result.dtype},
                    {"seed", result.seed},
                    {"temperature", result.temperature}};
  json["suite"] = {{"name", result.suite},
                   {"fingerprint", result.fingerprint},
                   {"mode", name_of(result.mode)},
                   {"seed", result.suite_seed},
                   {"dialogs", result.num_dialogs}};
  json["metrics"] = metrics_json(result);
  json["dialogs"] = ordered_json::array();
  for (const DialogResult& dialog : result.dialogs) json["dialogs"].push_back(dialog_json(dialog));
  json["speed"] = {{"audio_s", json_number(result.audio_s)},
                   {"compute_s", json_number(result.compute_s)},
                   {"resumed_dialogs", result.num_resumed}};
  return json.dump(1, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

SuiteResult load_report(const std::string& path) {
  const auto fail = [&](const std::string& found) {
    return core::LoadError({.subject = "report",
                            .expected = std::string("schema ") + kReportSchema,
                            .found = found,
                            .file = path,
                            .hint = "duet bench run --json writes one"});
  };
  std::ifstream stream(path, std::ios::binary);
  if (!stream) throw fail("no readable file");
  try {
    const ordered_json json =
        ordered_json::parse(std::string{std::istreambuf_iterator<char>(stream), {}});
    if (json.at("schema") != kReportSchema) throw fail(json.at("schema").dump());
    SuiteResult result;
    const ordered_json& system = json.at("system");
    result.system = system.at("name");
    result.dtype = system.at("dtype");
    result.seed = system.at("seed");
    result.temperature = system.at("temperature");
    const ordered_json& suite = json.at("suite");
    result.suite = suite.at("name");
    result.fingerprint = suite.at("fingerprint");
    result.mode = suite.at("mode") == name_of(Mode::kReactive) ? Mode::kReactive : Mode::kFixed;
    result.suite_seed = suite.at("seed");
    result.num_dialogs = suite.at("dialogs");
    for (const auto& dialog : json.at("dialogs")) result.dialogs.push_back(dialog_from(dialog));
    result.audio_s = json.at("speed").at("audio_s");
    result.compute_s = json.at("speed").at("compute_s");
    result.num_resumed = json.at("speed").at("resumed_dialogs");
    return result;
  } catch (const ordered_json::exception& error) {
    throw fail(error.what());
  }
}

double badness(const DialogResult& dialog) noexcept {
  if (!dialog.error.empty()) return 1e6;
  double sum = 0.0;
  const auto add = [&](const std::optional<EventScore>& score, double weight) {
    if (!score || !score->is_counted) return;
    if (!score->is_success) sum += weight;
    if (std::isfinite(score->latency_s)) sum += score->latency_s;
  };
  for (const EventResult& event : dialog.events) {
    add(event.stop, 100.0);
    add(event.goes_on, 100.0);
    add(event.pause, 100.0);
    add(event.reply, 50.0);
    if (event.has_false_alarm.value_or(false)) sum += 100.0;
    if (!event.is_right.value_or(true)) sum += 10.0;
    sum += 100.0 * event.num_false_starts;
  }
  return sum;
}

const std::vector<Reference>& references() {
  static constexpr const char* kPaper = "arXiv:2505.15670v4, section 4 (Impatient)";
  static const std::vector<Reference> list = {
      {"paper.barge_in", "SALM-Duplex", 0.945, kPaper},
      {"paper.barge_in", "Moshi", 0.551, kPaper},
      {"paper.stop", "SALM-Duplex", 0.69, kPaper},
      {"paper.stop", "Moshi", 0.81, kPaper},
      {"first_reply.mean", "SALM-Duplex", 0.92, kPaper},
      {"false_alarm", "SALM-Duplex", 0.0, kPaper},
      {"reply.median", "people (mean)", 0.21, "Stivers et al. 2009, ten languages"},
  };
  return list;
}

}  // namespace duet::runtime::bench
