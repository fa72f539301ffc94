// How the figures of runtime/echo_bench.h are shown.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "runtime/echo_bench.h"

namespace duet::runtime {

namespace {

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

/// One row of the table, a cell for each contender.
template <class Scores, class Cell>
std::string table_row(const std::string& name, const Scores& scores, const Cell& cell) {
  std::string text = "| " + name + " |";
  for (const auto& score : scores) text += " " + cell(score) + " |";
  return text + "\n";
}

std::string decibels(const std::optional<double>& mean, const std::optional<double>& worst) {
  return mean && worst ? number(*mean, 1) + " (" + number(*worst, 1) + ")" : "-";
}

std::string own_echo(const EchoModelScore::Class& c) {
  if (c.hours <= 0.0) return "-";
  return std::to_string(c.num_stops) + " + " + std::to_string(c.num_starts) + " in " +
         number(c.hours * 60.0, 1) + " min (" + number((c.num_stops + c.num_starts) / c.hours, 1) +
         "/h, at most " + number(c.most_per_hour, 1) + ")";
}

std::string barge_in(const EchoModelScore::Talk& talk) {
  if (talk.success.n == 0) return "-";
  return number(100.0 * talk.success.value, 1) + " % of " + std::to_string(talk.success.n) + " (" +
         number(100.0 * talk.success.low, 1) + "-" + number(100.0 * talk.success.high, 1) + ")";
}

std::string rows_with_model(const EchoModelResult& model) {
  const auto& scores = model.scores;
  std::string text;
  for (std::size_t i = 0; i < scores[2].classes.size(); ++i) {
    text += table_row("own echo, THD " + number(100.0 * scores[2].classes[i].thd, 0) +
                          " %: false stops + false starts, playback",
                      scores, [i](const EchoModelScore& s) { return own_echo(s.classes[i]); });
    text += table_row("ERLE there, mean (worst room) [dB]", scores, [i](const EchoModelScore& s) {
      return decibels(s.classes[i].erle_db, s.classes[i].worst_erle_db);
    });
    text += table_row("answers in the control's words", scores, [i](const EchoModelScore& s) {
      return std::to_string(s.classes[i].num_same_words) + " of " +
             std::to_string(s.classes[i].num_replies);
    });
    text += table_row("other, shorter answers", scores, [i](const EchoModelScore& s) {
      return std::to_string(s.classes[i].num_shorter_answers);
    });
    text += table_row("half duplex [% of the time]", scores, [i](const EchoModelScore& s) {
      return number(100.0 * s.classes[i].half_duplex_share, 1);
    });
  }
  for (std::size_t i = 0; i < scores[2].talks.size(); ++i) {
    text += table_row("user " + number(scores[2].talks[i].below_echo_db, 0) +
                          " dB below the echo: agent silent within 1.5 s",
                      scores, [i](const EchoModelScore& s) { return barge_in(s.talks[i]); });
    text +=
        table_row("near-end gain there, mean (worst) [dB]", scores, [i](const EchoModelScore& s) {
          const auto& talk = s.talks[i];
          return talk.success.n == 0 ? "-" : decibels(talk.kept_db, talk.worst_kept_db);
        });
  }
  return text;
}

nlohmann::ordered_json json_of(const EchoModelScore& score) {
  nlohmann::ordered_json json;
  for (const auto& c : score.classes) {
    json["classes"].push_back({{"thd", c.thd},
                               {"hours", c.hours},
                               {"false_stops", c.num_stops},
                               {"false_starts", c.num_starts},
                               {"shorter_answers", c.num_shorter_answers},
                               {"most_per_hour", c.most_per_hour},
                               {"erle_db", c.erle_db.value_or(0.0)},
                               {"worst_erle_db", c.worst_erle_db.value_or(0.0)},
                               {"answers", c.num_replies},
                               {"same_words", c.num_same_words},
                               {"half_duplex_share", c.half_duplex_share}});
  }
  for (const auto& talk : score.talks) {
    json["interruptions"].push_back({{"below_echo_db", talk.below_echo_db},
                                     {"n", talk.success.n},
                                     {"success", talk.success.value},
                                     {"low", talk.success.low},
                                     {"high", talk.success.high},
                                     {"median_stop_s", talk.median_stop_s},
                                     {"kept_db", talk.kept_db},
                                     {"worst_kept_db", talk.worst_kept_db}});
  }
  return json;
}

}  // namespace

std::string EchoReportTable::to_text() const {
  std::string text =
      "| case | nothing | SpeexDSP, right delay given | full chain |\n|---|---|---|---|\n";
  if (model) text += rows_with_model(*model);
  const auto row = [&](const std::string& name, const auto& cell) {
    text += table_row(name, scores, cell);
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
  row("delay error after 2 s, median (worst) [ms]", [](const EchoScore& s) {
    return number(median(s.delay_error_ms), 2) + " (" + number(largest(s.delay_error_ms), 2) + ")";
  });
  row("added latency, 48 kHz [ms]",
      [](const EchoScore& s) { return number(s.added_latency_ms, 1); });
  row("CPU, 48 kHz [% of a core]", [](const EchoScore& s) { return number(100.0 * s.cpu, 2); });
  return text;
}

std::string EchoReportTable::to_json() const {
  nlohmann::ordered_json json;
  json["schema"] = "duet.echo/2";
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
    if (model) one["with_model"] = json_of(model->scores[c]);
    json[kEchoContenders[c]] = one;
  }
  if (model) {
    json["model"] = {{"name", model->system},
                     {"conversations", model->num_done},
                     {"wanted", model->num_wanted},
                     {"failed_steps", model->num_failures}};
  }
  return json.dump(2) + "\n";
}

}  // namespace duet::runtime
