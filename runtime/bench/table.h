#pragma once
// The big table: one row a promise (figure, target), the figures from parts that are measured one
// after the other (table_parts.h). configs/bench/table.yaml is the shipped one; docs/bench.md has
// the keys.

#include <optional>
#include <string>
#include <vector>

#include "runtime/bench/figures.h"
#include "runtime/bench/script.h"
#include "runtime/disturbance.h"

namespace duet::runtime::bench {

enum class PartKind { kSuite, kQuestions, kQuiet, kSpeed, kJudged };

struct TablePart {
  std::string id = {};
  PartKind kind = PartKind::kSuite;
  std::string path =
      {};                ///< suite.yaml; manifest.jsonl; the id of the part that a judge has heard.
  std::string how = {};  ///< How to get what may be missing.
  std::string settings = {};  ///< The part as read, as JSON: another text is another measurement.

  std::optional<Mode> mode = {};  ///< Suite; unset: its own.
  std::string split = {};         ///< Questions.
  std::size_t limit = 0;
  Disturbance disturbance = {};
  std::size_t num_conversations =
      0;                     ///< > 0: so many, of `minutes`, the same questions over and over.
  double minutes = 0.0;      ///< Quiet, and the above.
  double noise_db = -200.0;  ///< Quiet.
  int num_steps = 0;         ///< Speed.
};

struct TableRow {
  std::string label = {};
  std::string part = {}, figure = {};
  std::string against = {}, against_figure = {};  ///< Then the value is the difference to these.
  std::optional<double> at_least = {},
                        at_most = {};  ///< In the figure's unit: shares, seconds, MB.
  std::string reference = {};          ///< What others reach.
  std::string missing = {};            ///< Why nothing measures it; then the above is empty.
};

struct TableSpec {
  std::string name = {};
  std::vector<TablePart> parts = {};
  std::vector<TableRow> rows = {};
};

/// Suites are found from the file's folder, manifests from the working directory. Throws
/// core::LoadError, core::ConfigError.
TableSpec load_table_spec(const std::string& path, const std::vector<std::string>& overrides = {});

struct PartResult {
  std::string id = {};
  Figures figures = {};
  std::string missing =
      {};  ///< Why it could not be measured, and what to do; then there are no figures.
  double seconds = 0.0;  ///< It took.
};

struct MeasuredRow {
  TableRow row = {};
  Unit unit = Unit::kShare;
  Estimate estimate = {};  ///< n = 0: not measured.
  std::optional<bool> is_met =
      {};                    ///< By the value, not the interval; unset: no target, or not measured.
  std::string missing = {};  ///< Why it was not measured.
};

struct Table {
  std::string name = {}, system = {}, machine = {};
  std::vector<MeasuredRow> rows = {};
  std::vector<PartResult> parts = {};  ///< Without their figures.
};

/// Rows of parts that are not among `results` are "not measured".
Table make_table(const TableSpec& spec, const std::vector<PartResult>& results,
                 const std::string& system);

/// "barge-in success  98.8 %  97.0 % to 100.0 %  n 169  at least 98.0 %  met".
std::string to_text(const Table& table);
/// Schema "duet.bench.table.report/1".
std::string to_json(const Table& table);
/// Reads such a file. Throws core::LoadError.
Table load_table(const std::string& path);

struct TableHtml {
  std::string work = {};        ///< Folder of the parts: conversations of its suites are shown.
  std::size_t num_samples = 2;  ///< Conversations a suite, the first ones: neither best nor worst.
  std::string more = {};        ///< HTML between table and conversations.
};
/// One page with everything inside: the table, conversations with timelines, sound and
/// spectrograms.
std::string to_html(const Table& table, const TableHtml& options);

/// "at least 98.0 %", "at most 400 ms", "1 to 4", "-".
std::string target_text(const MeasuredRow& row);

}  // namespace duet::runtime::bench
