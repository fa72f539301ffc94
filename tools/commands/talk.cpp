#include "tools/commands/talk.h"

#include <iostream>
#include <memory>
#include <system_error>

#include "runtime/core/cancel.h"
#include "runtime/core/error.h"
#include "runtime/core/model_path.h"
#include "runtime/engine/torch_engine.h"
#include "runtime/run_job.h"
#include "tools/commands/commands.h"

namespace duet::commands {
namespace fs = std::filesystem;
namespace {

struct Options {
  std::string model = core::kDefaultModelName;
  std::string output;
};

int run_talk(const Options& options) {
  std::vector<audio::AudioDevice> devices;
  try {
    devices = audio::list_audio_devices();
  } catch (const core::DeviceError&) {  // no sound at all: the demo needs none
  }
  runtime::RunJob job;
  job.input = find_demo(kDemoRecording, demo_folders()).string();
  job.output = options.output;
  std::cerr << "duet: " << why_demo(devices) << "\n";
  const core::InterruptScope interrupt_scope;
  runtime::run_job(
      job, [&options] { return engine::load_engine(core::find_model(options.model).string()); },
      std::cout, std::cerr, [] { return core::interrupted(); });
  return 0;
}

}  // namespace

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
  const std::string demo = "playing the demo conversation, a recorded user, instead";
  if (has_input && has_output) return "live talk is not there yet; " + demo;
  if (has_input) return "no speaker found (and live talk is not there yet); " + demo;
  if (has_output) return "no microphone found (and live talk is not there yet); " + demo;
  return "no sound card found (and live talk is not there yet); " + demo;
}

void add_talk(CLI::App& app, Dispatch& dispatch) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("talk",
                                         "Talk with the agent; for now the demo conversation with "
                                         "a recorded user. Also what duet alone does");
  command->add_option("--model", options->model,
                      "Model directory, or the name of an installed model");
  command->add_option("-o,--output", options->output,
                      "Stereo WAV to write; default: conversation.duet.wav in the current folder");
  on_run(*command, dispatch, [options] { return run_talk(*options); });
  dispatch.without_command = [options] { return run_talk(*options); };
}

}  // namespace duet::commands
