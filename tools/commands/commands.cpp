#include "tools/commands/commands.h"

#include <cstdio>
#include <exception>
#include <string>
#include <utility>

#include "runtime/core/error.h"
#include "runtime/core/version.h"

namespace duet::commands {
namespace {

void add_all(CLI::App& app, Dispatch& dispatch) {
  add_run(app, dispatch);
  add_bench(app, dispatch);
  add_describe(app, dispatch);
  add_doctor(app, dispatch);
  add_talk(app, dispatch);
  add_devices(app, dispatch);
  add_room(app, dispatch);
  add_replay(app, dispatch);
  add_parity(app, dispatch);
  add_serve(app, dispatch);
  add_train(app, dispatch);
}

/// Errors are one line: libraries underneath (LibTorch) append stack traces to theirs.
int fail(const char* what) {
  const std::string text = what;
  std::fprintf(stderr, "duet: %s\n", text.substr(0, text.find('\n')).c_str());
  return 1;
}

}  // namespace

void on_run(CLI::App& command, Dispatch& dispatch, std::function<int()> body) {
  command.callback([&dispatch, body = std::move(body)] { dispatch.run = body; });
}

int run_main(int argc, const char* const* argv) {
  try {
    CLI::App app{"duet: talk with a machine in full duplex", "duet"};
    app.set_version_flag("--version", core::version_text());
    app.option_defaults()->always_capture_default();
    app.require_subcommand(0, 1);
    app.failure_message(CLI::FailureMessage::simple);
    Dispatch dispatch;
    add_all(app, dispatch);
    try {
      app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
      return app.exit(error) == 0 ? 0 : 2;
    }
    return dispatch.run ? dispatch.run() : dispatch.without_command();
  } catch (const std::exception& error) {
    return fail(error.what());
  }
}

}  // namespace duet::commands
