#include <algorithm>
#include <iostream>
#include <memory>
#include <string>

#include "runtime/batching_engine.h"
#include "runtime/core/atomic_file.h"
#include "runtime/core/cancel.h"
#include "runtime/core/model_path.h"
#include "runtime/core/progress_bar.h"
#include "runtime/engine/torch_engine.h"
#include "runtime/machine.h"
#include "runtime/question_eval.h"
#include "tools/commands/commands.h"

namespace duet::commands {
namespace {

struct ModelOptions {
  std::string model = core::kDefaultModelName;
  runtime::SessionOptions session;

  void add_to(CLI::App& command) {
    command.add_option("--model", model, "Model directory, or the name of an installed model");
    command.add_option("--seed", session.seed, "Seed of the sampler, for --temperature");
    command.add_option("--temperature", session.temperature, "0 is greedy")
        ->check(CLI::Range(0.0, 2.0));
    command.add_option("--interruptibility", session.interruptibility,
                       "Bias towards falling silent; default: the model's");
  }
  std::unique_ptr<runtime::Engine> load() const {
    return engine::load_engine(core::find_model(model).string());
  }
};

runtime::EvalHooks hooks_for(core::ProgressBar& bar) {
  return {.on_progress = [&bar](std::size_t done,
                                std::size_t) { bar.update(static_cast<int64_t>(done)); },
          .should_stop = [] { return core::interrupted(); }};
}

struct QuestionOptions {
  ModelOptions model;
  std::string manifest;
  std::string split = "heldout";
  std::size_t limit = 200;
  std::uint64_t order_seed = 1;
  std::string json;
  std::string save_dir;
  int batch = 8;
};

int run_questions(const QuestionOptions& options) {
  const auto dialogs = runtime::load_eval_dialogs(options.manifest, options.split, options.limit,
                                                  options.order_seed);
  const auto engine = options.model.load();
  const core::InterruptScope interrupt_scope;
  core::ProgressBar bar("questions", static_cast<int64_t>(dialogs.size()));
  const int num_cores = std::max(1, runtime::cpu_info().num_cores);
  const runtime::BatchingEngine shared(*engine,
                                       {.max_batch = options.batch, .num_workers = num_cores});
  const auto report = runtime::evaluate_questions(shared, dialogs,
                                                  {.session = options.model.session,
                                                   .save_dir = options.save_dir,
                                                   .num_at_once = options.batch * num_cores},
                                                  hooks_for(bar));
  bar.finish();
  std::cout << report.to_text() << std::flush;
  if (!options.json.empty()) core::write_file_atomically(options.json, report.to_json());
  return 0;
}

void add_questions(CLI::App& parent, Dispatch& dispatch) {
  auto options = std::make_shared<QuestionOptions>();
  CLI::App* command = parent.add_subcommand(
      "questions", "Ask recorded questions one by one: answered, right, how fast");
  command->add_option("manifest", options->manifest, "manifest.jsonl of tools/train/data")
      ->required();
  command->add_option("--split", options->split, "Which of its entries");
  command->add_option("-n,--limit", options->limit,
                      "At most so many turns (whole conversations); 0: all");
  command->add_option("--order-seed", options->order_seed, "Which ones, when there are more");
  command->add_option("--json", options->json, "Report to write");
  command->add_option("--save", options->save_dir,
                      "Folder for the conversations as stereo WAV and results.jsonl, for a judge");
  command->add_option("--batch", options->batch, "Conversations that share a step, on each core")
      ->check(CLI::Range(1, 256));
  options->model.add_to(*command);
  on_run(*command, dispatch, [options] { return run_questions(*options); });
}

struct QuietOptions {
  ModelOptions model;
  double minutes = 10.0;
  double noise_db = -200.0;
};

int run_quiet(const QuietOptions& options) {
  const auto engine = options.model.load();
  const core::InterruptScope interrupt_scope;
  core::ProgressBar bar("quiet",
                        static_cast<int64_t>(options.minutes * 60.0 / engine->info().step_seconds));
  const auto report = runtime::evaluate_quiet(*engine, options.minutes, options.noise_db,
                                              options.model.session, hooks_for(bar));
  bar.finish();
  std::cout << "false starts in " << report.minutes << " minutes: " << report.starts.size() << '\n';
  for (const auto& segment : report.starts)
    std::cout << "  " << segment.start_s << " to " << segment.end_s << " s\n";
  if (!report.text.empty()) std::cout << "said: " << report.text << '\n';
  return 0;
}

void add_quiet(CLI::App& parent, Dispatch& dispatch) {
  auto options = std::make_shared<QuietOptions>();
  CLI::App* command =
      parent.add_subcommand("quiet", "Count what the model says while nobody talks to it");
  command->add_option("--minutes", options->minutes, "How long [min]")
      ->check(CLI::Range(0.01, 1000.0));
  command->add_option("--noise", options->noise_db,
                      "Level of steady white noise [dBFS]; -120 and below: silence");
  options->model.add_to(*command);
  on_run(*command, dispatch, [options] { return run_quiet(*options); });
}

}  // namespace

void add_bench(CLI::App& app, Dispatch& dispatch) {
  CLI::App* command =
      app.add_subcommand("bench", "Measure a model on audio, on the listener's clock");
  command->require_subcommand(1);
  add_questions(*command, dispatch);
  add_quiet(*command, dispatch);
  add_bench_echo(*command, dispatch);
  add_bench_suite(*command, dispatch);
  add_bench_all(*command, dispatch);
  add_bench_fdb(*command, dispatch);
  add_bench_speed(*command, dispatch);
}

}  // namespace duet::commands
