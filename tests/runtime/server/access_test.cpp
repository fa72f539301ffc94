#include "runtime/server/access.h"

#include <catch2/catch.hpp>

using namespace duet::server;

namespace {

/// A request with one field, or two, set.
RequestHead with(std::string RequestHead::*field, const std::string& value,
                 const std::string& host = "") {
  RequestHead request;
  request.host = host;
  request.*field = value;
  return request;
}

}  // namespace

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
  CHECK(access.has_token(with(&RequestHead::authorization, "Bearer second-token")));
  CHECK_FALSE(access.has_token(with(&RequestHead::authorization, "second-token")));
  CHECK_FALSE(access.has_token(with(&RequestHead::authorization, "Bearer second-token ")));
  CHECK(access.has_token(with(&RequestHead::api_key, "first-token")));
  CHECK(access.has_token(with(&RequestHead::query, "worker_auth_id=first-token")));
  CHECK_FALSE(access.has_token(with(&RequestHead::query, "token=first-token")));
  CHECK(access.has_token(
      with(&RequestHead::protocols, "realtime, openai-insecure-api-key.first-token")));
  const auto secret = access.make_secret(30.0);
  CHECK(secret.value.starts_with("ek_"));
  CHECK(access.has_token(with(&RequestHead::authorization, "Bearer " + secret.value)));
  CHECK(Access(ServerConfig{}).has_token({}));
}

TEST_CASE("origins: the server's own and the configured ones", "[unit]") {
  ServerConfig config;
  config.origins = {"https://shop.example"};
  const Access access(config);
  CHECK(access.is_origin_allowed({}));
  CHECK(access.is_origin_allowed(
      with(&RequestHead::origin, "http://localhost:8998", "localhost:8998")));
  CHECK_FALSE(
      access.is_origin_allowed(with(&RequestHead::origin, "http://localhost:1", "localhost:8998")));
  CHECK(access.is_origin_allowed(with(&RequestHead::origin, "https://shop.example", "localhost")));
  CHECK_FALSE(access.is_origin_allowed(with(&RequestHead::origin, "null", "localhost")));
  config.origins = {"*"};
  CHECK(Access(config).is_origin_allowed(with(&RequestHead::origin, "https://any.example", "x")));
}

TEST_CASE("hosts: loopback's names while there is no token", "[unit]") {
  ServerConfig config;
  config.hosts = {"duet.local"};
  for (const char* good : {"localhost:8998", "127.0.0.1", "[::1]:8998", "duet.local:1", ""})
    CHECK(Access(config).is_host_allowed(with(&RequestHead::host, good)));
  CHECK_FALSE(Access(config).is_host_allowed(with(&RequestHead::host, "rebound.example:8998")));
  config.tokens = {"long-enough"};
  CHECK(Access(config).is_host_allowed(with(&RequestHead::host, "rebound.example:8998")));
}
