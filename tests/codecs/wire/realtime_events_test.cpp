#include "codecs/wire/realtime_events.h"

#include <catch2/catch.hpp>
#include <string>

using namespace duet::wire;

namespace {
ClientEvent event_of(const std::string& text, const RealtimeLimits& limits = {}) {
  const auto result = parse_client_event(text, limits);
  if (const auto* error = std::get_if<RealtimeError>(&result)) FAIL(error->message);
  return std::get<ClientEvent>(result);
}
RealtimeError error_of(const std::string& text, const RealtimeLimits& limits = {}) {
  const auto result = parse_client_event(text, limits);
  if (std::holds_alternative<ClientEvent>(result)) FAIL("no error for " << text);
  return std::get<RealtimeError>(result);
}
}  // namespace

TEST_CASE("every client event is read into its parts", "[unit]") {
  CHECK(event_of(R"({"type":"session.update","event_id":"e1","session":{"type":"realtime"}})")
            .session_json == R"({"type":"realtime"})");
  CHECK(event_of(R"({"type":"session.update","event_id":"e1","session":{}})").event_id == "e1");
  const ClientEvent append = event_of(R"({"type":"input_audio_buffer.append","audio":"AQID"})");
  CHECK(append.type == ClientEventType::kInputAudioAppend);
  CHECK(append.audio == std::vector<uint8_t>{1, 2, 3});
  CHECK(event_of(R"({"type":"input_audio_buffer.append","audio":""})").audio.empty());
  CHECK(event_of(R"({"type":"input_audio_buffer.commit"})").type ==
        ClientEventType::kInputAudioCommit);
  CHECK(event_of(R"({"type":"input_audio_buffer.clear"})").type ==
        ClientEventType::kInputAudioClear);
  CHECK(event_of(R"({"type":"output_audio_buffer.clear"})").type ==
        ClientEventType::kOutputAudioClear);
  CHECK(event_of(R"({"type":"conversation.item.retrieve","item_id":"i"})").item_id == "i");
  CHECK(event_of(R"({"type":"conversation.item.delete","item_id":"j"})").type ==
        ClientEventType::kItemDelete);
  const ClientEvent truncate = event_of(
      R"({"type":"conversation.item.truncate","item_id":"k","content_index":0,"audio_end_ms":1500})");
  CHECK(truncate.item_id == "k");
  CHECK(truncate.audio_end_ms == 1500);
  const ClientEvent create = event_of(
      R"({"type":"response.create","response":{"instructions":"Say hello.","conversation":"none",)"
      R"("output_modalities":["audio"],"metadata":{"a":"b"}}})");
  CHECK(create.instructions == "Say hello.");
  CHECK_FALSE(create.in_conversation);
  CHECK(event_of(R"({"type":"response.create"})").in_conversation);
  CHECK(event_of(R"({"type":"response.create","response":null})").in_conversation);
  CHECK(event_of(R"({"type":"response.cancel","response_id":"r"})").response_id == "r");
  CHECK_FALSE(event_of(R"({"type":"response.cancel"})").response_id);
  CHECK(client_event_rules().size() == 11);
}

TEST_CASE("conversation items are read by type", "[unit]") {
  const RealtimeItem message =
      event_of(R"({"type":"conversation.item.create","previous_item_id":"root","item":{)"
               R"("type":"message","role":"user","content":[{"type":"input_text","text":"hi"},)"
               R"({"type":"input_audio","audio":"AAA=","transcript":null}]}})")
          .item;
  CHECK(message.role == "user");
  REQUIRE(message.content.size() == 2);
  CHECK(message.content[0].text == "hi");
  CHECK(message.content[1].audio.size() == 2);
  CHECK_FALSE(message.content[1].transcript);
  const RealtimeItem output =
      event_of(R"({"type":"conversation.item.create","item":{"type":"function_call_output",)"
               R"("call_id":"c","output":"{}"}})")
          .item;
  CHECK(output.call_id == "c");
  CHECK(output.output == "{}");
  const RealtimeError bad =
      error_of(R"({"type":"conversation.item.create","item":{"type":"message","role":"user",)"
               R"("content":[{"type":"input_text","text":"a"},{"type":"smell"}]}})");
  CHECK(bad.param == "item.content[1].type");
}

