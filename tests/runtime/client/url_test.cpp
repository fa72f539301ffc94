#include "runtime/client/url.h"

#include <catch2/catch.hpp>

#include "runtime/core/error.h"

using namespace duet;
using client::parse_url;

TEST_CASE("URLs of servers in their parts", "[unit]") {
  const auto plain = parse_url("ws://localhost:8998/api/chat?seed=1#top");
  CHECK_FALSE(plain.is_secure);
  CHECK(plain.host == "localhost");
  CHECK(plain.port == "8998");
  CHECK(plain.target == "/api/chat?seed=1");
  const auto secure = parse_url("wss://api.example.com?model=x");
  CHECK(secure.is_secure);
  CHECK(secure.port == "443");
  CHECK(secure.target == "/?model=x");
  CHECK(parse_url("ws://h").port == "80");
  CHECK(parse_url("ws://h").target.empty());
  const auto v6 = parse_url("ws://[::1]:70/x");
  CHECK(v6.host == "::1");
  CHECK(v6.port == "70");
  CHECK(parse_url("ws://[::1]/x").port == "80");
}

TEST_CASE("URLs that lead nowhere are refused", "[unit]") {
  for (const char* text :
       {"http://h", "h:80", "ws://", "ws://:80", "ws://h:", "ws://h:0", "ws://h:70000", "ws://h:8x",
        "ws://user:word@h", "ws://[::1", "ws://[::1]x", "ws://h/a b", "ws://h/\n"}) {
    INFO(text);
    CHECK_THROWS_AS(parse_url(text), core::ConfigError);
  }
}
