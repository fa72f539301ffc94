// `duet_fake_serve [KEY=VALUE...]`: the whole server on an engine that answers by rule, for tests
// with real clients and balancers. Settings as --set of `duet serve`; step_us=N: time of a step;
// self_signed=FOLDER: as --tls-self-signed.

#include <cstdlib>
#include <iostream>
#include <string>

#include "runtime/core/cancel.h"
#include "runtime/core/error.h"
#include "runtime/server/serve_job.h"
#include "tests/support/polite_engine.h"

int main(int argc, char** argv) {
  using namespace duet;
  try {
    auto reader = core::ConfigReader::parse("{}", "arguments");
    support::Manners manners;
    manners.answer_steps = 30;
    manners.text = "Two coffees, please.";
    std::string self_signed_folder;
    for (int i = 1; i < argc; ++i) {
      const std::string argument = argv[i];
      if (argument.starts_with("step_us="))
        manners.compute = std::chrono::microseconds(std::atoi(argument.c_str() + 8));
      else if (argument.starts_with("self_signed="))
        self_signed_folder = argument.substr(12);
      else
        reader.override_with(argument);
    }
    const core::InterruptScope interrupt_scope;
    server::serve(
        {.config = server::read_server_config(reader), .self_signed_folder = self_signed_folder},
        [&] { return std::make_unique<support::PoliteEngine>(manners); }, std::cout,
        [] { return core::interrupted(); });
    return 0;
  } catch (const core::Error& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
