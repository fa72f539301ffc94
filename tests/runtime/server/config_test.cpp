#include "runtime/server/config.h"

#include <catch2/catch.hpp>

#include "runtime/core/error.h"

using namespace duet;
using Catch::Contains;
using server::ServerConfig;

TEST_CASE("what is printed is read back; tokens are not printed", "[unit]") {
  ServerConfig config;
  config.port = 1234;
  config.limits.idle_s = 12.5;
  config.origins = {"https://a.example"};
  config.tokens = {"top-secret-token"};
  const std::string text = server::to_yaml(config);
  CHECK_THAT(text, !Contains("top-secret"));
  auto reader = core::ConfigReader::parse(text, "printed");
  const ServerConfig again = server::read_server_config(reader);
  CHECK(again.port == 1234);
  CHECK(again.limits.idle_s == 12.5);
  CHECK(again.origins == config.origins);
  CHECK(again.tokens.empty());
}

TEST_CASE("a misspelt key and a value out of range are named", "[unit]") {
  CHECK_THROWS_WITH(server::read_server_config(core::ConfigReader::parse("prot: 1", "x")),
                    Contains("prot") && Contains("port"));
  ServerConfig config;
  config.port = 70000;
  CHECK_THROWS_WITH(config.validate(), Contains("port") && Contains("0 to 65535"));
  config = {};
  config.tls_cert = "cert.pem";
  CHECK_THROWS_WITH(config.validate(), Contains("tls_key"));
}

TEST_CASE("beyond loopback tokens are needed", "[unit]") {
  ServerConfig config;
  config.address = "0.0.0.0";
  CHECK_THROWS_WITH(config.validate(), Contains("tokens") && Contains("0.0.0.0"));
  config.allow_anonymous = true;
  CHECK_NOTHROW(config.validate());
  config = {};
  config.address = "::";
  config.tokens = {"short"};
  CHECK_THROWS_WITH(config.validate(), Contains("8 characters"));
  config.tokens = {"long enough"};
  CHECK_NOTHROW(config.validate());
}

TEST_CASE("the environment stands above the file", "[unit]") {
  ServerConfig config;
  config.tokens = {"from-the-file"};
  server::read_environment(config, [](const char* name) -> const char* {
    const std::string key = name;
    if (key == "DUET_SERVE_PORT") return "4321";
    if (key == "DUET_SERVE_TOKENS") return "one-token,two-token";
    return nullptr;
  });
  CHECK(config.port == 4321);
  CHECK(config.tokens == std::vector<std::string>{"from-the-file", "one-token", "two-token"});
  CHECK_THROWS_WITH(
      server::read_environment(config, [](const char*) -> const char* { return "many"; }),
      Contains("DUET_SERVE_PORT"));
}
