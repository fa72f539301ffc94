// Clients of the duplex extensions on a whole server: resume, playback, what is told when.

#include <catch2/catch.hpp>
#include <cmath>

#include "runtime/server/server.h"
#include "tests/support/serve_helpers.inc"

using namespace duet;
using namespace duet::support;
using namespace std::chrono_literals;

namespace {

FakeScript long_talker(std::int64_t num_steps = 25) {
  FakeScript script;
  script.replies = {{2, num_steps, "one two three four five six seven eight nine ten eleven"}};
  return script;
}

struct Heard {
  std::vector<std::int64_t> seqs;
  std::vector<std::int16_t> pcm;
  std::vector<std::string> names;
  json last;

  /// Takes the next event; false when none comes.
  bool take(WebSocketClient& client) {
    const auto message = client.read(5.0);
    if (!message) return false;
    last = json::parse(message->data);
    names.push_back(last["type"]);
    if (last["type"] == "session.resumed" || last["type"] == "session.resync_required") return true;
    seqs.push_back(last["server_event_seq"]);
    if (last["type"] != "response.output_audio.delta") return true;
    const auto bytes = wire::base64_decode(last["delta"].get<std::string>());
    for (std::size_t i = 0; i + 1 < bytes.size(); i += 2)
      pcm.push_back(static_cast<std::int16_t>(bytes[i] | (bytes[i + 1] << 8)));
    return true;
  }
  bool take_until(WebSocketClient& client, const std::string& type) {
    while (take(client))
      if (last["type"] == type) return true;
    return false;
  }
};

std::string resume_event(const json& created, std::int64_t seq) {
  return json{{"type", "session.resume"},
              {"session_id", created["session"]["id"]},
              {"resume_token", created["resume_token"]},
              {"last_received_server_event_seq", seq}}
      .dump();
}

void wait_for(const std::function<bool()>& is_so) {
  for (int i = 0; i < 400 && !is_so(); ++i) std::this_thread::sleep_for(5ms);
}

/// The code of a flat error, then close 1008.
std::string refused_with(WebSocketClient& client) {
  const auto message = client.read();
  if (!message) return "nothing";
  client.read();
  return client.close_code() == 1008 ? json::parse(message->data)["code"].get<std::string>()
                                     : "not closed";
}

}  // namespace

TEST_CASE("resume: a dropped connection loses and repeats nothing that was acknowledged",
          "[unit]") {
  const FakeEngine engine(long_talker());
  server::Server server(engine, quick_config());
  WebSocketClient first(server.port(), "/v1/realtime?duplex=1");
  Heard heard;
  REQUIRE(heard.take_until(first, "session.created"));
  const json created = heard.last;
  CHECK(created["session"]["id"].get<std::string>().starts_with("duplex-"));
  for (int i = 0; i < 6; ++i) REQUIRE(heard.take_until(first, "response.output_audio.delta"));
  const std::int64_t acknowledged = heard.seqs.back();
  first.send_text(json{{"type", "session.event_ack"}, {"server_event_seq", acknowledged}}.dump());
  Heard lost;  // Came, but the client has no use of it any more.
  for (int i = 0; i < 3; ++i) REQUIRE(lost.take_until(first, "response.output_audio.delta"));
  first.drop();
  wait_for([&] { return server.metrics().sessions_parked == 1; });
  CHECK(server.metrics().sessions == 1);
  const auto steps = server.metrics().steps.load();
  std::this_thread::sleep_for(300ms);
  CHECK(server.metrics().steps <= steps + 1);  // It stands still.

  WebSocketClient second(server.port(), "/v1/realtime?duplex=1&autostart=0");
  second.send_text(resume_event(created, acknowledged));
  REQUIRE(heard.take(second));
  CHECK(heard.last["type"] == "session.resumed");
  CHECK(heard.last["attachment_generation"] == 2);
  CHECK(heard.last["resume_token"] != created["resume_token"]);
  REQUIRE(heard.take_until(second, "response.done"));
  CHECK(heard.last["response"]["status"] == "completed");
  for (std::size_t i = 0; i < heard.seqs.size(); ++i)
    REQUIRE(heard.seqs[i] == static_cast<std::int64_t>(i) + 1);  // None missing, none twice.
  REQUIRE(heard.pcm.size() >= 25 * 1920);
  int num_wrong = 0;
  for (std::size_t i = 0; i < 25 * 1920; ++i) {
    const double tone =
        0.25 * std::sin(2.0 * M_PI * 440.0 * static_cast<double>(i + 2 * 1920) / 24000.0);
    num_wrong += std::abs(heard.pcm[i] / 32768.0 - tone) > 1e-3;
  }
  CHECK(num_wrong == 0);
  CHECK(server.metrics().sessions_resumed == 1);
  CHECK(server.metrics().deadline_misses == 0);  // Nor was anything late for having stood still.
}

