#include "codecs/wire/realtime_writer.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <set>

#include "tests/support/temp_dir.h"

using namespace duet::wire;
using nlohmann::json;

namespace {

const RealtimeItem kItem = {.id = "item_2",
                            .role = "assistant",
                            .status = "in_progress",
                            .content = {{.type = "output_audio", .transcript = "Hello"}}};
const RealtimePart kPart = {.response_id = "resp_1", .item_id = "item_2"};

// One of every event, in an order that a conversation has.
std::vector<json> conversation(RealtimeProfile profile) {
  RealtimeWriter writer(profile);
  const RealtimeSession session({.id = "sess_1", .model = "coffee-bar", .profile = profile});
  const RealtimeResponse response = {.id = "resp_1", .conversation_id = "conv_1"};
  RealtimeResponse done = response;
  done.status = ResponseStatus::kCompleted;
  done.output = {kItem};
  done.usage = RealtimeUsage{1, 2, 3, 4};
  const std::vector<uint8_t> audio = {0, 1, 254};
  std::vector<std::string> texts = {
      writer.session_created(session),
      writer.session_updated(session),
      writer.error({.code = "unknown_event", .message = "m"}),
      writer.speech_started("item_1", 80),
      writer.speech_stopped("item_1", 960),
      writer.input_audio_committed("item_1", ""),
      writer.input_audio_cleared(),
      writer.item_added({.id = "item_1"}, ""),
      writer.transcription_delta("item_1", "Hi"),
      writer.transcription_completed("item_1", "Hi", 0.88),
      writer.item_done({.id = "item_1"}, ""),
      writer.response_created(response),
      writer.output_item_added(kPart, kItem),
      writer.content_part_added(kPart, kItem.content[0]),
      writer.audio_delta(kPart, audio),
      writer.transcript_delta(kPart, "Hel"),
      writer.text_delta(kPart, "Hel"),
      writer.text_done(kPart, "Hello"),
      writer.audio_done(kPart),
      writer.transcript_done(kPart, "Hello"),
      writer.content_part_done(kPart, kItem.content[0]),
      writer.output_item_done(kPart, kItem),
      writer.response_done(done),
      writer.rate_limits_updated(),
      writer.item_retrieved(kItem),
      writer.item_truncated("item_2", 0, 1200),
      writer.item_deleted("item_2"),
  };
  std::vector<json> events;
  for (const auto& text : texts)
    if (!text.empty()) events.push_back(json::parse(text));
  return events;
}

json find(const std::vector<json>& events, const std::string& type) {
  const auto found = std::find_if(events.begin(), events.end(),
                                  [&](const json& event) { return event["type"] == type; });
  REQUIRE(found != events.end());
  return *found;
}

}  // namespace

TEST_CASE("the writers write exactly the events of the table, in both profiles", "[unit]") {
  for (const auto profile : {RealtimeProfile::kGa, RealtimeProfile::kBeta}) {
    std::set<std::string> listed, written, ids;
    for (const auto& rule : server_event_rules()) {
      const std::string beta = rule.beta_type;
      if (profile == RealtimeProfile::kGa || beta.empty())
        listed.insert(rule.type);
      else if (beta[0] != '(')
        listed.insert(beta);
    }
    const auto events = conversation(profile);
    for (const auto& event : events) {
      written.insert(event["type"].get<std::string>());
      CHECK(ids.insert(event.at("event_id").get<std::string>()).second);
    }
    CHECK(written == listed);
  }
}

