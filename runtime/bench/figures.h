#pragma once
// Everything that is measured comes down to figures: values by the event that they come from, from
// which any statistic, its interval and paired differences follow. What a part of the big table
// (table.h) leaves behind.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/bench/metrics.h"
#include "runtime/bench/speed.h"
#include "runtime/question_eval.h"

namespace duet::runtime::bench {

/// "share", "s", "1/h", "1", "MB": how reports write it.
const char* unit_name(Unit unit);
/// The unit of such a name; nothing for another.
std::optional<Unit> unit_of(std::string_view name);

struct Figure {
  std::string id;  ///< "stop.median": statistic_of(id) is its statistic.
  Unit unit = Unit::kShare;
  Values values;  ///< By event.

  Estimate estimate() const;
};
using Figures = std::vector<Figure>;

/// What was said and what of it was heard.
struct WordErrors {
  std::string event, said, heard;
};
/// Word errors in such a unit that their mean is the word error rate of all texts together.
Figure word_error_rate(const std::string& id, const std::vector<WordErrors>& texts);

/// One a metric of metrics.h.
Figures figures_of(const SuiteResult& result);

/// answered, right, right.TOPIC, right.drink (orders), false_alarm, falls_silent, reply.median,
/// reply.p95, user_wer (of the model's own transcript); of conversations that repeat their turns
/// also right.first and right.last, answered.first and answered.last: the first round and the last
/// whole one, by question.
Figures figures_of(const EvalReport& report);

/// starts.sum: false starts, a value a minute.
Figures figures_of(const QuietReport& report);

/// step.median, step.p99 (seconds, a value a step); memory.conversation [MB].
Figures figures_of(const SpeedReport& report);

/// Nothing when there is none of that id.
const Figure* find_figure(const Figures& figures, const std::string& id);

}  // namespace duet::runtime::bench
