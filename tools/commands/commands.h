#pragma once
// `duet`'s subcommands. Each lives in its own file, is registered in commands.cpp, parses its flags, calls a tested
// library function and returns an exit code: 0 done, 1 failure, 2 usage.

#include <CLI/CLI.hpp>

namespace duet::commands {

/// Parses argv, runs one subcommand, maps core::Error to exit code 1 with one line on stderr.
int run_main(int argc, char** argv);

}  // namespace duet::commands
