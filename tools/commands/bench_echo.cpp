#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "audio/audio_file.h"
#include "audio/resampler.h"
#include "runtime/core/atomic_file.h"
#include "runtime/core/cancel.h"
#include "runtime/core/progress_bar.h"
#include "runtime/echo_bench.h"
#include "tools/commands/commands.h"
#include "tools/commands/talk.h"

namespace duet::commands {
namespace {

struct Options {
  runtime::EchoBenchOptions bench;
  std::vector<std::string> agent, user;
  bool is_full = false;
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

int run_echo(const Options& options) {
  runtime::EchoBenchOptions bench = options.bench;
  if (options.is_full) {
    bench.seconds_per_class = 3600.0 * 1.5 + 36.0;  // An hour before the path changes.
    bench.talks_per_room = 10;
  }
  bench.validate();
  const auto agent = load(options.agent, {"conversation.ogg"});
  const auto user = load(options.user, {"order-human.ogg", "order-correction.ogg", "barge-in.ogg"});
  const core::InterruptScope interrupt_scope;
  core::ProgressBar bar("echo", 1000);
  const auto table = runtime::measure_echo(
      agent, user, bench,
      [&bar](double share) { bar.update(static_cast<std::int64_t>(share * 1000.0)); },
      [] { return core::interrupted(); });
  bar.finish();
  if (core::interrupted()) return 1;
  std::cout << table.to_text() << std::flush;
  if (!options.json.empty()) core::write_file_atomically(options.json, table.to_json());
  return 0;
}

}  // namespace

void add_bench_echo(CLI::App& bench, Dispatch& dispatch) {
  auto options = std::make_shared<Options>();
  CLI::App* command = bench.add_subcommand(
      "echo", "The audio half in virtual rooms: false alarms, interruptions, delay, CPU; no model");
  command->add_flag("--full", options->is_full, "An hour in each class, 120 interruptions a level");
  command->add_option("--rooms", options->bench.num_rooms, "How many rooms")
      ->check(CLI::Range(1, 1000));
  command->add_option("--seconds", options->bench.seconds_per_class,
                      "Playback in each class of distortion, over all rooms [s]");
  command->add_option("--agent", options->agent, "Speech for the loudspeaker; default: a demo");
  command->add_option("--user", options->user, "Speech for interruptions; default: demos");
  command->add_option("--json", options->json, "Report to write");
  on_run(*command, dispatch, [options] { return run_echo(*options); });
}

}  // namespace duet::commands
