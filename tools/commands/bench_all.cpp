// `duet bench all`: the big table (docs/bench.md).

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "runtime/batching_engine.h"
#include "runtime/bench/table.h"
#include "runtime/bench/table_parts.h"
#include "runtime/core/atomic_file.h"
#include "runtime/core/cancel.h"
#include "runtime/core/error.h"
#include "runtime/core/model_path.h"
#include "runtime/core/progress_bar.h"
#include "runtime/engine/torch_engine.h"
#include "runtime/machine.h"
#include "tools/commands/commands.h"
#include "tools/speed/measure.h"

namespace duet::commands {
namespace {

namespace bench = runtime::bench;

struct AllOptions {
  std::string spec = "configs/bench/table.yaml";
  std::vector<std::string> overrides;
  std::string model = core::kDefaultModelName;
  std::string work = "run/table";
  std::string json, html;
  std::vector<std::string> only;
  int num_at_once = 8;
  int num_cores = 0;
};

/// Those that --only names, or all. Throws core::ConfigError.
std::vector<bench::TablePart> wanted_parts(const AllOptions& options,
                                           const bench::TableSpec& spec) {
  if (options.only.empty()) return spec.parts;
  std::vector<bench::TablePart> parts;
  std::string known;
  for (const bench::TablePart& part : spec.parts) {
    known += (known.empty() ? "" : ", ") + part.id;
    if (std::find(options.only.begin(), options.only.end(), part.id) != options.only.end())
      parts.push_back(part);
  }
  for (const std::string& id : options.only) {
    const bool is_known = std::any_of(parts.begin(), parts.end(),
                                      [&](const bench::TablePart& part) { return part.id == id; });
    if (!is_known) {
      throw core::ConfigError({.subject = "--only",
                               .expected = "a part (" + known + ")",
                               .found = id,
                               .file = options.spec,
                               .hint = ""});
    }
  }
  return parts;
}

class TableRun {
 public:
  TableRun(const AllOptions& options, std::vector<bench::TablePart> parts)
      : parts_(std::move(parts)),
        engine_(engine::load_engine(core::find_model(options.model).string())),
        num_cores_(options.num_cores > 0 ? options.num_cores
                                         : std::max(1, runtime::cpu_info().num_cores)),
        shared_(*engine_, {.max_batch = options.num_at_once, .num_workers = num_cores_}) {
    context_.engine = &shared_;
    context_.work = options.work;
    context_.num_at_once = options.num_at_once * num_cores_;
    context_.num_cores = num_cores_;
    context_.should_stop = [] { return core::interrupted(); };
    context_.measure_speed = [this](int num_steps) { return measure_speed(num_steps); };
  }

  std::string system() const {
    const runtime::EngineInfo& info = engine_->info();
    return info.model_name + " " + info.model_version + " (" + info.dtype + ")";
  }

  /// Fewer than all parts when it was stopped.
  std::vector<bench::PartResult> run() {
    const core::InterruptScope interrupt_scope;
    double total = 0.0, before = 0.0;
    for (const bench::TablePart& part : parts_) total += bench::cost_of(part);
    core::ProgressBar bar("table", static_cast<int64_t>(total));
    std::vector<bench::PartResult> results;
    for (const bench::TablePart& part : parts_) {
      const double cost = bench::cost_of(part);
      const std::string what = std::to_string(results.size() + 1) + " of " +
                               std::to_string(parts_.size()) + ": " + part.id;
      context_.on_progress = [&](double share) {
        bar.update(static_cast<int64_t>(before + share * cost), what);
      };
      context_.on_progress(0.0);
      auto result = bench::measure_part(part, context_);
      if (!result) break;
      results.push_back(std::move(*result));
      before += cost;
    }
    bar.finish();
    return results;
  }

 private:
  /// Of the model by itself: nothing else computes meanwhile.
  bench::SpeedReport measure_speed(int num_steps) {
    speed::MeasureOptions options;
    options.num_steps = num_steps;
    options.max_seconds = 600.0;
    options.should_stop = context_.should_stop;
    options.on_progress = [this](int done, int all) {
      context_.on_progress(static_cast<double>(done) / all);
    };
    return speed::measure(speed::load_parts(engine_->info().model_path), options);
  }

  std::vector<bench::TablePart> parts_;
  std::unique_ptr<runtime::Engine> engine_;
  int num_cores_;
  runtime::BatchingEngine shared_;
  bench::MeasureContext context_;
};

int run_all(const AllOptions& options) {
  const bench::TableSpec spec = bench::load_table_spec(options.spec, options.overrides);
  const std::vector<bench::TablePart> parts = wanted_parts(options, spec);
  std::filesystem::create_directories(options.work);
  TableRun run(options, parts);
  const auto results = run.run();
  const bench::Table table = bench::make_table(spec, results, run.system());
  std::cout << bench::to_text(table) << std::flush;
  if (!options.json.empty()) core::write_file_atomically(options.json, bench::to_json(table));
  if (!options.html.empty())
    core::write_file_atomically(options.html, bench::to_html(table, {.work = options.work}));
  if (results.size() < parts.size()) {
    std::cerr << "duet: bench: stopped after " << results.size() << " of " << parts.size()
              << " parts; the same command goes on from there\n";
    return 1;
  }
  return 0;
}

}  // namespace

void add_bench_all(CLI::App& bench_command, Dispatch& dispatch) {
  auto options = std::make_shared<AllOptions>();
  CLI::App* command = bench_command.add_subcommand(
      "all", "Everything a model is measured by, as one table; resumes where it stopped");
  command->add_option("table", options->spec, "YAML file, see configs/bench/table.yaml");
  command->add_option("--set", options->overrides,
                      "key.path=value, overrides the file; may be given again");
  command->add_option("--model", options->model,
                      "Model directory, or the name of an installed one");
  command->add_option("--work", options->work,
                      "Folder of what is measured already; a part that is done is not run again");
  command->add_option("--json", options->json, "Table to write");
  command->add_option("--html", options->html, "Page to write, with conversations to listen to");
  command->add_option("--only", options->only, "These parts only; may be given again");
  command->add_option("-j,--sharing", options->num_at_once, "Dialogues that share steps, a core")
      ->check(CLI::Range(1, 256));
  command->add_option("--cores", options->num_cores, "Cores that step; 0: all");
  on_run(*command, dispatch, [options] { return run_all(*options); });
}

}  // namespace duet::commands