TEST_CASE("resume: another connection takes over, the former is told", "[unit]") {
  const FakeEngine engine(long_talker(60));
  server::Server server(engine, quick_config());
  WebSocketClient first(server.port(), "/v1/duplex");
  Heard heard;
  REQUIRE(heard.take_until(first, "response.output_audio.delta"));
  WebSocketClient second(server.port(), "/v1/duplex?resume=1");
  // The token is in session.created, the first event: read it again from a fresh journal.
  json created;
  {
    WebSocketClient probe(server.port(), "/v1/duplex");
    created = json::parse(probe.read()->data);
    WebSocketClient taker(server.port(), "/v1/duplex?autostart=0");
    taker.send_text(resume_event(created, 2));
    Heard other;
    REQUIRE(other.take(taker));
    CHECK(other.last["type"] == "session.resumed");
    Heard former;
    REQUIRE(former.take_until(probe, "session.replaced"));
    CHECK_FALSE(probe.read());
    CHECK(probe.close_code() == 1000);
    // The former token is void by now; the wrong one and an unknown session are told apart.
    WebSocketClient late(server.port(), "/v1/duplex?autostart=0");
    late.send_text(resume_event(created, 2));
    CHECK(refused_with(late) == "invalid_resume_token");
    created["session"]["id"] = "duplex-none";
    WebSocketClient lost(server.port(), "/v1/duplex?autostart=0");
    lost.send_text(resume_event(created, 2));
    CHECK(refused_with(lost) == "invalid_session_resume");
    taker.send_text(R"({"type":"session.close"})");
    REQUIRE(other.take_until(taker, "session.closed"));
    CHECK(other.last["reason"] == "client_close");
  }
  REQUIRE(heard.take_until(first, "response.output_audio.delta"));  // The other one goes on.
}

TEST_CASE("resume: after the grace nobody can, and the seat is free", "[unit]") {
  const FakeEngine engine({});
  auto config = quick_config(1);
  config.resume_grace_s = 0.3;
  server::Server server(engine, config);
  json created;
  {
    WebSocketClient first(server.port(), "/v1/duplex");
    created = json::parse(first.read()->data);
    first.drop();
  }
  wait_for(
      [&] { return server.metrics().sessions_abandoned == 1 && server.metrics().sessions == 0; });
  WebSocketClient second(server.port(), "/v1/duplex?autostart=0");
  second.send_text(resume_event(created, 0));
  CHECK(refused_with(second) == "session_resume_expired");
  CHECK(WebSocketClient(server.port(), "/v1/realtime").read());
}

TEST_CASE("resume: what the journal no longer holds is told", "[unit]") {
  const FakeEngine engine(long_talker(60));
  auto config = quick_config();
  config.max_queued_bytes = 1u << 16;  // A journal of 128 KiB: two seconds.
  server::Server server(engine, config);
  WebSocketClient first(server.port(), "/v1/duplex");
  Heard heard;
  REQUIRE(heard.take_until(first, "session.created"));
  const json created = heard.last;
  for (int i = 0; i < 40; ++i) REQUIRE(heard.take_until(first, "response.output_audio.delta"));
  first.drop();
  wait_for([&] { return server.metrics().sessions_parked == 1; });
  WebSocketClient second(server.port(), "/v1/duplex?autostart=0");
  second.send_text(resume_event(created, 3));
  Heard again;
  REQUIRE(again.take_until(second, "session.resync_required"));
  CHECK(again.last["reason"] == "journal_gap");
  const std::int64_t oldest = again.last["oldest_server_event_seq"];
  CHECK(oldest > 4);
  REQUIRE(again.take(second));
  CHECK(again.last["server_event_seq"] == oldest);
}

