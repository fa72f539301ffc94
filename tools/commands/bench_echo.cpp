#include <chrono>
#include <filesystem>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "audio/audio_file.h"
#include "audio/resampler.h"
#include "runtime/batching_engine.h"
#include "runtime/core/atomic_file.h"
#include "runtime/core/cancel.h"
#include "runtime/core/error.h"
#include "runtime/core/model_path.h"
#include "runtime/core/progress_bar.h"
#include "runtime/echo_bench.h"
#include "runtime/engine/torch_engine.h"
#include "tools/commands/commands.h"
#include "tools/commands/talk.h"

namespace duet::commands {
namespace {

struct EchoOptions {
  runtime::EchoBenchOptions bench;
  runtime::EchoModelOptions with_model;
  std::string model = core::kDefaultModelName;
  std::string suite;  ///< Empty: impatient, of the source tree or the installation.
  std::vector<std::string> agent, user;
  bool is_full = false;
  bool has_no_model = false;
  std::string json;
};

/// All of the files, one after the other, at the rate of the echo path.
std::vector<float> load(std::vector<std::string> files, const std::vector<std::string>& demo) {
  if (files.empty())
    for (const std::string& name : demo) files.push_back(find_demo(name, demo_folders()).string());
  std::vector<float> all;
  for (const std::string& file : files) {
    const auto clip = audio::load_audio_file(file);
    const auto samples = audio::resample(clip.samples, clip.rate_hz, audio::kEchoRateHz);
    all.insert(all.end(), samples.begin(), samples.end());
  }
  return all;
}

/// Beside the demo recordings, in the source tree or the installation.
std::string find_suite() {
  constexpr const char* kSuite = "configs/bench/impatient/suite.yaml";
  for (const auto& folder : demo_folders())
    for (const char* up : {"../../..", ".."})
      if (std::filesystem::is_regular_file(folder / up / kSuite))
        return (folder / up / kSuite).lexically_normal().string();
  throw core::LoadError({.subject = "--suite",
                         .expected = kSuite,
                         .found = "nothing",
                         .file = {},
                         .hint = "name a suite with questions and interruptions"});
}

/// What is shown while `measure` runs, and Ctrl-C.
template <class Measure>
auto with_progress(const std::string& title, const Measure& measure) {
  core::ProgressBar bar(title, 1000);
  auto result =
      measure([&bar](double share) { bar.update(static_cast<std::int64_t>(share * 1000.0)); },
              [] { return core::interrupted(); });
  bar.finish();
  return result;
}

runtime::EchoModelResult run_with_model(const EchoOptions& options) {
  runtime::EchoModelOptions bench = options.with_model;
  bench.num_rooms = options.bench.num_rooms;
  bench.thd = options.bench.thd;
  if (options.is_full) {
    bench.playback_s = 3600.0;
    bench.others_playback_s = 360.0;
    bench.talks_per_room = 11;  // Some answers have no place for an interruption.
    bench.others_talks_per_room = 3;
  }
  bench.validate();
  const auto voices =
      runtime::load_echo_voices(options.suite.empty() ? find_suite() : options.suite);
  const auto engine = engine::load_engine(core::find_model(options.model).string());
  // Between steps conversations have rooms to compute: they wait for each other.
  const runtime::BatchingEngine shared(
      *engine, {.max_batch = bench.num_threads, .patience = std::chrono::milliseconds(50)});
  return with_progress("echo, with the model", [&](const auto& progress, const auto& stop) {
    return runtime::measure_echo_with_model(shared, voices, bench, progress, stop);
  });
}

int run_echo(const EchoOptions& options) {
  runtime::EchoBenchOptions bench = options.bench;
  if (options.is_full) bench.talks_per_room = 10;
  bench.validate();
  const auto agent = load(options.agent, {"conversation.ogg"});
  const auto user = load(options.user, {"order-human.ogg", "order-correction.ogg", "barge-in.ogg"});
  const core::InterruptScope interrupt_scope;
  std::optional<runtime::EchoModelResult> model;
  if (!options.has_no_model) model = run_with_model(options);
  auto table = with_progress("echo, audio half", [&](const auto& progress, const auto& stop) {
    return runtime::measure_echo(agent, user, bench, progress, stop);
  });
  table.model = model;
  if (core::interrupted()) {
    std::cerr << "duet: bench echo: stopped"
              << (options.with_model.folder.empty() ? "\n"
                                                    : "; the same command goes on from there\n");
    return 1;
  }
  std::cout << table.to_text() << std::flush;
  if (model && model->num_failures > 0)
    std::cerr << "duet: bench echo: " << model->num_failures
              << " steps of the model failed; these figures are not to be trusted\n";
  if (!options.json.empty()) core::write_file_atomically(options.json, table.to_json());
  return 0;
}

}  // namespace

void add_bench_echo(CLI::App& bench, Dispatch& dispatch) {
  auto options = std::make_shared<EchoOptions>();
  CLI::App* command = bench.add_subcommand("echo",
                                           "Open loudspeakers in virtual rooms: does the model's "
                                           "own echo stop it, is it interrupted over "
                                           "its echo; delay, CPU");
  command->footer(
      "Nothing, plain SpeexDSP and the full chain side by side. Default: minutes; --full takes "
      "an hour or two of one core.");
  auto* full = command->add_flag(
      "--full", options->is_full,
      "An hour of playback in each class of distortion, 120 interruptions a level");
  command->add_option("--model", options->model,
                      "Model directory, or the name of an installed model");
  command->add_flag("--no-model", options->has_no_model,
                    "The audio half only: a level detector listens");
  command->add_option("--suite", options->suite,
                      "suite.yaml whose questions and interruptions the user says");
  command
      ->add_option("--playback", options->with_model.playback_s,
                   "Of the model in each class, over all rooms [s]")
      ->excludes(full);
  command
      ->add_option("--others-playback", options->with_model.others_playback_s,
                   "The same for nothing and SpeexDSP [s]")
      ->excludes(full);
  command
      ->add_option("--talks", options->with_model.talks_per_room,
                   "Interruptions of the model in each room and level")
      ->excludes(full);
  command
      ->add_option("--others-talks", options->with_model.others_talks_per_room,
                   "The same for nothing and SpeexDSP")
      ->excludes(full);
  command->add_option("--work", options->with_model.folder,
                      "Folder for one JSON a conversation; a stopped run goes on from it");
  command
      ->add_option("-j,--threads", options->with_model.num_threads,
                   "Conversations side by side, which share steps")
      ->check(CLI::Range(1, 256));
  command->add_option("--rooms", options->bench.num_rooms, "How many rooms")
      ->check(CLI::Range(1, 1000));
  command->add_option("--seconds", options->bench.seconds_per_class,
                      "Playback without the model in each class, over all rooms [s]");
  command->add_option("--agent", options->agent, "Speech for the loudspeaker; default: a demo");
  command->add_option("--user", options->user, "Speech for interruptions; default: demos");
  command->add_option("--json", options->json, "Report to write");
  on_run(*command, dispatch, [options] { return run_echo(*options); });
}

}  // namespace duet::commands
