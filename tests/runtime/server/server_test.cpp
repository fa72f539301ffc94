#include "runtime/server/server.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "codecs/wire/base64.h"
#include "codecs/wire/moshi_frame.h"
#include "codecs/wire/ogg_opus_decoder.h"
#include "codecs/wire/ogg_opus_encoder.h"
#include "runtime/server/tls.h"
#include "tests/support/serve_helpers.inc"
#include "tests/support/temp_dir.h"

using namespace duet;
using namespace std::chrono_literals;
using nlohmann::json;
using namespace duet::support;

namespace {

std::vector<std::uint8_t> opus_of(double seconds, float amplitude) {
  wire::OggOpusEncoder encoder;
  std::vector<float> tone(static_cast<std::size_t>(seconds * 24000));
  for (std::size_t i = 0; i < tone.size(); ++i)
    tone[i] = amplitude * static_cast<float>(std::sin(0.05 * static_cast<double>(i)));
  std::vector<std::uint8_t> bytes;
  encoder.encode(tone, bytes);
  return bytes;
}

}  // namespace

TEST_CASE("plain requests: health, readiness, metrics, build, page, nothing", "[unit]") {
  const support::FakeEngine engine({});
  const server::Server server(engine, quick_config());
  CHECK(http_request(server.port(), "GET", "/healthz").body == "ok\n");
  const auto ready = http_request(server.port(), "GET", "/readyz");
  CHECK(ready.status == 200);
  CHECK(json::parse(ready.body)["capacity"] == 2);
  CHECK(http_request(server.port(), "GET", "/metrics").body.find("duet_sessions_capacity 2") !=
        std::string::npos);
  CHECK(json::parse(http_request(server.port(), "GET", "/api/build_info").body)["model"] == "fake");
  const auto page = http_request(server.port(), "GET", "/");
  CHECK(page.status == 200);
  CHECK(page.type.find("text/html") == 0);
  CHECK(http_request(server.port(), "GET", "/page/../config.h").status == 404);
  CHECK(http_request(server.port(), "GET", "/api/chat").status == 426);
  CHECK(http_request(server.port(), "DELETE", "/").status == 405);
}

TEST_CASE("Moshi: metadata, handshake, then a frame for a frame with its words", "[unit]") {
  const support::FakeEngine engine(talker());
  server::Server server(engine, quick_config());
  WebSocketClient client(server.port(), "/api/chat?text_temperature=0.7&worker_auth_id=x");
  REQUIRE(client.read()->data[0] == 4);
  REQUIRE(client.read()->data == std::string(9, '\0'));
  client.send_text("not for Moshi");  // Ignored, as everything below that is no audio.
  client.send_binary(std::string("\x63garbage"));
  client.send_binary(std::string("\x01", 1));
  client.send_binary(wire::write_moshi_control(wire::MoshiControl::kEndTurn));
  client.send_binary(wire::write_moshi_audio(opus_of(1.65, 0.1F)));
  wire::OggOpusDecoder decoder;
  std::vector<float> heard;
  std::string text;
  int num_audio = 0;
  while (const auto message = client.read(0.6)) {
    REQUIRE_FALSE(message->is_text);
    const std::vector<std::uint8_t> bytes(message->data.begin(), message->data.end());
    const auto frame = wire::parse_moshi_frame(bytes);
    if (frame.kind == wire::MoshiKind::kText) text += frame.text;
    if (frame.kind != wire::MoshiKind::kAudio) continue;
    ++num_audio;
    decoder.decode(frame.payload, heard);
  }
  CHECK(num_audio == 20);  // 1.65 s are 20 whole blocks.
  CHECK(text == "two coffees to go please now");
  CHECK(heard.size() == Approx(20 * 1920).margin(400));
  CHECK(server.metrics().bad_messages == 1);
}

