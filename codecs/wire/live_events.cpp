#include "codecs/wire/live_events.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "codecs/wire/base64.h"
#include "codecs/wire/realtime_json.inc"

namespace duet::wire {
namespace {

using namespace realtime;

struct LiveRule {
  const char* type;
  LiveEventType event;
  const char* answer;  ///< Its acknowledgement; empty: none.
};
constexpr std::array kLiveRules = {
    LiveRule{"session.start", LiveEventType::kStart, ""},
    LiveRule{"session.input_audio.append", LiveEventType::kAppend, ""},
    LiveRule{"session.input_audio.mute", LiveEventType::kMute, "session.input_audio.muted"},
    LiveRule{"session.input_audio.unmute", LiveEventType::kUnmute, "session.input_audio.unmuted"},
    LiveRule{"session.instructions.append", LiveEventType::kInstructions,
             "session.instructions.appended"},
    LiveRule{"session.thinking.append", LiveEventType::kThinking, "session.thinking.appended"},
    LiveRule{"session.commentary.append", LiveEventType::kCommentary,
             "session.commentary.appended"},
    LiveRule{"session.update", LiveEventType::kUpdate, "session.updated"},
    LiveRule{"response.item.create", LiveEventType::kResponseItem, ""},
    LiveRule{"response.create", LiveEventType::kResponseCreate, ""},
    LiveRule{"session.close", LiveEventType::kClose, ""}};

constexpr std::size_t kMaxEventBytes = 1u << 20;

void only(const Json& json, const std::string& path,
          std::initializer_list<std::string_view> known) {
  for (const auto& [key, value] : json.items())
    if (std::find(known.begin(), known.end(), key) == known.end())
      refuse("unknown_parameter", path + key, "Unknown parameter: '" + path + key + "'.");
}

/// Null counts as left out.
const Json* find(const Json& json, const char* key) {
  const auto at = json.find(key);
  return at == json.end() || at->is_null() ? nullptr : &*at;
}

const std::string& text(const Json& json, const char* key, const std::string& path) {
  const Json* value = find(json, key);
  if (value == nullptr)
    refuse("missing_required_parameter", path + key,
           "Missing required parameter: '" + path + key + "'.");
  if (!value->is_string()) refuse_type(path + key, "a string", *value);
  return value->get_ref<const std::string&>();
}

void read_format(const Json& audio, LiveSettings& settings) {
  only(audio, "session.audio.", {"format", "output"});
  const Json* format = find(audio, "format");
  if (format == nullptr) return;
  require_object(*format, "session.audio.format");
  only(*format, "session.audio.format.", {"type", "rate"});
  const std::string& type = text(*format, "type", "session.audio.format.");
  if (type == "audio/pcmu") {
    settings.format = AudioFormat::kMulaw;
  } else if (type == "audio/pcma") {
    settings.format = AudioFormat::kAlaw;
  } else if (type != "audio/pcm") {
    refuse_value("session.audio.format.type", "audio/pcm, audio/pcmu or audio/pcma", Json(type));
  }
  const Json* rate = find(*format, "rate");
  const bool is_pcm = settings.format == AudioFormat::kPcm16;
  settings.rate_hz = is_pcm ? 24000 : 8000;
  if (rate == nullptr) return;
  if (is_pcm && (*rate == 16000 || *rate == 24000)) {
    settings.rate_hz = rate->get<int>();
  } else if (is_pcm) {
    refuse_value("session.audio.format.rate", "16000 or 24000", *rate);
  }  // G.711 has one rate, whatever is said.
}

LiveDelegation read_delegation(const Json& json) {
  require_object(json, "session.delegation");
  only(json, "session.delegation.", {"type", "responses"});
  const Json* type = find(json, "type");
  if (type == nullptr || *type == "responses") return LiveDelegation::kResponses;
  if (*type != "client") refuse_value("session.delegation.type", "client or responses", *type);
  return LiveDelegation::kClient;
}

LiveSettings read_start(const Json& session) {
  only(session, "session.", {"model", "instructions", "input", "audio", "delegation", "store"});
  LiveSettings settings;
  settings.model = text(session, "model", "session.");
  if (const Json* audio = find(session, "audio"))
    read_format(require_object(*audio, "session.audio"), settings);
  if (const Json* delegation = find(session, "delegation"))
    settings.delegation = read_delegation(*delegation);
  if (const Json* store = find(session, "store")) {
    if (!store->is_boolean()) refuse_type("session.store", "a boolean", *store);
    settings.may_be_stored = store->get<bool>();
  }
  return settings;
}

LiveEvent read(const Json& json) {
  const std::string& type = text(json, "type", "");
  const auto rule = std::find_if(kLiveRules.begin(), kLiveRules.end(),
                                 [&](const LiveRule& each) { return type == each.type; });
  if (rule == kLiveRules.end())
    refuse("unknown_event", "type", "Unknown event type: " + shown(Json(type)) + ".");
  LiveEvent event;
  event.type = rule->event;
  switch (event.type) {
    case LiveEventType::kStart:
      only(json, "", {"type", "event_id", "session"});
      event.settings = read_start(require_object(json.value("session", Json()), "session"));
      break;
    case LiveEventType::kAppend:
      only(json, "", {"type", "event_id", "audio"});
      try {
        event.audio = base64_decode(text(json, "audio", ""));
      } catch (const WireError& error) {
        refuse("bad_audio", "audio",
               std::string("Invalid audio in 'audio': ") + error.what() + ".");
      }
      break;
    case LiveEventType::kInstructions:
    case LiveEventType::kThinking:
    case LiveEventType::kCommentary:
      only(json, "", {"type", "event_id", "delegation_id", "content"});
      event.content = text(json, "content", "");
      if (find(json, "delegation_id") != nullptr)
        event.delegation_id = text(json, "delegation_id", "");
      break;
    case LiveEventType::kUpdate:
      only(json, "", {"type", "event_id", "session"});
      only(require_object(json.value("session", Json()), "session"), "session.", {"delegation"});
      if (const Json* delegation = find(json["session"], "delegation"))
        event.settings.delegation = read_delegation(*delegation);
      break;
    default: break;
  }
  return event;
}

std::string event_text(const char* type, Json members) {
  Json json = {{"type", type}};
  json.update(members);
  return text_of(json);
}

std::string transcript(const char* type, std::string_view delta, std::int64_t start_ms,
                       std::int64_t end_ms) {
  return event_text(type, {{"delta", delta}, {"start_ms", start_ms}, {"end_ms", end_ms}});
}

Json seconds_json(double seconds) { return {{"seconds", std::round(seconds * 100.0) / 100.0}}; }

}  // namespace

std::variant<LiveEvent, RealtimeError> parse_live_event(std::string_view message) {
  std::string event_id;
  try {
    const Json json = parse_object(message, {.max_event_bytes = kMaxEventBytes});
    if (const Json* id = find(json, "event_id"); id != nullptr && id->is_string())
      event_id = id->get<std::string>().substr(0, 512);
    LiveEvent event = read(json);
    event.event_id = event_id;
    return event;
  } catch (Refusal& refusal) {
    refusal.error.event_id = event_id;
    return refusal.error;
  }
}

std::string LiveWriter::started(std::string_view session_id) {
  return event_text("session.started", {{"session", {{"id", session_id}}}});
}
std::string LiveWriter::audio(std::span<const std::uint8_t> bytes) {
  return event_text("session.output_audio.delta", {{"delta", base64_encode(bytes)}});
}
std::string LiveWriter::input_transcript(std::string_view delta, std::int64_t start_ms,
                                         std::int64_t end_ms) {
  return transcript("session.input_transcript.delta", delta, start_ms, end_ms);
}
std::string LiveWriter::output_transcript(std::string_view delta, std::int64_t start_ms,
                                          std::int64_t end_ms) {
  return transcript("session.output_transcript.delta", delta, start_ms, end_ms);
}
std::string LiveWriter::delegation_created(std::string_view id, LiveDelegation target) {
  return event_text(
      "session.delegation.created",
      {{"delegation",
        {{"id", id}, {"target", target == LiveDelegation::kClient ? "client" : "responses"}}}});
}
std::string LiveWriter::acknowledged(const LiveEvent& event) {
  const auto rule = std::find_if(kLiveRules.begin(), kLiveRules.end(),
                                 [&](const LiveRule& each) { return event.type == each.event; });
  Json members = {{"client_event_id", id_or_null(event.event_id)}};
  if (!event.delegation_id.empty()) members["delegation_id"] = event.delegation_id;
  return event_text(rule->answer, members);
}
std::string LiveWriter::usage(double seconds) {
  return event_text("session.usage.updated", {{"usage", seconds_json(seconds)}});
}
std::string LiveWriter::closed(const char* reason, double seconds) {
  return event_text("session.closed", {{"reason", reason}, {"usage", seconds_json(seconds)}});
}
std::string LiveWriter::error(const RealtimeError& error) {
  return event_text("error", {{"error",
                               {{"type", error.type},
                                {"code", id_or_null(error.code)},
                                {"message", error.message},
                                {"param", id_or_null(error.param)},
                                {"client_event_id", id_or_null(error.event_id)}}}});
}

}  // namespace duet::wire
