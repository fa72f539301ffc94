#include "tools/commands/talk.h"

#include <unistd.h>

#include <iostream>
#include <memory>
#include <system_error>

#include "audio/portaudio_device.h"
#include "runtime/core/cancel.h"
#include "runtime/core/error.h"
#include "runtime/core/model_path.h"
#include "runtime/engine/torch_engine.h"
#include "runtime/machine.h"
#include "runtime/run_job.h"
#include "runtime/talk_job.h"
#include "runtime/terminal.h"
#include "tools/commands/commands.h"

namespace duet::commands {
namespace fs = std::filesystem;
namespace {

struct Options {
  std::string model = core::kDefaultModelName;
  std::string output;
  runtime::TalkJob job;
  float volume_percent = 100.0F;
  std::string echo = "full";
};

int run_demo(const Options& options, const std::string& why) {
  runtime::RunJob job;
  job.input = find_demo(kDemoRecording, demo_folders()).string();
  job.output = options.output;
  std::cerr << "duet: " << why << "\n";
  const core::InterruptScope interrupt_scope;
  runtime::run_job(
      job, [&options] { return engine::load_engine(core::find_model(options.model).string()); },
      std::cout, std::cerr, [] { return core::interrupted(); });
  return 0;
}

int run_talk(const Options& options) {
  std::vector<audio::AudioDevice> devices;
  try {
    devices = audio::list_audio_devices();
  } catch (const core::DeviceError&) {  // no sound at all: the demo needs none
  }
  const std::string why = why_demo(devices);
  if (!why.empty()) return run_demo(options, why);
  const fs::path model = core::find_model(options.model);
  std::error_code failed;
  const auto bytes = fs::file_size(model / "model.safetensors", failed);
  const std::string warning = runtime::memory_warning(failed ? 0 : static_cast<std::int64_t>(bytes),
                                                      runtime::memory_info().available_bytes);
  if (!warning.empty()) std::cerr << "duet: " << warning << "\n";
  runtime::TalkJob job = options.job;
  validate(job);
  job.live.volume = options.volume_percent / 100.0F;
  job.live.worker.echo.backend = echo_backend(options.echo);
  job.is_terminal = runtime::is_terminal(STDOUT_FILENO);
  job.terminal_columns = runtime::terminal_columns(STDOUT_FILENO);
  const auto engine = engine::load_engine(model.string());
  const auto device = audio::make_portaudio_device();
  std::cerr << "duet: keys: m mute, + - volume, q quit"
            << (job.is_push_to_talk ? ", space to talk and again to stop" : "")
            << (job.record_dir.empty() ? "; nothing is recorded\n" : "; recording\n");
  const core::InterruptScope interrupt_scope;
  runtime::TerminalKeys keys;
  const auto totals = runtime::talk(
      job, *engine, *device, std::cout, std::cerr, [&keys] { return keys.read(); },
      [] { return core::interrupted(); });
  return totals.has_given_up ? 1 : 0;
}

}  // namespace

audio::EchoConfig::Backend echo_backend(const std::string& name) {
  return name == "none"    ? audio::EchoConfig::Backend::kNone
         : name == "speex" ? audio::EchoConfig::Backend::kSpeex
                           : audio::EchoConfig::Backend::kKalman;
}

void add_session_options(CLI::App& command, runtime::SessionOptions& session) {
  command.add_option("--seed", session.seed, "Seed of the sampler, for --temperature");
  command.add_option("--temperature", session.temperature, "0 is greedy")
      ->check(CLI::Range(0.0, 2.0));
  command.add_option("--interruptibility", session.interruptibility,
                     "Bias towards falling silent; default: the model's");
  command.add_flag("--greet", session.greet, "The agent speaks first");
}

fs::path find_demo(const std::string& name, const std::vector<fs::path>& folders) {
  std::string looked;
  for (const fs::path& folder : folders) {
    std::error_code failed;
    if (fs::is_regular_file(folder / name, failed)) return folder / name;
    looked += (looked.empty() ? "" : ", ") + folder.string();
  }
  throw core::LoadError({.subject = "demo recording " + name,
                         .expected = "a file in " + looked,
                         .found = "none",
                         .file = {},
                         .hint = "talk to a recording of your own with duet run FILE"});
}

std::vector<fs::path> demo_folders() {
  std::vector<fs::path> folders{DUET_SOURCE_DIR "/tests/data/demo"};
  std::error_code failed;
  const fs::path binary = fs::read_symlink("/proc/self/exe", failed);
  if (!failed) folders.push_back(binary.parent_path().parent_path() / "share/duet/demo");
  return folders;
}

std::string why_demo(const std::vector<audio::AudioDevice>& devices) {
  bool has_input = false, has_output = false;
  for (const audio::AudioDevice& device : devices) {
    has_input = has_input || device.max_input_channels > 0;
    has_output = has_output || device.max_output_channels > 0;
  }
  if (has_input && has_output) return {};
  const char* what = has_input    ? "no speaker found"
                     : has_output ? "no microphone found"
                                  : "no sound card found";
  return std::string(what) + "; playing the demo conversation, a recorded user, instead";
}

void add_talk(CLI::App& app, Dispatch& dispatch) {
  auto options = std::make_shared<Options>();
  runtime::TalkJob& job = options->job;
  CLI::App* command = app.add_subcommand(
      "talk",
      "Talk with the agent, live; without a sound card the demo conversation with a recorded user. "
      "Also what duet alone does");
  command->footer(
      "Open loudspeakers are fine: the agent's echo is cancelled. Nothing is recorded without "
      "--record. Ctrl-C or q ends\n"
      "and leaves whole files. Keys: m mute, + and - volume. No sound card? duet room talks to a "
      "WAV in a virtual room.");
  command->add_option("--model", options->model,
                      "Model directory, or the name of an installed model");
  command->add_option(
      "--input", job.live.device.input,
      "Microphone: number or part of its name (duet devices); default: the default");
  command->add_option("--output-device", job.live.device.output, "Speaker, likewise");
  command->add_option("--device-rate", job.live.device.rate_hz,
                      "Rate of both [Hz]; 0: 48000 where it can, else its own");
  command->add_option("--buffer", job.live.device.buffer_ms, "Of the device [ms]")
      ->check(CLI::Range(1.0, 100.0));
  command->add_option("--volume", options->volume_percent, "Of the agent [%]")
      ->check(CLI::Range(0.0, 200.0));
  command->add_option("--echo", options->echo, "Canceller")
      ->check(CLI::IsMember({"full", "speex", "none"}));
  command->add_flag("--push-to-talk", job.is_push_to_talk,
                    "Muted until space is pressed, and again after the next");
  command->add_flag("--muted", job.live.is_muted, "Begin with the microphone muted");
  command->add_flag("--realtime", job.live.wants_realtime,
                    "Ask the system for a real-time priority");
  command->add_option("--record", job.record_dir,
                      "New folder for both channels, a timeline, the transcript and all that duet "
                      "replay needs");
  command->add_option("--transcript", job.transcript,
                      "File to write at the end: .txt, .srt or .json");
  add_session_options(*command, job.live.session);
  command->add_option("-o,--output", options->output,
                      "Stereo WAV of the demo conversation; default: conversation.duet.wav in the "
                      "current folder");
  on_run(*command, dispatch, [options] { return run_talk(*options); });
  dispatch.without_command = [options] { return run_talk(*options); };
}

}  // namespace duet::commands