TEST_CASE("no event that strict clients refuse is written", "[unit]") {
  // pipecat-ai/pipecat, services/openai/realtime/events.py, its map of server events.
  const std::set<std::string> known = {"error",
                                       "session.created",
                                       "session.updated",
                                       "conversation.created",
                                       "input_audio_buffer.committed",
                                       "input_audio_buffer.cleared",
                                       "input_audio_buffer.speech_started",
                                       "input_audio_buffer.speech_stopped",
                                       "conversation.item.added",
                                       "conversation.item.done",
                                       "conversation.item.input_audio_transcription.delta",
                                       "conversation.item.input_audio_transcription.completed",
                                       "conversation.item.input_audio_transcription.failed",
                                       "conversation.item.truncated",
                                       "conversation.item.deleted",
                                       "conversation.item.retrieved",
                                       "response.created",
                                       "response.done",
                                       "response.output_item.added",
                                       "response.output_item.done",
                                       "response.content_part.added",
                                       "response.content_part.done",
                                       "response.output_text.delta",
                                       "response.output_text.done",
                                       "response.output_audio_transcript.delta",
                                       "response.output_audio_transcript.done",
                                       "response.output_audio.delta",
                                       "response.output_audio.done",
                                       "response.function_call_arguments.delta",
                                       "response.function_call_arguments.done",
                                       "rate_limits.updated"};
  CHECK(known.size() == 31);
  for (const auto& event : conversation(RealtimeProfile::kGa)) {
    INFO(event.dump());
    CHECK(known.count(event["type"].get<std::string>()) == 1);
    CHECK(event.at("event_id").is_string());
    if (event.contains("item"))
      CHECK(std::set<std::string>{"completed", "in_progress", "incomplete"}.count(
                event["item"]["status"].get<std::string>()) == 1);
    if (event.contains("response")) {
      CHECK(event["response"]["object"] == "realtime.response");
      CHECK(event["response"].contains("status_details"));
      CHECK(event["response"]["output"].is_array());
    }
  }
}

TEST_CASE("payloads are as clients read them", "[unit]") {
  const auto events = conversation(RealtimeProfile::kGa);
  CHECK(events[0]["type"] == "session.created");
  CHECK(events[0]["event_id"] == "event_1");
  CHECK(events[0]["session"]["id"] == "sess_1");
  const json delta = find(events, "response.output_audio.delta");
  CHECK(delta["delta"] == "AAH+");
  CHECK(delta["response_id"] == "resp_1");
  CHECK(delta["item_id"] == "item_2");
  CHECK(delta["output_index"] == 0);
  CHECK(delta["content_index"] == 0);
  CHECK(find(events, "input_audio_buffer.speech_started")["audio_start_ms"] == 80);
  CHECK(find(events, "input_audio_buffer.committed")["previous_item_id"].is_null());
  const json error = find(events, "error")["error"];
  CHECK(error == json{{"type", "invalid_request_error"},
                      {"code", "unknown_event"},
                      {"message", "m"},
                      {"param", nullptr},
                      {"event_id", nullptr}});
  const json done = find(events, "response.done")["response"];
  CHECK(done["status"] == "completed");
  CHECK(done["status_details"].is_null());
  CHECK(done["usage"]["total_tokens"] == 10);
  CHECK(done["usage"]["input_token_details"]["audio_tokens"] == 2);
  CHECK(done["output"][0]["content"][0] == json{{"type", "output_audio"}, {"transcript", "Hello"}});
  CHECK(find(conversation(RealtimeProfile::kBeta),
             "response.done")["response"]["output"][0]["content"][0]["type"] == "audio");
}

TEST_CASE("a stopped response says why", "[unit]") {
  RealtimeWriter writer(RealtimeProfile::kGa);
  RealtimeResponse response = {.id = "resp_1"};
  response.status = ResponseStatus::kCancelled;
  response.reason = "turn_detected";
  const json event = json::parse(writer.response_done(response))["response"];
  CHECK(event["status"] == "cancelled");
  CHECK(event["status_details"] == json{{"type", "cancelled"}, {"reason", "turn_detected"}});
  CHECK(event["conversation_id"].is_null());
  response.status = ResponseStatus::kFailed;
  response.reason = "engine_error";
  CHECK(json::parse(writer.response_done(
            response))["response"]["status_details"]["error"]["code"] == "engine_error");
}

TEST_CASE("a character cut by a tokenizer never makes invalid JSON", "[unit]") {
  RealtimeWriter writer(RealtimeProfile::kGa);
  CHECK(json::parse(writer.transcript_delta(kPart, "caf\xc3"))["delta"] == "caf\ufffd");
}

TEST_CASE("docs/realtime.md has the tables of the code", "[unit]") {
  const std::string text = duet::support::TempDir::read(DUET_SOURCE_DIR "/docs/realtime.md");
  REQUIRE_FALSE(text.empty());
  for (const auto& table : {client_event_table(), server_event_table(), session_field_table()}) {
    const bool is_there = text.find(table) != std::string::npos;
    if (!is_there) WARN("docs/realtime.md should contain:\n" << table);
    CHECK(is_there);
  }
}
