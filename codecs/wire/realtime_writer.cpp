#include "codecs/wire/realtime_writer.h"

#include <algorithm>
#include <array>

#include "codecs/wire/base64.h"
#include "codecs/wire/realtime_json.inc"

namespace duet::wire {
namespace {

using namespace realtime;

constexpr std::array kServerRules = {
    ServerEventRule{"session.created", "", "first of all"},
    ServerEventRule{"session.updated", "", "after `session.update`"},
    ServerEventRule{"error", "", "a client event was refused; the session stays"},
    ServerEventRule{"input_audio_buffer.committed", "", "the user's turn became an item"},
    ServerEventRule{"input_audio_buffer.cleared", "", "after `input_audio_buffer.clear`"},
    ServerEventRule{"input_audio_buffer.speech_started", "", "the user begins to speak"},
    ServerEventRule{"input_audio_buffer.speech_stopped", "", "the user has stopped"},
    ServerEventRule{"conversation.item.input_audio_transcription.delta", "",
                    "more of what the user said"},
    ServerEventRule{"conversation.item.input_audio_transcription.completed", "",
                    "all of what the user said"},
    ServerEventRule{"conversation.item.added", "conversation.item.created", "an item exists"},
    ServerEventRule{"conversation.item.done", "(none)", "an item is complete"},
    ServerEventRule{"conversation.item.retrieved", "", "after `conversation.item.retrieve`"},
    ServerEventRule{"conversation.item.deleted", "", "after `conversation.item.delete`"},
    ServerEventRule{"conversation.item.truncated", "", "after `conversation.item.truncate`"},
    ServerEventRule{"response.created", "", "the agent begins to speak"},
    ServerEventRule{"response.done", "", "it has finished or was stopped"},
    ServerEventRule{"response.output_item.added", "", "with its item"},
    ServerEventRule{"response.output_item.done", "", ""},
    ServerEventRule{"response.content_part.added", "", "with its one part"},
    ServerEventRule{"response.content_part.done", "", ""},
    ServerEventRule{"response.output_audio.delta", "response.audio.delta", "more audio, base64"},
    ServerEventRule{"response.output_audio.done", "response.audio.done", ""},
    ServerEventRule{"response.output_audio_transcript.delta", "response.audio_transcript.delta",
                    "more of what the agent says"},
    ServerEventRule{"response.output_audio_transcript.done", "response.audio_transcript.done", ""},
    ServerEventRule{"response.output_text.delta", "response.text.delta",
                    "instead of audio and transcript when the session asks for text"},
    ServerEventRule{"response.output_text.done", "response.text.done", ""},
    ServerEventRule{"rate_limits.updated", "", "after a response; an empty list"},
};

std::string name_of(const char* type, RealtimeProfile profile) {
  const auto rule = std::find_if(
      kServerRules.begin(), kServerRules.end(),
      [&](const ServerEventRule& each) { return std::string_view(each.type) == type; });
  DUET_CHECK_MSG(rule != kServerRules.end(), type);
  return profile == RealtimeProfile::kBeta && *rule->beta_type != '\0' ? rule->beta_type : type;
}

Json content_json(const RealtimeContent& content, RealtimeProfile profile) {
  std::string type = content.type;
  if (profile == RealtimeProfile::kBeta && type == "output_audio") type = "audio";
  if (profile == RealtimeProfile::kBeta && type == "output_text") type = "text";
  Json json = {{"type", type}};
  const bool is_audio = type == "output_audio" || type == "audio" || type == "input_audio";
  if (is_audio)
    json["transcript"] = content.transcript ? Json(*content.transcript) : Json(nullptr);
  else if (type != "input_image")
    json["text"] = content.text;
  return json;
}

Json item_json(const RealtimeItem& item, RealtimeProfile profile) {
  Json json = {
      {"id", item.id}, {"object", "realtime.item"}, {"type", item.type}, {"status", item.status}};
  if (item.type == "message") {
    json["role"] = item.role;
    json["content"] = Json::array();
    for (const auto& content : item.content)
      json["content"].push_back(content_json(content, profile));
  } else {
    json["call_id"] = item.call_id;
    if (item.type == "function_call") {
      json["name"] = item.name;
      json["arguments"] = item.arguments;
    } else {
      json["output"] = item.output;
    }
  }
  return json;
}

Json status_details(const RealtimeResponse& response) {
  switch (response.status) {
    case ResponseStatus::kInProgress:
    case ResponseStatus::kCompleted: return nullptr;
    case ResponseStatus::kCancelled: return {{"type", "cancelled"}, {"reason", response.reason}};
    case ResponseStatus::kIncomplete: return {{"type", "incomplete"}, {"reason", response.reason}};
    case ResponseStatus::kFailed: break;
  }
  return {{"type", "failed"},
          {"error", {{"type", "server_error"}, {"code", id_or_null(response.reason)}}}};
}

Json usage_json(const RealtimeUsage& usage) {
  const int64_t input = usage.input_text_tokens + usage.input_audio_tokens;
  const int64_t output = usage.output_text_tokens + usage.output_audio_tokens;
  return {
      {"total_tokens", input + output},
      {"input_tokens", input},
      {"output_tokens", output},
      {"input_token_details",
       {{"text_tokens", usage.input_text_tokens},
        {"audio_tokens", usage.input_audio_tokens},
        {"cached_tokens", 0}}},
      {"output_token_details",
       {{"text_tokens", usage.output_text_tokens}, {"audio_tokens", usage.output_audio_tokens}}}};
}

Json response_json(const RealtimeResponse& response, RealtimeProfile profile) {
  constexpr std::array kNames = {"in_progress", "completed", "cancelled", "failed", "incomplete"};
  Json output = Json::array();
  for (const auto& item : response.output) output.push_back(item_json(item, profile));
  return {{"id", response.id},
          {"object", "realtime.response"},
          {"status", kNames[static_cast<size_t>(response.status)]},
          {"status_details", status_details(response)},
          {"output", output},
          {"conversation_id", id_or_null(response.conversation_id)},
          {"metadata", nullptr},
          {"usage", response.usage ? usage_json(*response.usage) : Json(nullptr)}};
}

}  // namespace

std::span<const ServerEventRule> server_event_rules() noexcept { return kServerRules; }

struct RealtimeWriter::Event {
  Json json;
  Event& with(const char* key, Json value) {
    json[key] = std::move(value);
    return *this;
  }
  Event& text(const char* key, std::string_view value) { return with(key, std::string(value)); }
  std::string str() const { return text_of(json); }
};

RealtimeWriter::Event RealtimeWriter::begin(const char* type) {
  return {
      {{"type", name_of(type, profile_)}, {"event_id", "event_" + std::to_string(++num_events_)}}};
}

RealtimeWriter::Event RealtimeWriter::begin(const char* type, const RealtimePart& part,
                                            bool has_content_index) {
  Event event = begin(type);
  event.with("response_id", part.response_id);
  if (has_content_index) event.with("item_id", part.item_id);
  event.with("output_index", part.output_index);
  if (has_content_index) event.with("content_index", part.content_index);
  return event;
}

std::string RealtimeWriter::session_created(const RealtimeSession& session) {
  return begin("session.created").with("session", Json::parse(session.to_json())).str();
}
std::string RealtimeWriter::session_updated(const RealtimeSession& session) {
  return begin("session.updated").with("session", Json::parse(session.to_json())).str();
}
std::string RealtimeWriter::error(const RealtimeError& error) {
  return begin("error")
      .with("error", {{"type", error.type},
                      {"code", id_or_null(error.code)},
                      {"message", error.message},
                      {"param", id_or_null(error.param)},
                      {"event_id", id_or_null(error.event_id)}})
      .str();
}

std::string RealtimeWriter::input_audio_committed(std::string_view item_id,
                                                  std::string_view previous_item_id) {
  return begin("input_audio_buffer.committed")
      .with("previous_item_id", id_or_null(previous_item_id))
      .text("item_id", item_id)
      .str();
}
std::string RealtimeWriter::input_audio_cleared() {
  return begin("input_audio_buffer.cleared").str();
}
std::string RealtimeWriter::speech_started(std::string_view item_id, int64_t audio_start_ms) {
  return begin("input_audio_buffer.speech_started")
      .with("audio_start_ms", audio_start_ms)
      .text("item_id", item_id)
      .str();
}
std::string RealtimeWriter::speech_stopped(std::string_view item_id, int64_t audio_end_ms) {
  return begin("input_audio_buffer.speech_stopped")
      .with("audio_end_ms", audio_end_ms)
      .text("item_id", item_id)
      .str();
}
std::string RealtimeWriter::transcription_delta(std::string_view item_id, std::string_view delta) {
  return begin("conversation.item.input_audio_transcription.delta")
      .text("item_id", item_id)
      .with("content_index", 0)
      .text("delta", delta)
      .str();
}
std::string RealtimeWriter::transcription_completed(std::string_view item_id,
                                                    std::string_view transcript, double seconds) {
  return begin("conversation.item.input_audio_transcription.completed")
      .text("item_id", item_id)
      .with("content_index", 0)
      .text("transcript", transcript)
      .with("usage", {{"type", "duration"}, {"seconds", seconds}})
      .str();
}

std::string RealtimeWriter::item_added(const RealtimeItem& item,
                                       std::string_view previous_item_id) {
  return begin("conversation.item.added")
      .with("previous_item_id", id_or_null(previous_item_id))
      .with("item", item_json(item, profile_))
      .str();
}
std::string RealtimeWriter::item_done(const RealtimeItem& item, std::string_view previous_item_id) {
  if (profile_ == RealtimeProfile::kBeta) return {};
  return begin("conversation.item.done")
      .with("previous_item_id", id_or_null(previous_item_id))
      .with("item", item_json(item, profile_))
      .str();
}
std::string RealtimeWriter::item_retrieved(const RealtimeItem& item) {
  return begin("conversation.item.retrieved").with("item", item_json(item, profile_)).str();
}
std::string RealtimeWriter::item_deleted(std::string_view item_id) {
  return begin("conversation.item.deleted").text("item_id", item_id).str();
}
std::string RealtimeWriter::item_truncated(std::string_view item_id, int content_index,
                                           int64_t audio_end_ms) {
  return begin("conversation.item.truncated")
      .text("item_id", item_id)
      .with("content_index", content_index)
      .with("audio_end_ms", audio_end_ms)
      .str();
}

std::string RealtimeWriter::response_created(const RealtimeResponse& response) {
  return begin("response.created").with("response", response_json(response, profile_)).str();
}
std::string RealtimeWriter::response_done(const RealtimeResponse& response) {
  return begin("response.done").with("response", response_json(response, profile_)).str();
}
std::string RealtimeWriter::output_item_added(const RealtimePart& part, const RealtimeItem& item) {
  return begin("response.output_item.added", part, false)
      .with("item", item_json(item, profile_))
      .str();
}
std::string RealtimeWriter::output_item_done(const RealtimePart& part, const RealtimeItem& item) {
  return begin("response.output_item.done", part, false)
      .with("item", item_json(item, profile_))
      .str();
}
std::string RealtimeWriter::content_part_added(const RealtimePart& part,
                                               const RealtimeContent& content) {
  return begin("response.content_part.added", part, true)
      .with("part", content_json(content, profile_))
      .str();
}
std::string RealtimeWriter::content_part_done(const RealtimePart& part,
                                              const RealtimeContent& content) {
  return begin("response.content_part.done", part, true)
      .with("part", content_json(content, profile_))
      .str();
}
std::string RealtimeWriter::audio_delta(const RealtimePart& part, std::span<const uint8_t> bytes) {
  return begin("response.output_audio.delta", part, true).with("delta", base64_encode(bytes)).str();
}
std::string RealtimeWriter::audio_done(const RealtimePart& part) {
  return begin("response.output_audio.done", part, true).str();
}
std::string RealtimeWriter::transcript_delta(const RealtimePart& part, std::string_view delta) {
  return begin("response.output_audio_transcript.delta", part, true).text("delta", delta).str();
}
std::string RealtimeWriter::transcript_done(const RealtimePart& part, std::string_view transcript) {
  return begin("response.output_audio_transcript.done", part, true)
      .text("transcript", transcript)
      .str();
}
std::string RealtimeWriter::text_delta(const RealtimePart& part, std::string_view delta) {
  return begin("response.output_text.delta", part, true).text("delta", delta).str();
}
std::string RealtimeWriter::text_done(const RealtimePart& part, std::string_view text) {
  return begin("response.output_text.done", part, true).text("text", text).str();
}
std::string RealtimeWriter::rate_limits_updated() {
  return begin("rate_limits.updated").with("rate_limits", Json::array()).str();
}

std::string client_event_table() {
  std::string text = "| client event | effect |\n|---|---|\n";
  for (const auto& rule : client_event_rules())
    text += std::string("| `") + rule.type + "` | " + rule.effect + " |\n";
  return text;
}

std::string server_event_table() {
  std::string text = "| server event | name in the beta | when |\n|---|---|---|\n";
  for (const auto& rule : kServerRules) {
    const std::string beta = rule.beta_type;
    text += std::string("| `") + rule.type + "` | " +
            (beta.empty()     ? "the same"
             : beta[0] == '(' ? "none"
                              : "`" + beta + "`") +
            " | " + rule.when + " |\n";
  }
  return text;
}

std::string session_field_table() {
  constexpr std::array kNames = {"honoured", "echoed", "refused"};
  std::string text =
      "| session field | in the beta | treatment | values | note |\n|---|---|---|---|---|\n";
  for (const auto& rule : session_field_rules())
    text += std::string("| `") + rule.path + "` | " +
            (*rule.beta_path != '\0' ? "`" + std::string(rule.beta_path) + "`" : "-") + " | " +
            kNames[static_cast<size_t>(rule.treatment)] + " | " + rule.values + " | " + rule.note +
            " |\n";
  return text;
}

}  // namespace duet::wire
