// `duet bench fdb make|run|words|score`: folders of Full-Duplex-Bench (docs/bench.md).

#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "runtime/bench/fdb_score.h"
#include "runtime/bench/fdb_words.h"
#include "runtime/bench/script.h"
#include "runtime/core/atomic_file.h"
#include "runtime/core/cancel.h"
#include "runtime/core/model_path.h"
#include "runtime/core/progress_bar.h"
#include "runtime/engine/torch_engine.h"
#include "tools/commands/commands.h"
#include "tools/commands/server_flags.h"

namespace duet::commands {
namespace {

namespace bench = runtime::bench;
namespace fdb = runtime::bench::fdb;

struct ScoreFlags {
  fdb::ScoreOptions options;
  bool ignores_transcripts = false;
  std::string json;

  void add_to(CLI::App& command) {
    command.add_flag("--fdb-compatible", options.is_compatible,
                     "Count as the published code does, its quirks included");
    command.add_flag("--by-sound", ignores_transcripts,
                     "Word times from the sound alone, even where there is an output.json");
    command.add_option("--people", options.people,
                       "icc_gt_distribution.json, for the JSD of backchannels");
    command.add_flag("--intervals", options.writes_intervals,
                     "v1.5: write latency_intervals.json into each folder");
    command.add_option("--json", json, "Report to write");
  }
  int score(const std::string& root) {
    options.uses_transcripts = !ignores_transcripts;
    const fdb::Report report = fdb::score(root, options);
    std::cout << report.to_text() << std::flush;
    if (!json.empty()) core::write_file_atomically(json, report.to_json());
    return report.problems.empty() ? 0 : 1;
  }
};

/// `work` (hooks -> failures) under a progress bar and Ctrl-C, then the score of what is there.
template <class Work>
int work_and_score(const char* label, const std::string& root, ScoreFlags& score, Work&& work) {
  const core::InterruptScope interrupt_scope;
  core::ProgressBar bar(label, 0);
  const std::vector<std::string> failures = work(bench::SuiteHooks{
      .on_progress = [&bar](std::size_t done,
                            std::size_t) { bar.update(static_cast<int64_t>(done)); },
      .should_stop = [] { return core::interrupted(); }});
  bar.finish();
  for (const std::string& failure : failures) std::cerr << "duet: bench: " << failure << '\n';
  const int code = score.score(root);
  return failures.empty() ? code : 1;
}

struct RunFlags {
  std::string root;
  std::string model = core::kDefaultModelName;
  bool again = false;
  runtime::SessionOptions session;
  ServerFlags server;
  ScoreFlags score;
};

int run(RunFlags& flags) {
  std::unique_ptr<runtime::Engine> engine;
  std::unique_ptr<bench::System> system;
  if (flags.server.options.url.empty()) {
    engine = engine::load_engine(core::find_model(flags.model).string());
    system = std::make_unique<bench::EngineSystem>(*engine);
  } else {
    system = flags.server.make();
  }
  return work_and_score("Full-Duplex-Bench", flags.root, flags.score, [&](const auto& hooks) {
    return fdb::answer(*system, flags.root, flags.session, flags.again, hooks);
  });
}

void add_fdb_run(CLI::App& parent, Dispatch& dispatch) {
  auto flags = std::make_shared<RunFlags>();
  CLI::App* command = parent.add_subcommand(
      "run", "Let a model or server answer every input.wav, then score; a stopped run goes on");
  command->add_option("folder", flags->root, "Folder of v1_0 and v1_5, of subsets, or a subset")
      ->required();
  CLI::Option* model = command->add_option("--model", flags->model,
                                           "Model directory, or the name of an installed one");
  command->add_flag("--again", flags->again, "Also where there is an output.wav");
  command->add_option("--seed", flags->session.seed, "Seed of the sampler");
  flags->server.add_to(*command);
  command->get_option("--url")->excludes(model);
  flags->score.add_to(*command);
  on_run(*command, dispatch, [flags] { return run(*flags); });
}

void add_fdb_score(CLI::App& parent, Dispatch& dispatch) {
  struct Flags {
    std::string root;
    ScoreFlags score;
  };
  auto flags = std::make_shared<Flags>();
  CLI::App* command = parent.add_subcommand("score", "Score what is there");
  command->add_option("folder", flags->root, "Folder of v1_0 and v1_5, of subsets, or a subset")
      ->required();
  flags->score.add_to(*command);
  on_run(*command, dispatch, [flags] { return flags->score.score(flags->root); });
}

void add_fdb_words(CLI::App& parent, Dispatch& dispatch) {
  struct Flags {
    std::string root, model = core::kDefaultModelName;
    bool again = false;
    ScoreFlags score;
  };
  auto flags = std::make_shared<Flags>();
  CLI::App* command = parent.add_subcommand(
      "words",
      "Write output.json, word times of every output.wav as a model's recogniser hears them, then "
      "score; a stopped run goes on");
  command->add_option("folder", flags->root, "Folder of v1_0 and v1_5, of subsets, or a subset")
      ->required();
  command->add_option("--model", flags->model, "Model directory, or the name of an installed one");
  command->add_flag("--again", flags->again, "Also where there is an output.json");
  flags->score.add_to(*command);
  on_run(*command, dispatch, [flags] {
    const auto engine = engine::load_engine(core::find_model(flags->model).string());
    return work_and_score("Words", flags->root, flags->score, [&](const auto& hooks) {
      return fdb::transcribe(*engine, flags->root, flags->again, hooks);
    });
  });
}

void add_fdb_make(CLI::App& parent, Dispatch& dispatch) {
  struct Flags {
    std::string suite, root;
  };
  auto flags = std::make_shared<Flags>();
  CLI::App* command = parent.add_subcommand(
      "make", "Write a suite's interruptions, pauses and backchannels as such folders");
  command->add_option("suite", flags->suite, "suite.yaml")->required();
  command->add_option("-o,--out", flags->root, "Folder to write")->required();
  on_run(*command, dispatch, [flags] {
    std::cout << fdb::make_from_suite(bench::load_script(flags->suite), flags->root)
              << " samples\n";
    return 0;
  });
}

}  // namespace

void add_bench_fdb(CLI::App& bench_command, Dispatch& dispatch) {
  CLI::App* command =
      bench_command.add_subcommand("fdb", "Full-Duplex-Bench v1.0 and v1.5: folders and metrics");
  command->require_subcommand(1);
  add_fdb_run(*command, dispatch);
  add_fdb_words(*command, dispatch);
  add_fdb_score(*command, dispatch);
  add_fdb_make(*command, dispatch);
}

}  // namespace duet::commands
