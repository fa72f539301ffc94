#include "codecs/wire/live_events.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

using namespace duet::wire;
using nlohmann::json;

namespace {

LiveEvent event(const std::string& text) {
  const auto parsed = parse_live_event(text);
  if (const auto* error = std::get_if<RealtimeError>(&parsed)) FAIL(error->message);
  return std::get<LiveEvent>(parsed);
}
RealtimeError error(const std::string& text) {
  const auto parsed = parse_live_event(text);
  REQUIRE(std::holds_alternative<RealtimeError>(parsed));
  return std::get<RealtimeError>(parsed);
}

}  // namespace

TEST_CASE("session.start: formats, delegation, defaults", "[unit]") {
  const auto plain = event(R"({"type":"session.start","session":{"model":"duet"}})");
  CHECK(plain.settings.rate_hz == 24000);
  CHECK(plain.settings.delegation == LiveDelegation::kNone);
  const auto full = event(
      R"({"type":"session.start","event_id":"e","session":{"model":"duet","instructions":"x","input":[],"store":true,
      "audio":{"format":{"type":"audio/pcm","rate":16000},"output":{"voice":"marin"}},"delegation":{"type":"client"}}})");
  CHECK(full.event_id == "e");
  CHECK(full.settings.rate_hz == 16000);
  CHECK(full.settings.delegation == LiveDelegation::kClient);
  CHECK(full.settings.may_be_stored);
  const auto law = event(
      R"({"type":"session.start","session":{"model":"duet","audio":{"format":{"type":"audio/pcmu","rate":24000}},"delegation":{}}})");
  CHECK(law.settings.format == AudioFormat::kMulaw);
  CHECK(law.settings.rate_hz == 8000);
  CHECK(law.settings.delegation == LiveDelegation::kResponses);
}

TEST_CASE("live events: the others, and what is wrong by name", "[unit]") {
  CHECK(event(R"({"type":"session.input_audio.append","audio":"AAA="})").audio.size() == 2);
  const auto said =
      event(R"({"type":"session.commentary.append","delegation_id":null,"content":"a size?"})");
  CHECK(said.content == "a size?");
  CHECK(said.delegation_id.empty());
  CHECK(event(R"({"type":"session.close"})").type == LiveEventType::kClose);
  CHECK(error(R"({"type":"session.start","session":{}})").param == "session.model");
  CHECK(error(R"({"type":"session.start"})").code == "invalid_type");
  CHECK(error(R"({"type":"session.start","session":{"model":"m","wat":1}})").param ==
        "session.wat");
  CHECK(
      error(
          R"({"type":"session.start","session":{"model":"m","audio":{"format":{"type":"audio/pcm","rate":8000}}}})")
          .param == "session.audio.format.rate");
  CHECK(error(R"({"type":"session.input_audio.append","audio":"A"})").code == "bad_audio");
  CHECK(error(R"({"type":"response.cancel","event_id":"mine"})").event_id == "mine");
  CHECK(error("{").code == "invalid_json");
  CHECK(error('"' + std::string(1 << 20, 'x') + '"').code == "event_too_large");
}

TEST_CASE("live server events", "[unit]") {
  LiveWriter writer;
  CHECK(json::parse(writer.started("s"))["session"]["id"] == "s");
  const json heard = json::parse(writer.input_transcript(" two", 80, 160));
  CHECK(heard["type"] == "session.input_transcript.delta");
  CHECK(heard["end_ms"] == 160);
  const json asked = json::parse(writer.delegation_created("d", LiveDelegation::kClient));
  CHECK(asked["delegation"]["target"] == "client");
  LiveEvent mute;
  mute.type = LiveEventType::kMute;
  mute.event_id = "e";
  CHECK(json::parse(writer.acknowledged(mute))["type"] == "session.input_audio.muted");
  CHECK(json::parse(writer.closed("expired", 1.239))["usage"]["seconds"] == 1.24);
  CHECK(json::parse(writer.error({.code = "c", .message = "m"}))["error"]["param"] == nullptr);
}
