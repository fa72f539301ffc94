// `duet bench speed`: what a step costs on this machine (docs/bench.md).

#include <iostream>
#include <memory>
#include <string>

#include "runtime/core/atomic_file.h"
#include "runtime/core/cancel.h"
#include "runtime/core/model_path.h"
#include "runtime/core/progress_bar.h"
#include "tools/commands/commands.h"
#include "tools/speed/measure.h"

namespace duet::commands {
namespace {

struct SpeedOptions {
  std::string model = core::kDefaultModelName;
  std::string arch;
  std::string dtype = "int8";
  std::string json, html;
  speed::MeasureOptions measure;
};

int run_speed(SpeedOptions& options) {
  const speed::Parts parts =
      options.arch.empty()
          ? speed::load_parts(core::find_model(options.model).string())
          : speed::random_parts(speed::find_architecture(options.arch), options.dtype == "int8");
  const core::InterruptScope interrupt_scope;
  core::ProgressBar bar("steps", options.measure.num_warm_up + options.measure.num_steps);
  options.measure.should_stop = [] { return core::interrupted(); };
  options.measure.on_progress = [&bar](int done, int) { bar.update(done); };
  runtime::bench::SpeedReport report = speed::measure(parts, options.measure);
  bar.finish();
  report.batch_note =
      "(together: the model's parts with a row a conversation, as the engine steps sessions)";
  std::cout << to_text(report) << std::flush;
  if (!options.json.empty()) core::write_file_atomically(options.json, to_json(report));
  if (!options.html.empty()) core::write_file_atomically(options.html, to_html(report));
  return 0;
}

}  // namespace

void add_bench_speed(CLI::App& bench_command, Dispatch& dispatch) {
  auto options = std::make_shared<SpeedOptions>();
  CLI::App* command = bench_command.add_subcommand(
      "speed", "Time a step stage by stage: deadlines, memory, how many conversations fit");
  CLI::Option* model = command->add_option("--model", options->model,
                                           "Model directory, or the name of an installed one");
  CLI::Option* arch =
      command
          ->add_option("--arch", options->arch,
                       "An architecture at random weights: nemo-1.2b, or a folder with config.json")
          ->excludes(model);
  command->add_option("--dtype", options->dtype, "Of the random weights")
      ->check(CLI::IsMember({"int8", "float32"}))
      ->needs(arch);
  command->add_option("-n,--steps", options->measure.num_steps, "Steps of 80 ms to time");
  command->add_option("--warm-up", options->measure.num_warm_up, "Steps before them");
  command->add_option("--seconds", options->measure.max_seconds,
                      "At most so long for each measurement [s]");
  command->add_option("--threads", options->measure.num_threads,
                      "Of LibTorch inside a step; conversations use one");
  command
      ->add_option("--batches", options->measure.batches,
                   "Conversations together to measure, e.g. 1,2,4,8")
      ->delimiter(',');
  command->add_option("--json", options->json, "Report to write");
  command->add_option("--html", options->html, "Page with plots to write");
  on_run(*command, dispatch, [options] { return run_speed(*options); });
}

}  // namespace duet::commands
