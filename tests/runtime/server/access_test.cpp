#include "runtime/server/access.h"

#include <catch2/catch.hpp>

using namespace duet::server;

TEST_CASE("subprotocols and queries are taken apart as sent", "[unit]") {
  CHECK(choose_subprotocol("openai-insecure-api-key.x, realtime, realtime-2") == "realtime");
  CHECK(choose_subprotocol("chat").empty());
  CHECK(choose_subprotocol("").empty());
  CHECK(query_value("a=1&auth_id=x&b=", "auth_id") == "x");
  CHECK(query_value("xauth_id=1", "auth_id").empty());
  CHECK(random_hex(8).size() == 16);
  CHECK(random_hex(8) != random_hex(8));
}

TEST_CASE("a token is taken wherever a client can put it, and only whole", "[unit]") {
  ServerConfig config;
  config.tokens = {"first-token", "second-token"};
  Access access(config);
  CHECK_FALSE(access.has_token({}));
  CHECK(access.has_token({.authorization = "Bearer second-token"}));
  CHECK_FALSE(access.has_token({.authorization = "second-token"}));
  CHECK_FALSE(access.has_token({.authorization = "Bearer second-token "}));
  CHECK(access.has_token({.api_key = "first-token"}));
  CHECK(access.has_token({.query = "worker_auth_id=first-token"}));
  CHECK_FALSE(access.has_token({.query = "token=first-token"}));
  CHECK(access.has_token({.protocols = "realtime, openai-insecure-api-key.first-token"}));
  const auto secret = access.make_secret(30.0);
  CHECK(secret.value.starts_with("ek_"));
  CHECK(access.has_token({.authorization = "Bearer " + secret.value}));
  CHECK(Access(ServerConfig{}).has_token({}));
}

TEST_CASE("origins: the server's own and the configured ones", "[unit]") {
  ServerConfig config;
  config.origins = {"https://shop.example"};
  const Access access(config);
  CHECK(access.is_origin_allowed({}));
  CHECK(access.is_origin_allowed({.origin = "http://localhost:8998", .host = "localhost:8998"}));
  CHECK_FALSE(access.is_origin_allowed({.origin = "http://localhost:1", .host = "localhost:8998"}));
  CHECK(access.is_origin_allowed({.origin = "https://shop.example", .host = "localhost"}));
  CHECK_FALSE(access.is_origin_allowed({.origin = "null", .host = "localhost"}));
  config.origins = {"*"};
  CHECK(Access(config).is_origin_allowed({.origin = "https://any.example", .host = "x"}));
}

TEST_CASE("hosts: loopback's names while there is no token", "[unit]") {
  ServerConfig config;
  config.hosts = {"duet.local"};
  for (const char* good : {"localhost:8998", "127.0.0.1", "[::1]:8998", "duet.local:1", ""})
    CHECK(Access(config).is_host_allowed({.host = good}));
  CHECK_FALSE(Access(config).is_host_allowed({.host = "rebound.example:8998"}));
  config.tokens = {"long-enough"};
  CHECK(Access(config).is_host_allowed({.host = "rebound.example:8998"}));
}