TEST_CASE("Realtime: a burst is heard, the user's turn is an item, the agent's a response",
          "[unit]") {
  const support::FakeEngine engine(talker());
  server::Server server(engine, quick_config());
  WebSocketClient client(server.port(), "/v1/realtime?model=fake",
                         {{"Sec-WebSocket-Protocol", "realtime, openai-insecure-api-key.any"}});
  CHECK(client.subprotocol() == "realtime");
  const json created = json::parse(client.read()->data);
  CHECK(created["type"] == "session.created");
  client.send_text(
      R"({"type":"session.update","session":{"type":"realtime","audio":{"input":{"transcription":{"model":"any"}}}}})");
  client.send_text(append_event(0.64, 0.2F));
  const auto events = events_until(client, "rate_limits.updated");
  const auto names = types(events);
  REQUIRE(count(names, "input_audio_buffer.speech_started") == 1);
  CHECK(count(names, "input_audio_buffer.speech_stopped") == 1);
  CHECK(count(names, "input_audio_buffer.committed") == 1);
  CHECK(count(names, "conversation.item.input_audio_transcription.delta") == 2);
  CHECK(count(names, "response.output_audio.delta") >= 5);
  std::string transcript;
  std::size_t audio_bytes = 0;
  for (const auto& event : events) {
    if (event["type"] == "response.output_audio_transcript.done") transcript = event["transcript"];
    if (event["type"] == "response.output_audio.delta")
      audio_bytes += wire::base64_decode(event["delta"].get<std::string>()).size();
  }
  CHECK(transcript == "two coffees to go please now");
  CHECK(audio_bytes >= 6 * 3840);
  CHECK(events[events.size() - 2]["response"]["status"] == "completed");
}

TEST_CASE("Realtime: cancel, truncate, create, and errors that end nothing", "[unit]") {
  support::FakeScript script;
  script.replies = {{4, 40, "one two three four five six seven eight nine ten"}};
  const support::FakeEngine engine(script);
  server::Server server(engine, quick_config());
  WebSocketClient client(server.port(), "/v1/realtime");
  client.send_text("{nonsense");
  CHECK(events_until(client, "error").back()["error"]["code"] == "invalid_json");
  client.send_text(R"({"type":"response.cancel","event_id":"mine"})");
  const json inactive = events_until(client, "error").back();
  CHECK(inactive["error"]["code"] == "response_cancel_not_active");
  CHECK(inactive["error"]["event_id"] == "mine");
  client.send_text(R"({"type":"input_audio_buffer.commit"})");
  CHECK(events_until(client, "error").back()["error"]["code"] == "input_audio_buffer_commit_empty");

  const auto begun = events_until(client, "response.output_audio.delta");
  const std::string item = begun.back()["item_id"];
  client.send_text(json{
      {"type", "conversation.item.truncate"},
      {"item_id", item},
      {"content_index", 0},
      {"audio_end_ms",
       100}}.dump());
  const auto stopped = events_until(client, "conversation.item.truncated");
  const auto names = types(stopped, "response.output_audio.delta");
  CHECK(count(names, "response.done") == 1);
  client.send_text(json{{"type", "conversation.item.retrieve"}, {"item_id", item}}.dump());
  const json kept = events_until(client, "conversation.item.retrieved").back();
  CHECK(kept["item"]["content"][0]["transcript"] == "one two");
  CHECK(kept["item"]["status"] == "incomplete");
}

TEST_CASE("Realtime: a turn committed in mid-speech is one item, and its end is told", "[unit]") {
  const FakeEngine engine({});
  server::Server server(engine, quick_config());
  WebSocketClient client(server.port(), "/v1/realtime");
  client.send_text(append_event(0.4, 0.2F));  // Committed before the model has heard it...
  client.send_text(R"({"type":"input_audio_buffer.commit"})");
  const auto first = events_until(client, "input_audio_buffer.speech_stopped");
  CHECK(count(types(first), "input_audio_buffer.committed") == 1);
  CHECK(count(types(first), "input_audio_buffer.speech_started") == 1);
  CHECK(count(types(first), "input_audio_buffer.speech_stopped") == 1);
  client.send_text(append_event(0.8, 0.2F));  // ...and while it hears it.
  const auto started = events_until(client, "input_audio_buffer.speech_started");
  client.send_text(R"({"type":"input_audio_buffer.commit"})");
  const auto second = events_until(client, "input_audio_buffer.speech_stopped");
  CHECK(count(types(second), "input_audio_buffer.committed") == 1);
  CHECK(second.back()["item_id"] == started.back()["item_id"]);
}

TEST_CASE("Realtime: text has no audio to cut", "[unit]") {
  const FakeEngine engine(talker());
  server::Server server(engine, quick_config());
  WebSocketClient client(server.port(), "/v1/realtime");
  client.send_text(
      R"({"type":"session.update","session":{"type":"realtime","output_modalities":["text"]}})");
  const json delta = events_until(client, "response.output_text.delta").back();
  client.send_text(json{
      {"type", "conversation.item.truncate"},
      {"item_id", delta["item_id"]},
      {"content_index", 0},
      {"audio_end_ms",
       0}}.dump());
  const json refused = events_until(client, "error").back();
  CHECK(refused["error"]["message"] == "this item has no audio");
  CHECK(events_until(client, "response.done").back()["response"]["status"] == "completed");
}

