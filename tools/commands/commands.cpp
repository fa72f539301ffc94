#include "tools/commands/commands.h"

#include <cstdio>

#include "runtime/core/error.h"

namespace duet::commands {

int run_main(int argc, char** argv) {
  CLI::App app{"duet: talk with a machine in full duplex", "duet"};
  app.require_subcommand(0, 1);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  } catch (const core::Error& error) {
    std::fprintf(stderr, "duet: %s\n", error.what());
    return 1;
  }
  return 0;
}

}  // namespace duet::commands
