#include "codecs/wire/duplex_events.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "codecs/wire/base64.h"
#include "codecs/wire/duplex_writer.h"

using namespace duet::wire;
using nlohmann::json;

namespace {

DuplexEvent duplex(DuplexReader& reader, const std::string& text) {
  const auto read = reader.read(text);
  REQUIRE(std::holds_alternative<DuplexEvent>(read));
  return std::get<DuplexEvent>(read);
}
ClientEvent plain(DuplexReader& reader, const std::string& text) {
  const auto read = reader.read(text);
  REQUIRE(std::holds_alternative<ClientEvent>(read));
  return std::get<ClientEvent>(read);
}
RealtimeError error(DuplexReader& reader, const std::string& text) {
  const auto read = reader.read(text);
  REQUIRE(std::holds_alternative<RealtimeError>(read));
  return std::get<RealtimeError>(read);
}

}  // namespace

TEST_CASE("duplex events: types, aliases, and what each carries", "[unit]") {
  DuplexReader reader;
  CHECK(duplex(reader, R"({"type":"session.heartbeat"})").type == DuplexEventType::kHeartbeat);
  CHECK(duplex(reader, R"({"type":"close"})").type == DuplexEventType::kClose);
  CHECK(duplex(reader, R"({"type":"push_text","text":"x"})").type == DuplexEventType::kTextAppend);
  const auto ack = duplex(reader, R"({"type":"session.event_ack","server_event_seq":17})");
  CHECK(ack.server_event_seq == 17);
  const auto resume = duplex(
      reader,
      R"({"type":"session.resume","session_id":"duplex-1","resume_token":"t","last_received_server_event_seq":4})");
  CHECK(resume.session_id == "duplex-1");
  CHECK(resume.resume_token == "t");
  CHECK(resume.server_event_seq == 4);
  const auto played = duplex(
      reader,
      R"({"type":"audio.playback_ack","event_id":"e","item_id":"i","played_ms":120.5,"truncate":true})");
  CHECK(played.type == DuplexEventType::kPlaybackAck);
  CHECK(played.event_id == "e");
  CHECK(played.played_ms == 120);
  CHECK(played.committed_ms == 120);
  CHECK(played.truncate);
  const auto signal = duplex(reader, R"({"type":"signal_turn","event":"nod","payload":{"a":1}})");
  CHECK(signal.signal == "nod");
  CHECK(signal.payload_json == R"({"a":1})");
  CHECK(plain(reader, R"({"type":"input.commit","final":true})").type ==
        ClientEventType::kInputAudioCommit);
  CHECK(duplex(reader, R"({"type":"input.commit","is_speech":false})").type ==
        DuplexEventType::kNoSpeechCommit);
}

TEST_CASE("duplex events: what is wrong is said by name, and changes nothing", "[unit]") {
  DuplexReader reader;
  CHECK(error(reader, R"({"type":"session.resume","session_id":"x"})").param == "resume_token");
  CHECK(error(reader, R"({"type":"playback.ack","played_ms":-1})").param == "played_ms");
  CHECK(error(reader, R"({"type":"nonsense","event_id":"e"})").event_id == "e");
  CHECK(error(reader, "[]").code == "invalid_json");
  CHECK(error(reader, R"({"type":"session.update","session":{"ref_audio":"data:"}})").code ==
        "ref_audio_update_unsupported");
  CHECK(error(reader, R"({"type":"session.update","session":{"overlap_policy":"never"}})").param ==
        "session.overlap_policy");
  CHECK(error(reader, R"({"type":"input_audio_buffer.append","audio":"","format":"mp3"})").code ==
        "unsupported_audio_format");
  CHECK(reader.settings().echoed_json == "{}");
}

