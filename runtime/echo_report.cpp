// How the figures of runtime/echo_bench.h are shown.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <nlohmann/json.hpp>

#include "runtime/echo_bench.h"

namespace duet::runtime {

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

std::string number(double value, int digits) {
  if (!std::isfinite(value)) return value < 0 ? "-" : "never";
  char text[32];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

double median(const std::vector<double>& values) {
  if (values.empty()) return -kInfinity;
  auto sorted = values;
  std::sort(sorted.begin(), sorted.end());
  return sorted[sorted.size() / 2];
}

double largest(const std::vector<double>& values) {
  return values.empty() ? -kInfinity : *std::max_element(values.begin(), values.end());
}

}  // namespace

std::string EchoReportTable::to_text() const {
  std::string text =
      "| case | nothing | SpeexDSP, right delay given | full chain |\n|---|---|---|---|\n";
  const auto row = [&](const std::string& name, const auto& cell) {
    text += "| " + name + " |";
    for (const EchoScore& score : scores) text += " " + cell(score) + " |";
    text += "\n";
  };
  for (std::size_t i = 0; i < scores[2].classes.size(); ++i) {
    const auto& first = scores[2].classes[i];
    row("own echo taken for a voice, THD " + number(100.0 * first.thd, 0) + " %, " +
            number(first.hours * 60.0, 0) + " min",
        [i](const EchoScore& s) {
          const auto& c = s.classes[i];
          return std::to_string(c.num_false) + " (" +
                 number(c.num_false / std::max(c.hours, 1e-9), 0) + "/h)";
        });
    row("ERLE there, mean (worst room) [dB]", [i](const EchoScore& s) {
      return number(s.classes[i].erle_db, 1) + " (" + number(s.classes[i].worst_erle_db, 1) + ")";
    });
  }
  for (std::size_t i = 0; i < scores[2].talks.size(); ++i) {
    row("interruption " + number(scores[2].talks[i].below_echo_db, 0) +
            " dB below the echo heard within 1 s",
        [i](const EchoScore& s) {
          return std::to_string(s.talks[i].num_heard) + " of " + std::to_string(s.talks[i].num);
        });
    row("near-end gain there, mean (worst) [dB]", [i](const EchoScore& s) {
      return number(s.talks[i].kept_db, 1) + " (" + number(s.talks[i].worst_kept_db, 1) + ")";
    });
  }
  row("path change to 15 dB, median (worst) [s]", [](const EchoScore& s) {
    return number(median(s.reconverge_s), 2) + " (" + number(largest(s.reconverge_s), 2) + ")";
  });
  row("delay error after 3 s, median (worst) [ms]", [](const EchoScore& s) {
    return number(median(s.delay_error_ms), 2) + " (" + number(largest(s.delay_error_ms), 2) + ")";
  });
  row("added latency, 48 kHz [ms]",
      [](const EchoScore& s) { return number(s.added_latency_ms, 1); });
  row("CPU, 48 kHz [% of a core]", [](const EchoScore& s) { return number(100.0 * s.cpu, 2); });
  return text;
}

std::string EchoReportTable::to_json() const {
  nlohmann::ordered_json json;
  json["schema"] = "duet.echo/1";
  json["rooms"] = options.num_rooms;
  for (std::size_t c = 0; c < scores.size(); ++c) {
    const EchoScore& score = scores[c];
    nlohmann::ordered_json one;
    for (const auto& k : score.classes)
      one["classes"].push_back({{"thd", k.thd},
                                {"hours", k.hours},
                                {"false", k.num_false},
                                {"erle_db", k.erle_db},
                                {"worst_erle_db", k.worst_erle_db}});
    for (const auto& k : score.talks)
      one["talks"].push_back({{"below_echo_db", k.below_echo_db},
                              {"num", k.num},
                              {"heard", k.num_heard},
                              {"kept_db", k.kept_db}});
    const auto list = [](const std::vector<double>& values) {
      auto result = nlohmann::ordered_json::array();
      for (const double v : values)
        result.push_back(std::isfinite(v) ? nlohmann::ordered_json(v) : nlohmann::ordered_json());
      return result;
    };
    one["reconverge_s"] = list(score.reconverge_s);
    one["delay_error_ms"] = list(score.delay_error_ms);
    one["added_latency_ms"] = score.added_latency_ms;
    one["cpu"] = score.cpu;
    json[kEchoContenders[c]] = one;
  }
  return json.dump(2) + "\n";
}

}  // namespace duet::runtime
