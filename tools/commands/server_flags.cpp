#include "tools/commands/server_flags.h"

#include <cstdlib>

#include "runtime/core/error.h"

namespace duet::commands {

void ServerFlags::add_to(CLI::App& command) {
  CLI::Option* url =
      command.add_option("--url", options.url,
                         "Measure this server instead, in real time: ws://host:port or wss://...");
  command.add_option("--protocol", protocol, "What the server speaks")
      ->check(CLI::IsMember({"moshi", "openai"}))
      ->needs(url);
  command.add_option("--server-model", options.model, "OpenAI: the model to ask for")->needs(url);
  command
      .add_option("--api-key-env", api_key_variable,
                  "Name of the environment variable with the server's key")
      ->needs(url);
  command
      .add_option("--connect-timeout", options.connect_timeout_s,
                  "Until the server's first word [s]")
      ->needs(url);
  command
      .add_option("--stall-timeout", options.stall_timeout_s,
                  "Without sound (moshi) or inside a response (openai) [s]")
      ->needs(url);
}

std::unique_ptr<runtime::bench::System> ServerFlags::make() {
  options.protocol = protocol == "openai" ? client::Protocol::kOpenAi : client::Protocol::kMoshi;
  if (!api_key_variable.empty()) {
    const char* key = std::getenv(api_key_variable.c_str());
    if (key == nullptr || *key == 0) {
      throw core::ConfigError({.subject = "--api-key-env",
                               .expected = "the name of a variable that holds the key",
                               .found = api_key_variable + ", which is not set",
                               .file = "",
                               .hint = ""});
    }
    options.api_key = key;
  }
  return client::make_server_system(options);
}

}  // namespace duet::commands
