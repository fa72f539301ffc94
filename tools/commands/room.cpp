// `duet room` and `duet replay`.

#include <unistd.h>

#include <filesystem>
#include <iostream>
#include <memory>

#include "runtime/core/cancel.h"
#include "runtime/core/model_path.h"
#include "runtime/engine/torch_engine.h"
#include "runtime/live_recording.h"
#include "runtime/live_view.h"
#include "runtime/talk_job.h"
#include "runtime/terminal.h"
#include "tools/commands/commands.h"
#include "tools/commands/talk.h"

namespace duet::commands {
namespace {

struct RoomOptions {
  runtime::RoomJob job;
  std::string model = core::kDefaultModelName;
  std::string echo = "full";
};

int run_room(const RoomOptions& options) {
  runtime::RoomJob job = options.job;
  if (job.output.empty())
    job.output = std::filesystem::path(job.input).stem().string() + ".room.wav";
  job.room.validate();
  validate(job.talk);
  job.talk.live.worker.echo.backend = echo_backend(options.echo);
  job.talk.terminal_columns = runtime::terminal_columns(STDOUT_FILENO);
  const auto engine = engine::load_engine(core::find_model(options.model).string());
  const core::InterruptScope interrupt_scope;
  runtime::talk_in_room(job, *engine, std::cout, std::cerr, [] { return core::interrupted(); });
  return 0;
}

struct ReplayOptions {
  std::string folder;
  std::string model;
};

int run_replay(const ReplayOptions& options) {
  std::string model = options.model;
  if (model.empty()) model = runtime::recorded_model(options.folder);
  const auto engine = engine::load_engine(
      core::find_model(model.empty() ? core::kDefaultModelName : model).string());
  const core::InterruptScope interrupt_scope;
  runtime::LiveView view(std::cout, engine->info(), {});
  const auto report = runtime::replay_recording(
      options.folder, *engine, [&view](const runtime::LiveStep& step) { view.add(step); },
      [] { return core::interrupted(); });
  view.finish();
  std::cout << report.num_equal << " of " << report.num_steps << " steps gave the same codes\n";
  if (report.first_difference < 0) return 0;
  std::cout << "first difference at step " << report.first_difference << ": " << report.difference
            << "\n";
  return 1;
}

}  // namespace

void add_room(CLI::App& app, Dispatch& dispatch) {
  auto options = std::make_shared<RoomOptions>();
  runtime::RoomJob& job = options->job;
  CLI::App* command = app.add_subcommand(
      "room", "Talk to the agent by a recording, in a virtual room with open loudspeakers");
  command->footer(
      "The agent hears the user, the room and its own echo through the same code as duet talk. The "
      "WAV holds the\n"
      "microphone on the left, before cancelling, and the agent on the right. As fast as the "
      "machine, and always the same.");
  command->add_option("IN", job.input, "What the user says: WAV, FLAC or Ogg file")->required();
  command->add_option("-o,--output", job.output,
                      "Stereo WAV to write; default: IN's name with .room.wav");
  command->add_option("--rt60", job.room.rt60_s, "Reverberation time [s]");
  command->add_option("--echo-gain", job.room.echo_gain_db,
                      "Level of the echo at the microphone over the loudspeaker's signal [dB]");
  command->add_option("--thd", job.room.thd, "Distortion of the loudspeaker, 0 to 0.3");
  command->add_option("--delay", job.room.delay_ms, "Of the device [ms]");
  command->add_option("--drift", job.room.drift_ppm, "Of its playback clock [ppm]");
  command->add_option("--noise", job.room.noise_dbfs, "At the microphone [dBFS]");
  command->add_option("--room-seed", job.room.seed, "Size of the room and places in it");
  command->add_option("--echo", options->echo, "Canceller")
      ->check(CLI::IsMember({"full", "speex", "none"}));
  command->add_option("--tail", job.tail_s, "Silence after the user's last word [s]")
      ->check(CLI::Range(0.0, 600.0));
  command->add_option("--record", job.talk.record_dir, "New folder, as in duet talk");
  command->add_option("--transcript", job.talk.transcript,
                      "File to write at the end: .txt, .srt or .json");
  command->add_option("--model", options->model,
                      "Model directory, or the name of an installed model");
  add_session_options(*command, job.talk.live.session);
  on_run(*command, dispatch, [options] { return run_room(*options); });
}

void add_replay(CLI::App& app, Dispatch& dispatch) {
  auto options = std::make_shared<ReplayOptions>();
  CLI::App* command = app.add_subcommand(
      "replay", "Run a recording of duet talk again: the same codes, or where they differ");
  command->add_option("DIR", options->folder, "Folder of duet talk --record")->required();
  command->add_option("--model", options->model, "Where the model is now; default: where it was");
  on_run(*command, dispatch, [options] { return run_replay(*options); });
}

}  // namespace duet::commands
