#include "runtime/server/opener.h"

#include <catch2/catch.hpp>

using namespace duet::server;

TEST_CASE("which protocol a path and its query ask for", "[unit]") {
  CHECK(protocol_of("/api/chat", "") == Protocol::kMoshi);
  CHECK(protocol_of("/v1/realtime", "model=x") == Protocol::kRealtime);
  CHECK(protocol_of("/v1/realtime", "duplex=0") == Protocol::kRealtime);
  CHECK(protocol_of("/v1/realtime", "model=x&duplex=true") == Protocol::kDuplex);
  CHECK(protocol_of("/v1/duplex", "") == Protocol::kDuplex);
  CHECK(protocol_of("/v1/other", "duplex=1") == Protocol::kNone);
  CHECK(waits_for_client(Protocol::kDuplex, "autostart=0"));
  CHECK(waits_for_client(Protocol::kDuplex, "resume=duplex-1"));
  CHECK_FALSE(waits_for_client(Protocol::kDuplex, ""));
  CHECK_FALSE(waits_for_client(Protocol::kRealtime, "autostart=0"));
}

TEST_CASE("a request to resume is read; anything else is none", "[unit]") {
  const auto resume = read_resume(
      R"({"type":"session.resume","session_id":"s","resume_token":"t","last_received_server_event_seq":5})");
  REQUIRE(resume);
  CHECK(resume->session_id == "s");
  CHECK(resume->token == "t");
  CHECK(resume->seq == 5);
  CHECK_FALSE(
      read_resume(R"({"type":"session.update","session":{"instructions":"session.resume"}})"));
  CHECK_FALSE(read_resume(R"({"type":"session.resume"})"));
}
