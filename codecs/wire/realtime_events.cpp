#include "codecs/wire/realtime_events.h"

#include <algorithm>
#include <array>
#include <limits>

#include "codecs/wire/base64.h"
#include "codecs/wire/realtime_json.inc"

namespace duet::wire {
namespace {

using namespace realtime;

constexpr std::array kClientRules = {
    ClientEventRule{"session.update", ClientEventType::kSessionUpdate,
                    "merged into the session, whole or not at all; `session.updated`"},
    ClientEventRule{"input_audio_buffer.append", ClientEventType::kInputAudioAppend,
                    "heard by the model at once; no answer"},
    ClientEventRule{"input_audio_buffer.commit", ClientEventType::kInputAudioCommit,
                    "makes a user item of what was heard since the last one; "
                    "`input_audio_buffer.committed`"},
    ClientEventRule{"input_audio_buffer.clear", ClientEventType::kInputAudioClear,
                    "drops what is not yet heard; `input_audio_buffer.cleared`"},
    ClientEventRule{"output_audio_buffer.clear", ClientEventType::kOutputAudioClear,
                    "refused: for WebRTC and SIP only"},
    ClientEventRule{"conversation.item.create", ClientEventType::kItemCreate,
                    "kept in the conversation; `conversation.item.added` and `.done`"},
    ClientEventRule{"conversation.item.retrieve", ClientEventType::kItemRetrieve,
                    "`conversation.item.retrieved`"},
    ClientEventRule{"conversation.item.delete", ClientEventType::kItemDelete,
                    "`conversation.item.deleted`"},
    ClientEventRule{"conversation.item.truncate", ClientEventType::kItemTruncate,
                    "stops playout and cuts the transcript; `conversation.item.truncated`"},
    ClientEventRule{"response.create", ClientEventType::kResponseCreate,
                    "makes the agent begin; `response.created`"},
    ClientEventRule{"response.cancel", ClientEventType::kResponseCancel,
                    "makes the agent stop; `response.done` with status cancelled"},
};

// Known fields of an object, read once each; finish() refuses the others.
class Fields {
 public:
  Fields(const Json& json, std::string path) : json_(json), path_(std::move(path)) {}

  std::string name(const char* key) const { return path_.empty() ? key : path_ + "." + key; }
  const Json* find(const char* key) {
    known_.emplace_back(key);
    const auto at = json_.find(key);
    return at == json_.end() ? nullptr : &*at;
  }
  const Json& require(const char* key) {
    const Json* value = find(key);
    if (value == nullptr)
      refuse("missing_required_parameter", name(key),
             "Missing required parameter: '" + name(key) + "'.");
    return *value;
  }
  static const std::string& text(const Json& value, const std::string& param) {
    if (!value.is_string()) refuse_type(param, "a string", value);
    return value.get_ref<const std::string&>();
  }
  const std::string& required_string(const char* key) { return text(require(key), name(key)); }
  /// Null counts as absent.
  std::optional<std::string> optional_string(const char* key) {
    const Json* value = find(key);
    if (value == nullptr || value->is_null()) return std::nullopt;
    return text(*value, name(key));
  }
  std::string choice(const char* key, const std::string& fallback,
                     std::initializer_list<const char*> allowed) {
    const auto value = optional_string(key);
    if (!value) return fallback;
    if (std::none_of(allowed.begin(), allowed.end(), [&](const char* a) { return *value == a; })) {
      std::string list;
      for (const char* a : allowed) list += (list.empty() ? "" : ", ") + std::string(a);
      refuse_value(name(key), "one of " + list, *value);
    }
    return *value;
  }
  int64_t required_int(const char* key, int64_t high) {
    const Json& value = require(key);
    if (!value.is_number_integer()) refuse_type(name(key), "an integer", value);
    const bool fits = value.is_number_unsigned()
                          ? value.get<uint64_t>() <= static_cast<uint64_t>(high)
                          : value.get<int64_t>() >= 0 && value.get<int64_t>() <= high;
    if (!fits) refuse_value(name(key), "0 to " + std::to_string(high), value);
    return value.get<int64_t>();
  }
  void ignore(std::initializer_list<const char*> keys) {
    for (const char* key : keys) known_.emplace_back(key);
  }
  void finish() const {
    for (const auto& [key, value] : json_.items())
      if (std::find(known_.begin(), known_.end(), key) == known_.end()) {
        const std::string param = path_.empty() ? key : path_ + "." + key;
        refuse("unknown_parameter", param, "Unknown parameter: '" + param + "'.");
      }
  }

