#pragma once
// `duet`'s subcommands. Each lives in its own file, is registered in commands.cpp, parses its
// flags, calls a tested library function and returns an exit code: 0 done, 1 failure, 2 usage.
//
// A new subcommand NAME: a file tools/commands/NAME.cpp with
//
//   void add_name(CLI::App& app, Dispatch& dispatch) {
//     auto options = std::make_shared<NameOptions>();                    // outlives parsing
//     CLI::App* command = app.add_subcommand("name", "What it does, in one line");
//     command->add_option("input", options->input, "WAV, FLAC or Ogg-Opus file")->required();
//     command->add_option("--tail", options->tail_s, "Silence after the input [s]");   // default
//     is shown by itself on_run(*command, dispatch, [options] { return run_name(*options); });
//   }
//
// its declaration below and one line in commands.cpp. Data goes to stdout, logs and progress to
// stderr.

#include <CLI/CLI.hpp>

#include <functional>

namespace duet::commands {

/// What parsing decided to run. The body runs after parsing, so its exceptions are never taken for
/// usage errors.
struct Dispatch {
  std::function<int()> run;
  std::function<int()> without_command;  ///< What `duet` alone does.
};

/// Makes `body` the thing that happens when `command` is on the command line. `body` returns the
/// exit code.
void on_run(CLI::App& command, Dispatch& dispatch, std::function<int()> body);

void add_run(CLI::App& app, Dispatch& dispatch);
void add_bench(CLI::App& app, Dispatch& dispatch);
void add_bench_echo(CLI::App& bench, Dispatch& dispatch);           ///< `duet bench echo`.
void add_bench_suite(CLI::App& bench_command, Dispatch& dispatch);  ///< Below `bench`.
void add_bench_all(CLI::App& bench_command, Dispatch& dispatch);    ///< `duet bench all`.
void add_bench_fdb(CLI::App& bench_command, Dispatch& dispatch);    ///< `duet bench fdb`.
void add_bench_speed(CLI::App& bench_command, Dispatch& dispatch);  ///< `duet bench speed`.
void add_describe(CLI::App& app, Dispatch& dispatch);
void add_doctor(CLI::App& app, Dispatch& dispatch);
void add_talk(CLI::App& app, Dispatch& dispatch);
void add_devices(CLI::App& app, Dispatch& dispatch);
void add_room(CLI::App& app, Dispatch& dispatch);
void add_replay(CLI::App& app, Dispatch& dispatch);
void add_parity(CLI::App& app, Dispatch& dispatch);
void add_serve(CLI::App& app, Dispatch& dispatch);
void add_train(CLI::App& app, Dispatch& dispatch);

/// Parses argv, runs one subcommand. core::Error and any other exception become one line on stderr
/// and exit code 1; usage errors one line, a pointer to --help and exit code 2. Never throws.
int run_main(int argc, const char* const* argv);

}  // namespace duet::commands