TEST_CASE("what is wrong with an event is said with its code, field and id", "[unit]") {
  struct Row {
    const char *text, *code, *param, *message;
  };
  const Row rows[] = {
      {R"({"type":"session.bogus","event_id":"e7"})", "unknown_event", "type",
       "Unknown event type: \"session.bogus\"."},
      {R"({"type":"input_audio_buffer.append","event_id":"e7"})", "missing_required_parameter",
       "audio", "Missing required parameter: 'audio'."},
      {R"({"type":"input_audio_buffer.append","event_id":"e7","audio":5})", "invalid_type", "audio",
       "Invalid type for 'audio': expected a string, found number."},
      {R"({"type":"input_audio_buffer.append","event_id":"e7","audio":"A"})", "bad_audio", "audio",
       "Invalid audio in 'audio': base64: expected a multiple of 4 characters, found 1 in "
       "character 1."},
      {R"({"type":"input_audio_buffer.commit","event_id":"e7","now":true})", "unknown_parameter",
       "now", "Unknown parameter: 'now'."},
      {R"({"type":"response.create","event_id":"e7","response":{"pitch":2}})", "unknown_parameter",
       "response.pitch", "Unknown parameter: 'response.pitch'."},
      {R"({"type":"response.create","event_id":"e7","response":[]})", "invalid_type", "response",
       "Invalid type for 'response': expected an object, found array."},
      {R"({"type":"conversation.item.truncate","event_id":"e7","item_id":"k","content_index":0,)"
       R"("audio_end_ms":-1})",
       "invalid_value", "audio_end_ms",
       "Invalid value for 'audio_end_ms': expected 0 to 2147483647, found -1."},
      {R"({"type":"conversation.item.truncate","event_id":"e7","item_id":"k","content_index":0,)"
       R"("audio_end_ms":18446744073709551615})",
       "invalid_value", "audio_end_ms",
       "Invalid value for 'audio_end_ms': expected 0 to 2147483647, found 18446744073709551615."},
      {R"({"type":"conversation.item.truncate","event_id":"e7","item_id":"k","content_index":0,)"
       R"("audio_end_ms":1.5})",
       "invalid_type", "audio_end_ms",
       "Invalid type for 'audio_end_ms': expected an integer, found number."},
      {R"({"event_id":"e7"})", "missing_required_parameter", "type",
       "Missing required parameter: 'type'."},
  };
  for (const Row& row : rows) {
    INFO(row.text);
    const RealtimeError error = error_of(row.text);
    CHECK(error.type == "invalid_request_error");
    CHECK(error.code == row.code);
    CHECK(error.param == row.param);
    CHECK(error.message == row.message);
    CHECK(error.event_id == "e7");
  }
  CHECK(error_of(R"({"type":"response.cancel","event_id":[1]})").param == "event_id");
  CHECK(error_of(R"({"type":"response.cancel","event_id":")" + std::string(600, 'x') + "\"}")
            .event_id.empty());
}

TEST_CASE("what is no event at all is an error too, and limits hold before parsing", "[unit]") {
  for (const char* text : {"", "{", "nul", "[1]x", "{\"type\":\"\xff\"}", "{\"a\":1,}", "{'a':1}",
                           "{\"type\":NaN}", "{\"type\":1e999}", "\xef\xbb", "{\"a\":\"\\ud800\"}"})
    CHECK(error_of(text).code == "invalid_json");
  CHECK(error_of("[]").message == "Invalid event: expected a JSON object, found array.");
  CHECK(error_of(std::string(100000, '[')).message ==
        "JSON nested too deeply: expected at most 16 levels, found more at byte 16.");
  CHECK(error_of(R"({"type":"response.cancel"})", {.max_event_bytes = 10}).message ==
        "Event too large: expected at most 10 bytes, found 26.");
  CHECK(
      error_of(R"({"type":"input_audio_buffer.append","audio":"AAAAAAAA"})", {.max_audio_bytes = 3})
          .code == "bad_audio");
  // Brackets inside of strings are text.
  CHECK(event_of(R"({"type":"conversation.item.delete","item_id":"[[[[[[[[[[[[[[[[[[[[\"[[["})")
            .item_id == R"([[[[[[[[[[[[[[[[[[[["[[[)");
}
