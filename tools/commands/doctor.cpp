#include "tools/commands/commands.h"

#include "runtime/core/version.h"

namespace duet::commands {

void add_doctor(CLI::App& app, Dispatch& dispatch) {
  CLI::App* command = app.add_subcommand("doctor", "Check what this machine needs to run duet, and say how to fix it");
  on_run(*command, dispatch, [] {
    std::printf("%s\n", core::version_text().c_str());
    return 0;
  });
}

}  // namespace duet::commands
