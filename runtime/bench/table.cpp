#include "runtime/bench/table.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <nlohmann/json.hpp>

#include "runtime/bench/json_number.inc"
#include "runtime/core/config_reader.h"
#include "runtime/core/error.h"
#include "runtime/core/version.h"
#include "runtime/machine.h"

namespace duet::runtime::bench {

namespace {

namespace fs = std::filesystem;
using core::ConfigReader;
using core::DoubleRange;
using nlohmann::ordered_json;

constexpr const char* kSpecSchema = "duet.bench.table/1";
constexpr const char* kTableSchema = "duet.bench.table.report/1";
constexpr DoubleRange kLevel{-100.0, 100.0};
const std::vector<std::string> kPartKinds = {"suite", "questions", "quiet", "speed", "judged"};

void read_level(const ConfigReader& config, const char* key, std::optional<double>& db) {
  if (config.has(key)) db = config.get_double(key, kLevel);
}

/// `part` holds the defaults: those of the part that this one is like.
void read_questions(const ConfigReader& config, TablePart& part) {
  part.path = config.get_string("questions", part.path);
  part.split = config.get_string("split", part.split);
  part.limit = static_cast<std::size_t>(
      config.get_int("limit", static_cast<std::int64_t>(part.limit), core::IntRange{0, 1000000}));
  read_level(config, "noise_snr_db", part.disturbance.noise_snr_db);
  read_level(config, "babble_snr_db", part.disturbance.babble_snr_db);
  read_level(config, "speaker_db", part.disturbance.speaker_db);
  read_level(config, "echo_db", part.disturbance.echo_db);
  part.disturbance.echo_delay_ms = config.get_double(
      "echo_delay_ms", part.disturbance.echo_delay_ms, DoubleRange{10.0, 10000.0});
  part.num_conversations =
      static_cast<std::size_t>(config.get_int("conversations", 0, core::IntRange{0, 1000}));
  if (part.num_conversations > 0)
    part.minutes = config.get_double("minutes", DoubleRange{0.01, 1000.0});
}

/// The questions part that `like` names, or one with nothing set.
TablePart starting_point(const ConfigReader& config, const std::vector<TablePart>& before) {
  if (!config.has("like")) return {.split = "heldout"};
  const std::string like = config.get_string("like");
  for (const TablePart& part : before)
    if (part.id == like && part.kind == PartKind::kQuestions) return part;
  config.fail("like", "the id of a questions part above", "\"" + like + "\"");
}

TablePart read_part(const std::string& id, const ConfigReader& config,
                    const std::vector<TablePart>& before) {
  TablePart part = starting_point(config, before);
  part.id = id;
  part.settings += config.to_json(-1);
  part.how = config.get_string("how", part.how);
  std::vector<std::string> kinds;
  for (const std::string& kind : kPartKinds)
    if (config.has(kind)) kinds.push_back(kind);
  if (kinds.empty() && config.has("like")) kinds = {"questions"};
  if (kinds.size() != 1)
    config.fail("", "one of suite, questions, quiet, speed, judged, like",
                std::to_string(kinds.size()));
  part.kind = static_cast<PartKind>(std::find(kPartKinds.begin(), kPartKinds.end(), kinds[0]) -
                                    kPartKinds.begin());
  switch (part.kind) {
    case PartKind::kSuite:
      part.path = (fs::path(config.file()).parent_path() / config.get_string("suite")).string();
      if (config.has("mode"))
        part.mode = config.get_choice("mode", {"fixed", "reactive"}) == "fixed" ? Mode::kFixed
                                                                                : Mode::kReactive;
      break;
    case PartKind::kQuestions: read_questions(config, part); break;
    case PartKind::kQuiet: {
      const ConfigReader quiet = config.sub("quiet");
      part.minutes = quiet.get_double("minutes", DoubleRange{0.01, 1000.0});
      part.noise_db = quiet.get_double("noise_db", part.noise_db, DoubleRange{-200.0, 0.0});
      break;
    }
    case PartKind::kSpeed:
      part.num_steps =
          static_cast<int>(config.sub("speed").get_int("steps", core::IntRange{1, 1000000}));
      break;
    case PartKind::kJudged: part.path = config.get_string("judged"); break;
  }
  return part;
}

TableRow read_row(const ConfigReader& config) {
  TableRow row;
  row.label = config.get_string("label");
  row.reference = config.get_string("reference", "");
  row.missing = config.get_string("missing", "");
  const auto target = [&](const char* key) {
    return config.has(key) ? std::optional(config.get_double(key)) : std::nullopt;
  };
  row.at_least = target("at_least");
  row.at_most = target("at_most");
  if (!row.missing.empty()) return row;
  row.part = config.get_string("part");
  row.figure = config.get_string("figure");
  row.against = config.get_string("against", "");
  if (!row.against.empty()) row.against_figure = config.get_string("against_figure", row.figure);
  return row;
}

void check_references(const ConfigReader& config, const TableSpec& spec) {
  const auto require = [&](const std::string& id, const std::string& where) {
    const bool is_known = std::any_of(spec.parts.begin(), spec.parts.end(),
                                      [&](const TablePart& part) { return part.id == id; });
    if (!id.empty() && !is_known) config.fail(where, "the id of a part", "\"" + id + "\"");
  };
  for (const TableRow& row : spec.rows) {
    require(row.part, "rows: \"" + row.label + "\".part");
    require(row.against, "rows: \"" + row.label + "\".against");
  }
  for (const TablePart& part : spec.parts)
    if (part.kind == PartKind::kJudged) require(part.path, "parts." + part.id + ".judged");
}

const PartResult* find_part(const std::vector<PartResult>& results, const std::string& id) {
  const auto found = std::find_if(results.begin(), results.end(),
                                  [&](const PartResult& result) { return result.id == id; });
  return found == results.end() ? nullptr : &*found;
}

/// The figure, or nothing and why.
const Figure* figure_for(const std::vector<PartResult>& results, const std::string& part,
                         const std::string& id, std::string& missing) {
  const PartResult* result = find_part(results, part);
  if (result == nullptr) {
    missing = part + " has not been run";
  } else if (!result->missing.empty()) {
    missing = result->missing;
  } else if (const Figure* figure = find_figure(result->figures, id)) {
    return figure;
  } else {
    missing = "nothing counts for " + id + " in " + part;
  }
  return nullptr;
}

MeasuredRow measure_row(const TableRow& row, const std::vector<PartResult>& results) {
  MeasuredRow measured{.row = row, .missing = row.missing};
  if (!row.missing.empty()) return measured;
  const Figure* figure = figure_for(results, row.part, row.figure, measured.missing);
  if (figure == nullptr) return measured;
  measured.unit = figure->unit;
  if (row.against.empty()) {
    measured.estimate = figure->estimate();
  } else {
    const Figure* other = figure_for(results, row.against, row.against_figure, measured.missing);
    if (other == nullptr) return measured;
    const PairedDifference pairs =
        paired_difference(other->values, figure->values, statistic_of(row.figure));
    measured.estimate = {pairs.n, pairs.second - pairs.first, pairs.low, pairs.high};
    if (pairs.n == 0)
      measured.missing = row.part + " and " + row.against + " have no event in common";
  }
  if (measured.estimate.n > 0 && (row.at_least || row.at_most)) {
    // Figures lie on 10 ms frames and on whole events: what is equal but for rounding meets its
    // target.
    constexpr double kRounding = 1e-9;
    const double value = measured.estimate.value;
    measured.is_met = value >= row.at_least.value_or(-INFINITY) - kRounding &&
                      value <= row.at_most.value_or(INFINITY) + kRounding;
  }
  return measured;
}

std::string machine_text() {
  const CpuInfo cpu = cpu_info();
  return cpu.model + ", " + std::to_string(cpu.num_cores) +
         (cpu.num_cores == 1 ? " core; " : " cores; ") + core::version_text();
}

ordered_json row_json(const MeasuredRow& row) {
  ordered_json json = {{"label", row.row.label}};
  if (!row.row.part.empty()) json.update({{"part", row.row.part}, {"figure", row.row.figure}});
  if (!row.row.against.empty())
    json.update({{"against", row.row.against}, {"against_figure", row.row.against_figure}});
  if (row.row.at_least) json["at_least"] = *row.row.at_least;
  if (row.row.at_most) json["at_most"] = *row.row.at_most;
  if (!row.row.reference.empty()) json["reference"] = row.row.reference;
  if (!row.missing.empty()) {
    json["missing"] = row.missing;
    return json;
  }
  json.update({{"unit", unit_name(row.unit)},
               {"n", row.estimate.n},
               {"value", json_number(row.estimate.value)},
               {"low", json_number(row.estimate.low)},
               {"high", json_number(row.estimate.high)}});
  if (row.is_met) json["met"] = *row.is_met;
  return json;
}

MeasuredRow row_from(const ordered_json& json) {
  MeasuredRow row;
  row.row.label = json.at("label");
  row.row.part = json.value("part", "");
  row.row.figure = json.value("figure", "");
  row.row.against = json.value("against", "");
  row.row.against_figure = json.value("against_figure", "");
  row.row.reference = json.value("reference", "");
  if (json.contains("at_least")) row.row.at_least = json.at("at_least").get<double>();
  if (json.contains("at_most")) row.row.at_most = json.at("at_most").get<double>();
  row.missing = json.value("missing", "");
  if (!row.missing.empty()) return row;
  const auto value = [&](const char* key) {
    return json.at(key).is_null() ? std::numeric_limits<double>::infinity()
                                  : json.at(key).get<double>();
  };
  row.unit = unit_of(json.at("unit").get<std::string>()).value_or(Unit::kShare);
  row.estimate = {json.at("n"), value("value"), value("low"), value("high")};
  if (json.contains("met")) row.is_met = json.at("met").get<bool>();
  return row;
}

}  // namespace

TableSpec load_table_spec(const std::string& path, const std::vector<std::string>& overrides) {
  const ConfigReader config = ConfigReader::load_file(path, overrides);
  config.get_choice("schema", {kSpecSchema});
  TableSpec spec;
  spec.name = config.get_string("name");
  const ConfigReader parts = config.sub("parts");
  for (const std::string& id : parts.keys()) {
    if (id.find_first_of("/\\ ") != std::string::npos || id[0] == '.')
      parts.fail(id, "a name that can be a folder's", "\"" + id + "\"");
    spec.parts.push_back(read_part(id, parts.sub(id), spec.parts));
  }
  for (const ConfigReader& row : config.sub_list("rows")) spec.rows.push_back(read_row(row));
  config.finish();
  check_references(config, spec);
  return spec;
}

Table make_table(const TableSpec& spec, const std::vector<PartResult>& results,
                 const std::string& system) {
  Table table{.name = spec.name, .system = system, .machine = machine_text()};
  for (const TableRow& row : spec.rows) table.rows.push_back(measure_row(row, results));
  for (const PartResult& result : results)
    table.parts.push_back({result.id, {}, result.missing, result.seconds});
  return table;
}

std::string target_text(const MeasuredRow& row) {
  const auto& [least, most] = std::pair(row.row.at_least, row.row.at_most);
  if (least && most) return show(*least, row.unit) + " to " + show(*most, row.unit);
  if (least) return "at least " + show(*least, row.unit);
  return most ? "at most " + show(*most, row.unit) : "-";
}

std::string to_text(const Table& table) {
  std::string text = table.name + ": " + table.system + "\n";
  std::size_t num_met = 0, num_missed = 0, num_missing = 0;
  for (const MeasuredRow& row : table.rows) {
    num_missing += !row.missing.empty();
    if (!row.missing.empty()) {
      text += "  " + row.row.label + "\n      not measured: " + row.missing + "\n";
      continue;
    }
    num_met += row.is_met.value_or(false);
    num_missed += !row.is_met.value_or(true);
    char line[320];
    std::snprintf(line, sizeof line, "  %s\n      %9s  (95 %%: %s to %s, n %zu)  %s%s\n",
                  row.row.label.c_str(), show(row.estimate.value, row.unit).c_str(),
                  show(row.estimate.low, row.unit).c_str(),
                  show(row.estimate.high, row.unit).c_str(), row.estimate.n,
                  target_text(row).c_str(), row.is_met ? (*row.is_met ? ": met" : ": MISSED") : "");
    text += line;
  }
  return text + std::to_string(num_met) + " met, " + std::to_string(num_missed) + " missed, " +
         std::to_string(num_missing) + " not measured\n";
}

std::string to_json(const Table& table) {
  ordered_json json = {{"schema", kTableSchema},        {"name", table.name},
                       {"system", table.system},        {"machine", table.machine},
                       {"rows", ordered_json::array()}, {"parts", ordered_json::array()}};
  for (const MeasuredRow& row : table.rows) json["rows"].push_back(row_json(row));
  for (const PartResult& part : table.parts) {
    ordered_json entry = {{"id", part.id}, {"seconds", std::round(part.seconds)}};
    if (!part.missing.empty()) entry["missing"] = part.missing;
    json["parts"].push_back(entry);
  }
  return json.dump(1, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

Table load_table(const std::string& path) {
  const auto fail = [&](const std::string& found) {
    return core::LoadError({.subject = "table",
                            .expected = std::string("schema ") + kTableSchema,
                            .found = found,
                            .file = path,
                            .hint = "duet bench all --json writes one"});
  };
  std::ifstream stream(path, std::ios::binary);
  if (!stream) throw fail("no readable file");
  try {
    const ordered_json json =
        ordered_json::parse(std::string{std::istreambuf_iterator<char>(stream), {}});
    if (json.at("schema") != kTableSchema) throw fail(json.at("schema").dump());
    Table table{
        .name = json.at("name"), .system = json.at("system"), .machine = json.at("machine")};
    for (const auto& row : json.at("rows")) table.rows.push_back(row_from(row));
    for (const auto& part : json.at("parts"))
      table.parts.push_back({part.at("id"), {}, part.value("missing", ""), part.at("seconds")});
    return table;
  } catch (const ordered_json::exception& error) {
    throw fail(error.what());
  }
}

}  // namespace duet::runtime::bench