 private:
  const Json& json_;
  std::string path_;
  std::vector<std::string> known_;
};

std::vector<uint8_t> audio(const std::string& text, const std::string& param, size_t limit) {
  // Before decoding: 4 characters are 3 bytes.
  if (text.size() / 4 * 3 > limit + 2)
    refuse("bad_audio", param,
           "Audio too large: expected at most " + std::to_string(limit) + " bytes in '" + param +
               "'.");
  try {
    return base64_decode(text);
  } catch (const WireError& error) {
    refuse("bad_audio", param, "Invalid audio in '" + param + "': " + error.what() + ".");
  }
}

RealtimeContent read_content(const Json& json, const std::string& path, size_t limit) {
  Fields fields(require_object(json, path), path);
  RealtimeContent content;
  fields.require("type");
  content.type = fields.choice(
      "type", "",
      {"input_text", "input_audio", "text", "audio", "output_text", "output_audio", "input_image"});
  content.text = fields.optional_string("text").value_or("");
  content.transcript = fields.optional_string("transcript");
  if (const auto data = fields.optional_string("audio"))
    content.audio = audio(*data, fields.name("audio"), limit);
  fields.ignore({"image_url", "detail", "format"});
  fields.finish();
  return content;
}

RealtimeItem read_item(const Json& json, size_t limit) {
  Fields fields(require_object(json, "item"), "item");
  RealtimeItem item;
  fields.require("type");
  item.type = fields.choice("type", "", {"message", "function_call", "function_call_output"});
  item.id = fields.optional_string("id").value_or("");
  fields.ignore({"object"});
  item.status = fields.choice("status", "completed", {"completed", "in_progress", "incomplete"});
  if (item.type == "message") {
    fields.require("role");
    item.role = fields.choice("role", "", {"user", "assistant", "system"});
    const Json& content = fields.require("content");
    if (!content.is_array()) refuse_type("item.content", "a list", content);
    for (size_t i = 0; i < content.size(); ++i)
      item.content.push_back(
          read_content(content[i], "item.content[" + std::to_string(i) + "]", limit));
  } else if (item.type == "function_call") {
    item.call_id = fields.optional_string("call_id").value_or("");
    item.name = fields.required_string("name");
    item.arguments = fields.required_string("arguments");
  } else {
    item.call_id = fields.required_string("call_id");
    item.output = fields.required_string("output");
  }
  fields.finish();
  return item;
}

void read_response(const Json& json, ClientEvent& event) {
  Fields fields(require_object(json, "response"), "response");
  event.instructions = fields.optional_string("instructions");
  event.in_conversation = fields.choice("conversation", "auto", {"auto", "none"}) == "auto";
  fields.ignore({"output_modalities", "modalities", "audio", "voice", "output_audio_format",
                 "tools", "tool_choice", "max_output_tokens", "max_response_output_tokens",
                 "temperature", "metadata", "prompt", "input", "reasoning"});
  fields.finish();
}

ClientEvent read_event(const Json& json, const RealtimeLimits& limits) {
  Fields fields(json, "");
  fields.ignore({"event_id"});
  const std::string& type = fields.required_string("type");
  const auto rule = std::find_if(kClientRules.begin(), kClientRules.end(),
                                 [&](const ClientEventRule& each) { return type == each.type; });
  if (rule == kClientRules.end())
    refuse("unknown_event", "type", "Unknown event type: " + shown(Json(type)) + ".");
  ClientEvent event;
  event.type = rule->event;
  switch (event.type) {
    case ClientEventType::kSessionUpdate:
      event.session_json = require_object(fields.require("session"), "session").dump();
      break;
    case ClientEventType::kInputAudioAppend:
      event.audio = audio(fields.required_string("audio"), "audio", limits.max_audio_bytes);
      break;
    case ClientEventType::kInputAudioCommit:
    case ClientEventType::kInputAudioClear:
    case ClientEventType::kOutputAudioClear: break;
    case ClientEventType::kItemCreate:
      event.previous_item_id = fields.optional_string("previous_item_id");
      event.item = read_item(fields.require("item"), limits.max_audio_bytes);
      break;
    case ClientEventType::kItemRetrieve:
    case ClientEventType::kItemDelete: event.item_id = fields.required_string("item_id"); break;
    case ClientEventType::kItemTruncate:
      event.item_id = fields.required_string("item_id");
      event.content_index = static_cast<int>(fields.required_int("content_index", 1000));
      event.audio_end_ms = fields.required_int("audio_end_ms", std::numeric_limits<int32_t>::max());
      break;
    case ClientEventType::kResponseCreate:
      if (const Json* response = fields.find("response");
          response != nullptr && !response->is_null())
        read_response(*response, event);
      break;
    case ClientEventType::kResponseCancel:
      event.response_id = fields.optional_string("response_id");
      break;
  }
  fields.finish();
  return event;
}

}  // namespace

std::span<const ClientEventRule> client_event_rules() noexcept { return kClientRules; }

std::variant<ClientEvent, RealtimeError> parse_client_event(std::string_view text,
                                                            const RealtimeLimits& limits) {
  std::string event_id;
  try {
    const Json json = parse_object(text, limits);
    if (const auto id = json.find("event_id"); id != json.end() && !id->is_null()) {
      if (!id->is_string()) refuse_type("event_id", "a string", *id);
      event_id = id->get<std::string>();
      if (event_id.size() > 512) {
        event_id.clear();
        refuse("invalid_value", "event_id", "Invalid value for 'event_id': over 512 bytes.");
      }
    }
    ClientEvent event = read_event(json, limits);
    event.event_id = event_id;
    return event;
  } catch (Refusal& refusal) {
    refusal.error.event_id = event_id;
    return refusal.error;
  }
}

}  // namespace duet::wire
