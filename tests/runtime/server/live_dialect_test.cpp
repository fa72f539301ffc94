// GPT-Live, the queue, consent and refusals on a whole server.

#include <catch2/catch.hpp>
#include <filesystem>

#include "runtime/core/error.h"
#include "tests/support/serve_helpers.inc"
#include "tests/support/temp_dir.h"

using namespace duet;
using namespace duet::support;
using namespace std::chrono_literals;

namespace {

FakeScript sayer() {
  FakeScript script = talker();
  script.info.can_say = true;
  return script;
}

std::string start_event(const json& more = json::object()) {
  json session = {{"model", "fake"}};
  session.update(more);
  return json{{"type", "session.start"}, {"session", session}}.dump();
}

std::string live_append(double seconds, float value) {
  json event = json::parse(append_event(seconds, value));
  event["type"] = "session.input_audio.append";
  return event.dump();
}

}  // namespace

TEST_CASE("Live: one continuous stream with both transcripts, from session.start to close",
          "[unit]") {
  const FakeEngine engine(talker());
  server::Server server(engine, quick_config());
  WebSocketClient client(server.port(), "/v1/live/sessions");
  client.send_text(live_append(0.08, 0.0F));
  CHECK(events_until(client, "error").back()["error"]["code"] == "session_not_started");
  client.send_text(
      start_event({{"audio", {{"format", {{"type", "audio/pcm"}, {"rate", 16000}}}}}}));
  CHECK_FALSE(
      events_until(client, "session.started").back()["session"]["id"].get<std::string>().empty());
  client.send_text(live_append(0.8, 0.2F));
  std::string heard, said;
  std::size_t num_bytes = 0, num_deltas = 0;
  while (said.size() < 28) {
    const auto message = client.read();
    REQUIRE(message);
    const json event = json::parse(message->data);
    if (event["type"] == "session.output_audio.delta") {
      ++num_deltas;
      num_bytes += wire::base64_decode(event["delta"].get<std::string>()).size();
    }
    if (event["type"] == "session.input_transcript.delta") {
      heard += event["delta"];
      CHECK(event["end_ms"] == event["start_ms"].get<int>() + 80);
    }
    if (event["type"] == "session.output_transcript.delta") said += event["delta"];
  }
  CHECK(heard == " hello there");
  CHECK(said == "two coffees to go please now");
  CHECK(num_deltas >= 15);  // Silence included.
  CHECK(num_bytes == Approx(static_cast<double>(num_deltas) * 2560.0).margin(300.0));
  client.send_text(R"({"type":"session.input_audio.mute","event_id":"m"})");
  CHECK(events_until(client, "session.input_audio.muted").back()["client_event_id"] == "m");
  client.send_text(R"({"type":"session.thinking.append","delegation_id":null,"content":"x"})");
  CHECK(events_until(client, "error").back()["error"]["code"] == "unsupported_event");
  client.send_text(R"({"type":"session.close"})");
  const json closed = events_until(client, "session.closed").back();
  CHECK(closed["reason"] == "close_requested");
  CHECK(closed["usage"]["seconds"] > 1.0);
  CHECK_FALSE(client.read());
  CHECK(client.close_code() == 1000);
}

TEST_CASE("Live: delegation to the client: it is asked after a turn, its words are said",
          "[unit]") {
  FakeScript script = sayer();
  script.replies.clear();
  const FakeEngine engine(script);
  server::Server server(engine, quick_config());
  WebSocketClient client(server.port(), "/v1/live/sessions");
  client.send_text(start_event({{"delegation", {{"type", "client"}}}}));
  client.send_text(live_append(0.4, 0.2F));
  const json asked = events_until(client, "session.delegation.created").back();
  CHECK(asked["delegation"]["target"] == "client");
  client.send_text(json{
      {"type", "session.commentary.append"},
      {"delegation_id", asked["delegation"]["id"]},
      {"content",
       "tea is out"}}.dump());
  std::string said;
  while (said.size() < 10) {
    const json words = events_until(client, "session.output_transcript.delta").back();
    REQUIRE(words.contains("delta"));
    said += words["delta"];
  }
  CHECK(said == "tea is out");
}

TEST_CASE("Live: delegation that cannot be is refused, and why", "[unit]") {
  const bool can_say = GENERATE(false, true);
  FakeScript script = sayer();
  script.info.can_say = can_say;
  const FakeEngine engine(script);
  auto config = quick_config();
  server::Server server(engine, config);
  WebSocketClient client(server.port(), "/v1/live/sessions");
  client.send_text(start_event({{"delegation", {{"type", can_say ? "responses" : "client"}}}}));
  const json refused = events_until(client, "error").back();
  CHECK(refused["error"]["code"] == "unsupported_delegation");
  CHECK_FALSE(client.read());
  CHECK(client.close_code() == 1008);
  config.delegate_command = {"cat"};
  if (!can_say) CHECK_THROWS_AS(server::Server(engine, config), core::ConfigError);
}

