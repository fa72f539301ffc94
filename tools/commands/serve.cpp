#include <cstdlib>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/core/cancel.h"
#include "runtime/core/model_path.h"
#include "runtime/engine/torch_engine.h"
#include "runtime/server/serve_job.h"
#include "tools/commands/commands.h"

namespace duet::commands {
namespace {

struct ServeOptions {
  std::string model = core::kDefaultModelName;
  std::string config_file;
  std::vector<std::string> sets;
  std::optional<std::string> address;
  std::optional<int> port, max_sessions;
  bool self_signed = false;
  std::string self_signed_folder;
  bool print_config = false;
};

/// File, then --set, then the environment, then the flags.
server::ServerConfig config_of(const ServeOptions& options) {
  auto reader = options.config_file.empty() ? core::ConfigReader::parse("{}", "--set")
                                            : core::ConfigReader::load_file(options.config_file);
  for (const auto& set : options.sets) reader.override_with(set);
  server::ServerConfig config = server::read_server_config(reader);
  server::read_environment(config,
                           [](const char* name) -> const char* { return std::getenv(name); });
  if (options.address) config.address = *options.address;
  if (options.port) config.port = *options.port;
  if (options.max_sessions) config.max_sessions = *options.max_sessions;
  config.validate();
  return config;
}

int serve(const ServeOptions& options) {
  server::ServeJob job{.config = config_of(options), .self_signed_folder = {}};
  if (options.print_config) {
    std::cout << server::to_yaml(job.config);
    return 0;
  }
  if (options.self_signed)
    job.self_signed_folder =
        options.self_signed_folder.empty() ? "duet-tls" : options.self_signed_folder;
  const core::InterruptScope interrupt_scope;
  server::serve(
      job, [&] { return engine::load_engine(core::find_model(options.model).string()); }, std::cout,
      [] { return core::interrupted(); });
  return 0;
}

}  // namespace

void add_serve(CLI::App& app, Dispatch& dispatch) {
  auto options = std::make_shared<ServeOptions>();
  CLI::App* command = app.add_subcommand(
      "serve", "Talk over the network: web page, Moshi's and OpenAI Realtime's clients");
  command->footer(
      "Settings: --config FILE, then --set, then DUET_SERVE_ADDRESS, _PORT, _MAX_SESSIONS and "
      "_TOKENS from the\nenvironment, then the flags. docs/server.md has them all. Beyond "
      "loopback, "
      "tokens are needed:\n  DUET_SERVE_TOKENS=a-long-secret duet serve --address 0.0.0.0 "
      "--tls-self-signed");
  command->add_option("--model", options->model,
                      "Model directory, or the name of an installed model");
  command->add_option("--config", options->config_file, "YAML or JSON file");
  command->add_option("--set", options->sets, "KEY=VALUE of the configuration, e.g. drain_s=5")
      ->allow_extra_args(false);
  command->add_option("--address", options->address, "Address to listen on; default 127.0.0.1");
  command->add_option("--port", options->port, "Port; default 8998")->check(CLI::Range(0, 65535));
  command
      ->add_option("--max-sessions", options->max_sessions,
                   "Conversations at a time; default 0: as many as measured at start")
      ->check(CLI::Range(0, 1024));
  command->add_flag("--tls-self-signed", options->self_signed,
                    "TLS with a certificate of its own, made at the first start");
  command->add_option("--tls-folder", options->self_signed_folder,
                      "Folder for that certificate; default ./duet-tls");
  command->add_flag("--print-config", options->print_config,
                    "Show what would be used, tokens left out, and end");
  on_run(*command, dispatch, [options] { return serve(*options); });
}

}  // namespace duet::commands