TEST_CASE("Realtime: a cancelled turn ends in the model too", "[unit]") {
  FakeScript script;
  script.replies = {{2, 60, "one two three four five six seven eight nine ten"}};
  const FakeEngine engine(script);
  server::Server server(engine, quick_config());
  WebSocketClient client(server.port(), "/v1/realtime");
  events_until(client, "response.output_audio.delta");
  client.send_text(R"({"type":"response.cancel"})");
  events_until(client, "rate_limits.updated");
  client.send_text(R"({"type":"response.create"})");  // Not after 60 steps, as the turn has ended.
  const auto begin = std::chrono::steady_clock::now();
  const auto next = events_until(client, "response.done");
  CHECK(next.back()["response"]["output"][0]["content"][0]["transcript"] == "you asked me to");
  CHECK(std::chrono::steady_clock::now() - begin < 3s);
}

TEST_CASE("Realtime: response.create makes the agent begin", "[unit]") {
  const support::FakeEngine engine({});
  server::Server server(engine, quick_config());
  WebSocketClient client(server.port(), "/v1/realtime");
  client.send_text(R"({"type":"response.create"})");
  const auto events = events_until(client, "response.done");
  REQUIRE_FALSE(events.empty());
  REQUIRE(events.back()["type"] == "response.done");
  CHECK(events.back()["response"]["output"][0]["content"][0]["transcript"] == "you asked me to");
}

TEST_CASE("Realtime: an agent that may not answer is not heard", "[unit]") {
  const support::FakeEngine engine(talker());
  server::Server server(engine, quick_config());
  WebSocketClient client(server.port(), "/v1/realtime");
  client.send_text(
      R"({"type":"session.update","session":{"type":"realtime","audio":{"input":{"turn_detection":{"type":"server_vad","create_response":false}}}}})");
  client.send_text(append_event(2.4, 0.0F));
  std::vector<json> events;
  while (const auto message = client.read(0.5)) events.push_back(json::parse(message->data));
  const auto names = types(events);
  CHECK(count(names, "session.updated") == 1);
  CHECK(count(names, "response.created") == 0);
}

TEST_CASE("the conversation over the limit is refused by name, in each dialect", "[unit]") {
  const support::FakeEngine engine({});
  server::Server server(engine, quick_config(1));
  WebSocketClient first(server.port(), "/v1/realtime");
  REQUIRE(first.read());
  CHECK(http_request(server.port(), "GET", "/readyz").status == 503);
  WebSocketClient moshi(server.port(), "/api/chat");
  CHECK(moshi.read()->data[0] == 5);
  CHECK_FALSE(moshi.read());
  CHECK(moshi.close_code() == 1013);
  WebSocketClient realtime(server.port(), "/v1/realtime");
  CHECK(json::parse(realtime.read()->data)["error"]["type"] == "rate_limit_error");
  CHECK_FALSE(realtime.read());
  CHECK(realtime.close_code() == 1013);
  first.drop();  // A client that vanishes gives its seat back.
  for (int i = 0; i < 200 && server.metrics().sessions > 0; ++i) std::this_thread::sleep_for(10ms);
  WebSocketClient next(server.port(), "/v1/realtime");
  CHECK(json::parse(next.read()->data)["type"] == "session.created");
}

TEST_CASE("a poisoned conversation is told so and closed with 1011", "[unit]") {
  support::FakeScript script;
  script.throw_at_step = 2;
  const support::FakeEngine engine(script);
  server::Server server(engine, quick_config());
  WebSocketClient realtime(server.port(), "/v1/realtime");
  const auto events = events_until(realtime, "error");
  REQUIRE_FALSE(events.empty());
  CHECK(events.back()["error"]["type"] == "server_error");
  CHECK_FALSE(realtime.read());
  CHECK(realtime.close_code() == 1011);
}