TEST_CASE("plain Realtime conversations end with their connection", "[unit]") {
  const FakeEngine engine({});
  server::Server server(engine, quick_config(1));
  {
    WebSocketClient client(server.port(), "/v1/realtime");
    const json created = json::parse(client.read()->data);
    CHECK_FALSE(created.contains("resume_token"));
    CHECK_FALSE(created.contains("server_event_seq"));
    client.drop();
  }
  wait_for([&] { return server.metrics().sessions == 0; });
  CHECK(server.metrics().sessions == 0);
  CHECK(server.metrics().sessions_parked == 0);
}

TEST_CASE("the extensions: asked for by a session field; speak, listen, ledger, signals",
          "[unit]") {
  const FakeEngine engine(long_talker(40));
  server::Server server(engine, quick_config());
  WebSocketClient client(server.port(), "/v1/realtime");
  CHECK(json::parse(client.read()->data)["type"] == "session.created");
  client.send_text(
      R"({"type":"session.update","session":{"playback_commit_policy":"ack_only","output_audio_format":"g711_ulaw"}})");
  Heard heard;
  REQUIRE(heard.take_until(client, "session.updated"));
  CHECK(heard.last["session"]["playback_commit_policy"] == "ack_only");
  CHECK_FALSE(heard.last["resume_token"].get<std::string>().empty());
  REQUIRE(heard.take_until(client, "response.speak"));
  REQUIRE(heard.take_until(client, "response.output_audio.delta"));
  CHECK(heard.last["format"] == "g711_ulaw");
  CHECK(heard.last["metadata"]["audio_duration_ms"] == 160);
  for (int i = 0; i < 4; ++i) REQUIRE(heard.take_until(client, "response.output_audio.delta"));
  const std::string item = heard.last["item_id"];
  client.send_text(json{{"type", "playback.ack"}, {"item_id", item}, {"played_ms", 160}}.dump());
  REQUIRE(heard.take_until(client, "playback.acknowledged"));
  CHECK(heard.last["event"]["played_ms"] == 160);
  CHECK(heard.last["event"]["history_committed"] == false);
  client.send_text(R"({"type":"playback.ack","item_id":"item_none","played_ms":1})");
  REQUIRE(heard.take_until(client, "error"));
  CHECK(heard.last["error"]["code"] == "playback_item_not_found");
  client.send_text(R"({"type":"barge_in"})");
  REQUIRE(heard.take_until(client, "response.done"));
  CHECK(heard.last["response"]["status_details"]["reason"] == "barge_in");
  client.send_text(json{{"type", "conversation.item.retrieve"}, {"item_id", item}}.dump());
  REQUIRE(heard.take_until(client, "conversation.item.retrieved"));
  CHECK(heard.last["item"]["content"][0]["transcript"] == "one two");  // As far as it was heard.
  client.send_text(R"({"type":"turn.signal","event":"nod"})");
  REQUIRE(heard.take_until(client, "turn.event"));
  CHECK(heard.last["epoch"] == 1);
  client.send_text(R"({"type":"session.heartbeat"})");
  REQUIRE(heard.take_until(client, "session.heartbeat_ack"));
  client.send_text(append_event(0.4, 0.2F));
  client.send_text(R"({"type":"input_audio_buffer.commit"})");
  REQUIRE(heard.take_until(client, "response.listen"));
  CHECK(std::count(heard.names.begin(), heard.names.end(), "response.speak") == 1);
  // The reply and what the user said. On a slow machine the server may hear the user stop before
  // the commit arrives, which then ends a turn of its own.
  const auto num_created =
      std::count(heard.names.begin(), heard.names.end(), "conversation.item.created");
  CHECK((num_created == 2 || num_created == 3));
}

TEST_CASE("a client that is to speak first and does not is told so; any other event opens",
          "[unit]") {
  const FakeEngine engine({});
  server::Server server(engine, quick_config());
  WebSocketClient client(server.port(), "/v1/realtime?duplex=on&autostart=0");
  std::this_thread::sleep_for(50ms);
  CHECK(server.metrics().sessions == 0);
  client.send_text(R"({"type":"session.heartbeat"})");
  CHECK(json::parse(client.read()->data)["type"] == "session.created");
  CHECK(json::parse(client.read()->data)["type"] == "session.updated");
  CHECK(json::parse(client.read()->data)["type"] == "session.heartbeat_ack");
}
