#include "runtime/bench/table_parts.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <nlohmann/json.hpp>

#include "runtime/answer_key.h"
#include "runtime/bench/suite_run.h"
#include "runtime/core/atomic_file.h"

namespace duet::runtime::bench {

namespace {

namespace fs = std::filesystem;

constexpr const char* kPartSchema = "duet.bench.part/1";
/// Of a question with its answer, and of a suite's dialogue with its control runs [s].
constexpr double kQuestionSeconds = 10.0, kDialogSeconds = 40.0;

std::string folder_of(const TablePart& part, const MeasureContext& context) {
  return (fs::path(context.work) / part.id).string();
}

/// What a kept result has to agree with: settings, material, model.
std::string owner_of(const TablePart& part, const MeasureContext& context) {
  const EngineInfo& info = context.engine->info();
  std::string owner =
      part.settings + " " + info.model_name + " " + info.model_version + " " + info.dtype;
  std::error_code error;
  for (const std::string& path :
       {part.path, info.model_path + "/model.safetensors", info.model_path + "/config.json"}) {
    if (!fs::is_regular_file(path, error)) continue;
    owner += " " + std::to_string(fs::file_size(path, error)) + "/" +
             std::to_string(fs::last_write_time(path, error).time_since_epoch().count());
  }
  return owner;
}

nlohmann::json figures_json(const Figures& figures) {
  nlohmann::json list = nlohmann::json::array();
  for (const Figure& figure : figures) {
    nlohmann::json values = nlohmann::json::array();
    // JSON has no infinity: null stands for "never".
    for (const auto& [event, value] : figure.values)
      values.push_back(
          {event, std::isfinite(value) ? nlohmann::json(value) : nlohmann::json(nullptr)});
    list.push_back({{"id", figure.id}, {"unit", unit_name(figure.unit)}, {"values", values}});
  }
  return list;
}

Figures figures_from(const nlohmann::json& list) {
  Figures figures;
  for (const nlohmann::json& entry : list) {
    Figure figure{
        entry.at("id"), unit_of(entry.at("unit").get<std::string>()).value_or(Unit::kShare), {}};
    for (const nlohmann::json& value : entry.at("values"))
      figure.values.emplace_back(value.at(0), value.at(1).is_null()
                                                  ? std::numeric_limits<double>::infinity()
                                                  : value.at(1).get<double>());
    figures.push_back(std::move(figure));
  }
  return figures;
}

std::string read_file(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

std::optional<PartResult> read_kept(const std::string& path, const std::string& id,
                                    const std::string& owner) {
  const nlohmann::json kept = nlohmann::json::parse(read_file(path), nullptr, false);
  if (!kept.is_object() || kept.value("schema", "") != kPartSchema ||
      kept.value("owner", "") != owner)
    return std::nullopt;
  return PartResult{id, figures_from(kept.at("figures")), "", kept.at("seconds")};
}

PartResult keep(const std::string& path, const std::string& owner, PartResult result) {
  const nlohmann::json kept = {{"schema", kPartSchema},
                               {"owner", owner},
                               {"seconds", result.seconds},
                               {"figures", figures_json(result.figures)}};
  core::write_file_atomically(
      path, kept.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
  return result;
}

/// The rows that tools/judge wrote beside the conversations of a questions part: right, by what the
/// judge heard; wer, of that against the agent's own text (only of replies in which it heard
/// anything).
Figures judged_figures(const std::string& heard_path) {
  Figure right{"right", Unit::kShare, {}};
  std::vector<WordErrors> errors;
  std::ifstream stream(heard_path);
  for (std::string line; std::getline(stream, line);) {
    const nlohmann::json row = nlohmann::json::parse(line, nullptr, false);
    if (!row.is_object() || !row.contains("is_right_as_heard")) continue;
    right.values.emplace_back(row.at("id"), row.at("is_right_as_heard").get<bool>());
    if (row.value("heard", "").empty()) continue;
    errors.push_back({row.at("id"), row.at("reply"), row.at("heard")});
  }
  return {right, word_error_rate("wer", errors)};
}

PartResult read_judged(const TablePart& part, const MeasureContext& context) {
  const std::string path = (fs::path(context.work) / part.path / "heard.jsonl").string();
  if (!fs::is_regular_file(path))
    return {part.id, {}, "no " + path + (part.how.empty() ? "" : ": " + part.how), 0.0};
  return {part.id, judged_figures(path), "", 0.0};
}

Figures measure_suite(const TablePart& part, const MeasureContext& context) {
  SuiteOptions options;
  options.mode = part.mode;
  options.folder = folder_of(part, context);
  options.num_threads = context.num_at_once;
  options.num_sharing = std::max(1, context.num_at_once / context.num_cores);
  const SuiteResult result =
      run_suite(*context.engine, load_script(part.path), options,
                {.on_progress =
                     [&](std::size_t done, std::size_t total) {
                       context.on_progress(static_cast<double>(done) / static_cast<double>(total));
                     },
                 .should_stop = context.should_stop});
  return figures_of(result);
}

Figures measure_questions(const TablePart& part, const MeasureContext& context,
                          const EvalHooks& hooks) {
  auto dialogs = load_eval_dialogs(part.path, part.split, part.limit);
  EvalOptions options{.disturbance = part.disturbance, .num_at_once = context.num_at_once};
  if (part.num_conversations > 0) {
    // No question and its answer take less than two seconds: so many rounds outlast the time.
    const double questions_each =
        static_cast<double>(dialogs.size()) / static_cast<double>(part.num_conversations);
    const auto num_rounds = static_cast<int>(part.minutes * 30.0 / questions_each) + 2;
    dialogs = repeat_turns(dialogs, part.num_conversations, num_rounds);
    options.max_dialog_s = 60.0 * part.minutes;
  } else {
    options.save_dir = folder_of(part, context);  // For a judge.
  }
  return figures_of(evaluate_questions(*context.engine, dialogs, options, hooks));
}

}  // namespace

double cost_of(const TablePart& part) {
  switch (part.kind) {
    case PartKind::kSuite: return kDialogSeconds * 60.0;
    case PartKind::kQuestions:
      if (part.num_conversations > 0)
        return 60.0 * part.minutes * static_cast<double>(part.num_conversations);
      return kQuestionSeconds * static_cast<double>(part.limit == 0 ? 200 : part.limit);
    case PartKind::kQuiet: return 60.0 * part.minutes;
    case PartKind::kSpeed: return 0.16 * part.num_steps;
    case PartKind::kJudged: break;
  }
  return 1.0;
}

std::optional<PartResult> measure_part(const TablePart& part, const MeasureContext& context) {
  if (part.kind == PartKind::kJudged) return read_judged(part, context);
  const bool has_path = part.kind == PartKind::kSuite || part.kind == PartKind::kQuestions;
  if (has_path && !fs::is_regular_file(part.path))
    return PartResult{
        part.id, {}, "no " + part.path + (part.how.empty() ? "" : ": " + part.how), 0.0};
  if (part.kind == PartKind::kSpeed && !context.measure_speed)
    return PartResult{part.id, {}, "steps of this system cannot be timed here", 0.0};
  const std::string folder = folder_of(part, context), path = folder + "/figures.json";
  const std::string owner = owner_of(part, context);
  if (auto kept = read_kept(path, part.id, owner)) return kept;
  fs::create_directories(folder);
  const EvalHooks hooks{
      .on_progress =
          [&](std::size_t done, std::size_t total) {
            context.on_progress(static_cast<double>(done) / static_cast<double>(total));
          },
      .should_stop = context.should_stop};
  const auto begin = std::chrono::steady_clock::now();
  PartResult result{part.id, {}, "", 0.0};
  switch (part.kind) {
    case PartKind::kSuite: result.figures = measure_suite(part, context); break;
    case PartKind::kQuestions: result.figures = measure_questions(part, context, hooks); break;
    case PartKind::kQuiet:
      result.figures =
          figures_of(evaluate_quiet(*context.engine, part.minutes, part.noise_db, {}, hooks));
      break;
    case PartKind::kSpeed:
      result.figures = figures_of(context.measure_speed(part.num_steps));
      break;
    case PartKind::kJudged: break;
  }
  if (context.should_stop()) return std::nullopt;
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  result.seconds = took.count();
  return keep(path, owner, std::move(result));
}

}  // namespace duet::runtime::bench
