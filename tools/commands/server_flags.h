#pragma once
// The flags of a server under test (docs/bench.md), shared by `duet bench`'s subcommands.

#include <CLI/CLI.hpp>

#include <memory>
#include <string>

#include "runtime/client/server_system.h"

namespace duet::commands {

struct ServerFlags {
  client::ServerOptions options;
  std::string protocol = "moshi";
  std::string api_key_variable;

  void add_to(CLI::App& command);
  /// Throws core::ConfigError.
  std::unique_ptr<runtime::bench::System> make();
};

}  // namespace duet::commands
