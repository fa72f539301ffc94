// `duet bench run|make|render|compare`: scripted suites (docs/bench.md).

#include <algorithm>
#include <iostream>
#include <memory>
#include <string>

#include "runtime/batching_engine.h"
#include "runtime/bench/make_suite.h"
#include "runtime/bench/metrics.h"
#include "runtime/bench/report.h"
#include "runtime/bench/suite_run.h"
#include "runtime/core/atomic_file.h"
#include "runtime/core/cancel.h"
#include "runtime/core/model_path.h"
#include "runtime/core/progress_bar.h"
#include "runtime/engine/torch_engine.h"
#include "runtime/machine.h"
#include "tools/commands/commands.h"
#include "tools/commands/server_flags.h"

namespace duet::commands {
namespace {

namespace bench = runtime::bench;

struct RunOptions {
  std::string script;
  std::string model = core::kDefaultModelName;
  std::string outputs;
  std::string mode = "script";
  std::string json, html;
  ServerFlags server;
  bench::SuiteOptions suite;
};

bench::SuiteResult run_system(const RunOptions& options, const bench::Script& script,
                              const bench::System& system) {
  const core::InterruptScope interrupt_scope;
  const std::size_t limit = options.suite.limit == 0 ? script.dialogs.size() : options.suite.limit;
  core::ProgressBar bar(script.name, static_cast<int64_t>(std::min(limit, script.dialogs.size())));
  auto result = bench::run_suite(
      system, script, options.suite,
      {.on_progress = [&bar](std::size_t done,
                             std::size_t) { bar.update(static_cast<int64_t>(done)); },
       .should_stop = [] { return core::interrupted(); }});
  bar.finish();
  return result;
}

bench::SuiteResult run_server(RunOptions& options, const bench::Script& script) {
  // Many servers have one seat, and several conversations would slow each other down.
  if (options.suite.num_threads == 0) options.suite.num_threads = 1;
  return run_system(options, script, *options.server.make());
}

bench::SuiteResult run_any(RunOptions& options, const bench::Script& script) {
  if (options.mode == "fixed") options.suite.mode = bench::Mode::kFixed;
  if (options.mode == "reactive") options.suite.mode = bench::Mode::kReactive;
  if (!options.outputs.empty())
    return bench::score_outputs(script, options.outputs, options.suite.folder);
  if (!options.server.options.url.empty()) return run_server(options, script);
  constexpr int kSharing = 8;
  const auto engine = engine::load_engine(core::find_model(options.model).string());
  const int num_cores = std::max(1, runtime::cpu_info().num_cores);
  if (options.suite.num_threads == 0) options.suite.num_threads = kSharing * num_cores;
  options.suite.num_sharing = (options.suite.num_threads + num_cores - 1) / num_cores;
  const runtime::BatchingEngine shared(
      *engine, {.max_batch = options.suite.num_sharing, .num_workers = num_cores});
  return run_system(options, script, bench::EngineSystem(shared));
}

int run_suite(RunOptions& options) {
  const bench::Script script = bench::load_script(options.script);
  const bench::SuiteResult result = run_any(options, script);
  std::cout << bench::to_text(result) << std::flush;
  if (!options.json.empty()) core::write_file_atomically(options.json, bench::to_json(result));
  if (!options.html.empty()) {
    core::write_file_atomically(options.html,
                                bench::to_html(result, {.folder = options.suite.folder}));
  }
  if (!result.is_complete() && options.outputs.empty()) {
    std::cerr << "duet: bench: stopped after " << result.dialogs.size() << " of "
              << result.num_dialogs << " dialogues"
              << (options.suite.folder.empty() ? "\n" : "; the same command goes on from there\n");
    return 1;
  }
  return 0;
}

void add_suite_run(CLI::App& parent, Dispatch& dispatch) {
  auto options = std::make_shared<RunOptions>();
  CLI::App* command = parent.add_subcommand(
      "run", "Run a suite of scripted conversations: barge-in, pauses, backchannels, noise");
  command->add_option("suite", options->script, "suite.yaml, e.g. configs/bench/smoke/suite.yaml")
      ->required();
  command
      ->add_option("--mode", options->mode,
                   "fixed: the user's audio does not wait; reactive: it follows the agent's")
      ->check(CLI::IsMember({"script", "fixed", "reactive"}));
  command->add_option("--model", options->model,
                      "Model directory, or the name of an installed one");
  command->add_option(
      "--outputs", options->outputs,
      "Score this folder of finished outputs (see bench render) instead of a model");
  options->server.add_to(*command);
  command->get_option("--url")
      ->excludes(command->get_option("--outputs"))
      ->excludes(command->get_option("--model"));
  command->add_option("--work", options->suite.folder,
                      "Folder for one JSON and one WAV a dialogue; a stopped run goes on from it");
  command->add_option("--json", options->json, "Report to write");
  command->add_option("--html", options->html, "Page to write; --work adds waveforms and sound");
  command->add_option("-n,--limit", options->suite.limit, "At most so many dialogues; 0: all");
  command->add_option("-j,--threads", options->suite.num_threads,
                      "Dialogues side by side, which share steps; 0: eight a core, with --url one");
  command->add_option("--seed", options->suite.session.seed, "Seed of the sampler");
  command->add_option("--temperature", options->suite.session.temperature, "0 is greedy")
      ->check(CLI::Range(0.0, 2.0));
  command->add_option("--interruptibility", options->suite.session.interruptibility,
                      "Bias towards falling silent; default: the model's");
  on_run(*command, dispatch, [options] { return run_suite(*options); });
}

void add_make(CLI::App& parent, Dispatch& dispatch) {
  struct Options {
    bench::MakeOptions make;
    std::string kind;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = parent.add_subcommand("make", "Make a suite from recorded questions");
  command->add_option("kind", options->kind, "Which suite")
      ->required()
      ->check(CLI::IsMember(bench::suite_names()));
  command->add_option("manifest", options->make.manifest, "manifest.jsonl of tools/train/data")
      ->required();
  command->add_option("-o,--out", options->make.folder, "Folder to write")->required();
  command->add_option("--split", options->make.splits, "Which of its entries");
  command->add_option("-n,--dialogs", options->make.num_dialogs, "How many dialogues");
  command->add_option("--clips", options->make.max_clips, "At most so many questions");
  command->add_option("--seed", options->make.seed, "Of the draws");
  command->add_option("--bitrate", options->make.bitrate_bps, "Of the Opus files [bit/s]");
  on_run(*command, dispatch, [options] {
    options->make.kind = bench::suite_kind(options->kind);
    const std::string path = bench::make_suite(options->make);
    bench::load_script(path);
    std::cout << path << '\n';
    return 0;
  });
}

void add_render(CLI::App& parent, Dispatch& dispatch) {
  struct Options {
    std::string script, folder;
    int rate_hz = 16000;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = parent.add_subcommand(
      "render", "Write a suite's user channels as WAV, for systems that are run elsewhere");
  command->add_option("suite", options->script, "suite.yaml")->required();
  command->add_option("-o,--out", options->folder, "Folder to write")->required();
  command->add_option("--rate", options->rate_hz, "Sample rate [Hz]")
      ->check(CLI::Range(8000, 96000));
  on_run(*command, dispatch, [options] {
    std::cout << bench::render_suite(bench::load_script(options->script), options->folder,
                                     options->rate_hz)
              << " files\n";
    return 0;
  });
}

void add_compare(CLI::App& parent, Dispatch& dispatch) {
  auto paths = std::make_shared<std::vector<std::string>>();
  CLI::App* command = parent.add_subcommand(
      "compare", "Put reports of one suite beside the first; exit code 1 when one is worse");
  command->add_option("reports", *paths, "Reports written by --json")->required()->expected(2, 100);
  on_run(*command, dispatch, [paths] {
    const bench::SuiteResult first = bench::load_report(paths->front());
    bool is_worse = false;
    for (std::size_t i = 1; i < paths->size(); ++i) {
      const bench::SuiteResult second = bench::load_report((*paths)[i]);
      const auto rows = bench::compare(first, second);
      std::cout << bench::to_text(rows, first, second);
      for (const bench::Comparison& row : rows) is_worse = is_worse || row.is_regression;
    }
    return is_worse ? 1 : 0;
  });
}

}  // namespace

void add_bench_suite(CLI::App& bench_command, Dispatch& dispatch) {
  add_suite_run(bench_command, dispatch);
  add_make(bench_command, dispatch);
  add_render(bench_command, dispatch);
  add_compare(bench_command, dispatch);
}

}  // namespace duet::commands