TEST_CASE("duplex session: extensions are taken out, the rest goes on, both spellings", "[unit]") {
  DuplexReader reader;
  const auto event =
      plain(reader,
            R"({"type":"session.update","session":{"type":"realtime","overlap_policy":"listen_only",
      "playback_commit_policy":"ack_only","idle_timeout_s":12,"extra_body":{"auto_response":false},
      "input_audio_format":"pcm_f32le","voice":"NATF2.pt","temperature":0.7,"audio":{"input":{"sample_rate_hz":16000}}}})");
  CHECK(reader.settings().listens_only);
  CHECK(reader.settings().commits_acked);
  CHECK_FALSE(reader.settings().auto_response);
  CHECK(reader.settings().idle_timeout_s == 12.0);
  CHECK(reader.settings().is_float);
  CHECK(reader.settings().input_rate_hz == 16000);
  RealtimeSession session({.id = "duplex-1", .model = "m", .profile = RealtimeProfile::kDuplex});
  REQUIRE_FALSE(session.update(event.session_json, false));
  DuplexWriter writer;
  DuplexState state;
  state.session_id = "duplex-1";
  state.resume_token = "secret";
  const json created =
      json::parse(writer.session("session.created", session, reader.settings(), state));
  CHECK(created["resume_token"] == "secret");
  CHECK(created["attachment_generation"] == 1);
  CHECK(created["session"]["overlap_policy"] == "listen_only");
  CHECK(created["session"]["input_audio_format"] == "pcm_f32le");
  CHECK(created["session"]["audio"]["input"]["sample_rate_hz"] == 16000);
  CHECK(created["session"]["audio"]["output"]["voice"] == "NATF2.pt");
  CHECK(created["session"]["capabilities"]["chunk_period_ms"] == 80);
  CHECK(created["session"]["capabilities"]["supports_session_resume"] == true);
}

TEST_CASE("duplex audio: 32-bit samples become PCM16", "[unit]") {
  DuplexReader reader;
  const std::vector<float> samples = {0.0F, 0.5F, -1.0F};
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(samples.data());
  const auto event =
      plain(reader, json{{"type", "input_audio_buffer.append"},
                         {"input_audio_format", "pcm_f32le"},
                         {"is_speech", true},
                         {"audio", base64_encode({bytes, samples.size() * sizeof(float)})}}
                        .dump());
  CHECK(event.audio == std::vector<std::uint8_t>{0, 0, 0, 0x40, 0, 0x80});
}

TEST_CASE("who asks for the extensions on the plain path", "[unit]") {
  CHECK(asks_for_duplex(R"({"type":"session.update","session":{"overlap_policy":"listen_only"}})"));
  CHECK_FALSE(
      asks_for_duplex(R"({"type":"session.update","session":{"instructions":"extra_body"}})"));
  CHECK_FALSE(asks_for_duplex(R"({"type":"response.create","response":{"extra_body":1}})"));
  CHECK_FALSE(asks_for_duplex("session.update extra_body"));
}

TEST_CASE("duplex server events are JSON with their fields", "[unit]") {
  DuplexWriter writer;
  DuplexState state;
  state.session_id = "duplex-1";
  state.epoch = 3;
  state.playback = {
      .generated_ms = 160.0, .sent_ms = 160.0, .played_ms = 80.0, .committed_ms = 0.0};
  CHECK(json::parse(writer.response_listen(state, "model_listen"))["response"]["status"] ==
        "listening");
  const json away = json::parse(writer.go_away(state, "idle", 29.96));
  CHECK(away["type"] == "session.go_away");
  CHECK(away["time_left_s"] == 30.0);
  const json ack =
      json::parse(writer.playback_acknowledged(state, {.item_id = "i"}, state.playback, false));
  CHECK(ack["event"]["playback"]["played_ms"] == 80);
  CHECK(ack["event"]["epoch"] == 3);
  const json created = json::parse(writer.item_created(
      R"({"type":"conversation.item.added","event_id":"e","item":{"id":"i"}})"));
  CHECK(created["type"] == "conversation.item.created");
  CHECK(created["item"]["id"] == "i");
  CHECK(created["event_id"] != "e");
  const json delta =
      json::parse("{\"delta\":\"\"" + audio_delta_members(state, AudioFormat::kMulaw) + "}");
  CHECK(delta["format"] == "g711_ulaw");
  CHECK(delta["sample_rate_hz"] == 8000);
  CHECK(json::parse(flat_error("config_timeout", "x"))["error"] == "x");
}