TEST_CASE("tokens: header, subprotocol, query and ephemeral secret; nothing else", "[unit]") {
  const support::FakeEngine engine({});
  auto config = quick_config(8);
  config.tokens = {"correct-horse"};
  server::Server server(engine, config);
  CHECK(http_request(server.port(), "GET", "/healthz").status == 200);
  CHECK(http_request(server.port(), "GET", "/metrics").status == 401);
  CHECK(refusal(server.port(), "/v1/realtime") == 401);
  CHECK(refusal(server.port(), "/api/chat?auth_id=correct-hors") == 401);
  const support::Headers bearer = {{"Authorization", "Bearer correct-horse"}};
  CHECK(WebSocketClient(server.port(), "/v1/realtime", bearer).read());
  CHECK(WebSocketClient(server.port(), "/api/chat?auth_id=correct-horse").read());
  CHECK(WebSocketClient(
            server.port(), "/v1/realtime",
            {{"Sec-WebSocket-Protocol", "realtime, openai-insecure-api-key.correct-horse"}})
            .read());
  const auto made = http_request(server.port(), "POST", "/v1/realtime/client_secrets",
                                 R"({"expires_after":{"seconds":60}})", bearer);
  REQUIRE(made.status == 200);
  const std::string secret = json::parse(made.body)["value"];
  CHECK(WebSocketClient(server.port(), "/v1/realtime", {{"Authorization", "Bearer " + secret}})
            .read());
  CHECK(server.metrics().auth_refused == 2);
}

TEST_CASE("pages of other origins and other names for loopback are refused", "[unit]") {
  const support::FakeEngine engine({});
  auto config = quick_config();
  config.origins = {"https://good.example"};
  server::Server server(engine, config);
  CHECK(refusal(server.port(), "/v1/realtime", {{"Origin", "https://evil.example"}}) == 403);
  CHECK(
      WebSocketClient(server.port(), "/v1/realtime", {{"Origin", "https://good.example"}}).read());
  CHECK(refusal(server.port(), "/v1/realtime", {{"Host", "evil.example:1"}}) == 403);
}

TEST_CASE("connections per address are limited", "[unit]") {
  const support::FakeEngine engine({});
  auto config = quick_config(8);
  config.max_connections_per_address = 2;
  server::Server server(engine, config);
  WebSocketClient first(server.port(), "/v1/realtime"), second(server.port(), "/v1/realtime");
  CHECK(http_request(server.port(), "GET", "/healthz").status == 0);
  CHECK(server.metrics().connections_refused == 1);
}

TEST_CASE("limits end a conversation with a warning before", "[unit]") {
  const support::FakeEngine engine({});
  auto config = quick_config();
  config.limits = {.max_session_s = 60.0, .idle_s = 1.0, .warning_s = 0.7};
  server::Server server(engine, config);
  WebSocketClient moshi(server.port(), "/api/chat");
  moshi.read();
  moshi.read();
  const auto warning = moshi.read(), end = moshi.read();
  REQUIRE(warning);
  REQUIRE(end);
  CHECK(warning->data.find("ends in") != std::string::npos);
  CHECK(end->data.find("No audio came") != std::string::npos);
  CHECK_FALSE(moshi.read());
  CHECK(moshi.close_code() == 1000);
}

TEST_CASE("a Moshi query out of range is refused by name", "[unit]") {
  const support::FakeEngine engine({});
  server::Server server(engine, quick_config());
  WebSocketClient client(server.port(), "/api/chat?max_steps=0");
  CHECK(client.read()->data.find("max_steps") != std::string::npos);
  CHECK_FALSE(client.read());
  CHECK(client.close_code() == 1008);
}

TEST_CASE("drain: conversations are told, closed with 1001, new ones refused", "[unit]") {
  const support::FakeEngine engine({});
  server::Server server(engine, quick_config());
  WebSocketClient client(server.port(), "/v1/realtime");
  REQUIRE(client.read());
  std::thread draining([&] { server.drain(); });
  std::this_thread::sleep_for(50ms);
  CHECK(http_request(server.port(), "GET", "/readyz").status == 503);
  CHECK(refusal(server.port(), "/v1/realtime") == 503);
  while (client.read()) continue;
  CHECK(client.close_code() == 1001);
  draining.join();
  CHECK(server.metrics().connections == 0);
}

TEST_CASE("TLS with a certificate of its own, kept for the next start", "[unit]") {
  const support::TempDir folder;
  const auto made = server::make_self_signed(folder.path(), {"localhost", "127.0.0.1"});
  CHECK(server::make_self_signed(folder.path(), {}).fingerprint == made.fingerprint);
  const support::FakeEngine engine({});
  auto config = quick_config();
  config.tls_cert = made.cert_file;
  config.tls_key = made.key_file;
  server::Server server(engine, config);
  WebSocketClient client(server.port(), "/v1/realtime", {}, true);
  CHECK(json::parse(client.read()->data)["type"] == "session.created");
}