TEST_CASE("the operator's program speaks in any protocol", "[unit]") {
  FakeScript script = sayer();
  script.replies.clear();
  const FakeEngine engine(script);
  auto config = quick_config();
  config.delegate_command = {
      "sed", "-u", "-n",
      R"x(s/.*"id":"\([^"]*\)".*"user":"\([^"]*\)".*/{"id":"\1","say":"\2 it is"}/p)x"};
  server::Server server(engine, config);
  WebSocketClient client(server.port(), "/v1/realtime");
  client.send_text(append_event(0.64, 0.2F));
  const json done = events_until(client, "response.done").back();
  CHECK(done["response"]["output"][0]["content"][0]["transcript"] == "hello there it is");
}

TEST_CASE("the queue: told its place, served in turn, with what was sent meanwhile", "[unit]") {
  const FakeEngine engine({});
  auto config = quick_config(1);
  config.queue_max_waiting = 2;
  server::Server server(engine, config);
  WebSocketClient first(server.port(), "/v1/realtime");
  REQUIRE(first.read());
  WebSocketClient second(server.port(), "/v1/duplex"), third(server.port(), "/api/chat");
  const json queued = json::parse(second.read()->data);
  CHECK(queued["type"] == "session.queued");
  CHECK(queued["position"] == 1);
  CHECK(third.read()->data.find("number 2") != std::string::npos);
  WebSocketClient fourth(server.port(), "/v1/realtime");
  CHECK(json::parse(fourth.read()->data)["error"]["code"] == "session_limit_reached");
  second.send_text(R"({"type":"session.heartbeat"})");
  first.drop();
  CHECK(json::parse(second.read()->data)["type"] == "session.created");
  CHECK_FALSE(events_until(second, "session.heartbeat_ack").empty());
  CHECK(third.read()->data.find("number 1") != std::string::npos);
  second.send_text(R"({"type":"session.close"})");
  CHECK(third.read()->data[0] == 4);
  CHECK(third.read()->data[0] == 0);
  CHECK(server.metrics().waiting == 0);
}

TEST_CASE("the queue: patience ends", "[unit]") {
  const FakeEngine engine({});
  auto config = quick_config(1);
  config.queue_max_waiting = 2;
  config.queue_max_wait_s = 1.0;
  server::Server server(engine, config);
  WebSocketClient first(server.port(), "/v1/realtime"), second(server.port(), "/v1/realtime");
  CHECK(json::parse(second.read()->data)["error"]["type"] == "rate_limit_error");
  CHECK_FALSE(second.read());
  CHECK(second.close_code() == 1013);
}

TEST_CASE("behind a balancer: full is 503 before the upgrade, but not for who comes back",
          "[unit]") {
  const FakeEngine engine({});
  auto config = quick_config(1);
  config.refuse_before_upgrade = true;
  server::Server server(engine, config);
  WebSocketClient first(server.port(), "/v1/duplex");
  REQUIRE(first.read());
  CHECK(refusal(server.port(), "/v1/realtime") == 503);
  CHECK(refusal(server.port(), "/v1/duplex?autostart=0&resume=duplex-1") == 101);
  CHECK(server.metrics().sessions_refused == 1);
}

TEST_CASE("recording: only where operator and client both agree", "[unit]") {
  const support::TempDir folder;
  const FakeEngine engine({});
  auto config = quick_config(4);
  config.recording_folder = folder.path() + "/rec";
  server::Server server(engine, config);
  {
    WebSocketClient silent(server.port(), "/v1/realtime");
    WebSocketClient no(server.port(), "/v1/realtime?allow_recording=0");
    REQUIRE(silent.read());
    REQUIRE(no.read());
    std::this_thread::sleep_for(200ms);
    CHECK(server.metrics().recordings == 0);
    CHECK_FALSE(std::filesystem::exists(folder.path() + "/rec"));
    WebSocketClient yes(server.port(), "/v1/realtime?allow_recording=1");
    const std::string id = json::parse(yes.read()->data)["session"]["id"];
    std::this_thread::sleep_for(300ms);
    yes.drop();
    const std::string file = folder.path() + "/rec/" + id + ".wav";
    for (int i = 0; i < 200 && !std::filesystem::exists(file); ++i)
      std::this_thread::sleep_for(10ms);
    CHECK(std::filesystem::exists(file));
  }
  CHECK(server.metrics().recordings == 1);
}

TEST_CASE("limits and drain are announced to clients of the extensions", "[unit]") {
  const FakeEngine engine({});
  auto config = quick_config();
  config.limits = {.max_session_s = 60.0, .idle_s = 1.2, .warning_s = 0.7};
  config.drain_s = 5.0;
  server::Server server(engine, config);
  WebSocketClient client(server.port(), "/v1/duplex");
  const json idle = events_until(client, "session.go_away").back();
  CHECK(idle["reason"] == "idle");
  CHECK(idle["time_left_s"] == 0.7);
  std::thread draining([&] { server.drain(); });
  const json away = events_until(client, "session.go_away").back();
  CHECK(away["reason"] == "shutdown");
  CHECK(away["time_left_s"] == 5.0);
  const auto rest = events_until(client, "session.closed");
  CHECK(count(types(rest), "session.expired") == 1);
  CHECK(rest.back()["reason"] == "timeout");
  draining.join();
}
