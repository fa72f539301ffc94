#include <sys/ioctl.h>
#include <unistd.h>

#include <iostream>
#include <memory>
#include <string>

#include "runtime/core/cancel.h"
#include "runtime/core/model_path.h"
#include "runtime/engine/torch_engine.h"
#include "runtime/run_job.h"
#include "tools/commands/commands.h"

namespace duet::commands {
namespace {

struct RunFileOptions {
  runtime::RunJob job;
  std::string model = core::kDefaultModelName;
};

std::size_t terminal_columns() {
  winsize size{};
  const bool is_terminal = ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return is_terminal ? size.ws_col : 80;
}

int run_file(RunFileOptions& options) {
  if (options.job.input.empty() && options.job.text.empty()) {
    std::cerr
        << "duet: run: expected a recording IN (WAV, FLAC, Ogg; - for stdin) or --text WORDS, "
           "found neither (see duet run --help)\n";
    return 2;
  }
  options.job.terminal_columns = terminal_columns();
  const core::InterruptScope interrupt_scope;
  runtime::run_job(
      options.job, [&] { return engine::load_engine(core::find_model(options.model).string()); },
      std::cout, std::cerr, [] { return core::interrupted(); });
  return 0;
}

}  // namespace

void add_run(CLI::App& app, Dispatch& dispatch) {
  auto options = std::make_shared<RunFileOptions>();
  runtime::RunJob& job = options->job;
  CLI::App* command = app.add_subcommand(
      "run", "Have a conversation with a recording; writes both voices as stereo WAV");
  command->footer(
      "Prints both voices' words against time, then latencies and speed. The WAV holds the user on "
      "the left and the\n"
      "agent on the right, where a live listener would have heard it. Without -o it is IN's name "
      "with .duet.wav, in the\n"
      "current folder. Ctrl-C stops early and leaves whole files; so does the end of a pipe:\n"
      "  arecord -q -t raw -f S16_LE -r 16000 | duet run - -o talk.wav");
  CLI::Option_group* input = command->add_option_group("Input", "one of");
  input->add_option("IN", job.input,
                    "WAV, FLAC or Ogg file of any rate, or - for raw 16-bit mono samples on stdin");
  input->add_option("--text", job.text,
                    "Words to be spoken by flite or espeak-ng instead of a recording");
  input->require_option(0, 1);
  command->add_option("-o,--output", job.output, "Stereo WAV to write");
  command->add_option("--timeline", job.timeline, "JSON file to write: turns, latencies, speed");
  command->add_option("--model", options->model,
                      "Model directory, or the name of an installed model");
  command->add_flag("--realtime", job.realtime,
                    "Feed at the speed of the clock; compute time then counts in the latencies");
  command->add_option("--seed", job.session.seed, "Seed of the sampler, for --temperature");
  command->add_option("--temperature", job.session.temperature, "0 is greedy")
      ->check(CLI::Range(0.0, 2.0));
  command->add_option("--interruptibility", job.session.interruptibility,
                      "Bias towards falling silent; default: the model's");
  command->add_flag("--greet", job.session.greet, "The agent speaks first");
  command->add_option(
      "--tail", job.tail,
      "Silence after the input: auto (until the agent is silent for 2 s, at most 30) or [s]");
  command->add_option("--channel", job.channel, "Channel to take of a file with several, from 1");
  command->add_option("--rate", job.raw_rate_hz, "Rate of - [Hz]")->check(CLI::Range(4000, 384000));
  on_run(*command, dispatch, [options] { return run_file(*options); });
}

}  // namespace duet::commands
