#include "codecs/wire/duplex_events.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <utility>

#include "codecs/wire/base64.h"
#include "codecs/wire/pcm.h"
#include "codecs/wire/realtime_json.inc"

namespace duet::wire {
namespace {

using namespace realtime;

struct Alias {
  const char* from;
  const char* to;
};
constexpr std::array kAliases = {Alias{"input.commit", "input_audio_buffer.commit"},
                                 Alias{"input_text.append", "input.text.append"},
                                 Alias{"push_text", "input.text.append"},
                                 Alias{"signal_turn", "turn.signal"},
                                 Alias{"audio.playback_ack", "playback.ack"},
                                 Alias{"close_session", "session.close"},
                                 Alias{"close", "session.close"}};

struct DuplexRule {
  const char* type;
  DuplexEventType event;
};
constexpr std::array kDuplexRules = {
    DuplexRule{"session.heartbeat", DuplexEventType::kHeartbeat},
    DuplexRule{"session.event_ack", DuplexEventType::kEventAck},
    DuplexRule{"session.close", DuplexEventType::kClose},
    DuplexRule{"session.resume", DuplexEventType::kResume},
    DuplexRule{"input.cancel", DuplexEventType::kInputCancel},
    DuplexRule{"input.text.append", DuplexEventType::kTextAppend},
    DuplexRule{"output_audio_buffer.clear", DuplexEventType::kOutputClear},
    DuplexRule{"barge_in", DuplexEventType::kBargeIn},
    DuplexRule{"turn.signal", DuplexEventType::kTurnSignal},
    DuplexRule{"playback.ack", DuplexEventType::kPlaybackAck}};

/// Fields of the session that only the extensions have; whoever sends one asks for them.
constexpr std::array<std::string_view, 12> kSessionFields = {"overlap_policy",
                                                             "overlap_short_ack_ms",
                                                             "overlap_barge_in_ms",
                                                             "overlap_silence_rms",
                                                             "playback_commit_policy",
                                                             "idle_timeout_s",
                                                             "response_format",
                                                             "extra_body",
                                                             "ref_audio",
                                                             "sample_rate_hz",
                                                             "max_tokens",
                                                             "top_p"};
constexpr std::array<std::string_view, 4> kAskingFields = {
    "overlap_policy", "playback_commit_policy", "ref_audio", "extra_body"};

template <std::size_t N>
bool is_in(std::string_view value, const std::array<std::string_view, N>& list) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

std::string string_or(const Json& json, const char* key) {
  const auto at = json.find(key);
  if (at == json.end() || at->is_null()) return {};
  if (!at->is_string()) refuse_type(key, "a string", *at);
  return at->get<std::string>();
}

std::int64_t count_or(const Json& json, const char* key, std::int64_t fallback) {
  const auto at = json.find(key);
  if (at == json.end() || at->is_null()) return fallback;
  constexpr double kMost = 9e15;
  if (!at->is_number() || !(at->get<double>() >= 0.0 && at->get<double>() <= kMost))
    refuse_value(key, "a number from 0", *at);
  return static_cast<std::int64_t>(at->get<double>());
}

bool flag_or(const Json& json, const char* key, bool fallback) {
  const auto at = json.find(key);
  if (at == json.end() || at->is_null()) return fallback;
  if (!at->is_boolean()) refuse_type(key, "a boolean", *at);
  return at->get<bool>();
}

std::string required(const Json& json, const char* key) {
  std::string value = string_or(json, key);
  if (value.empty())
    refuse("missing_required_parameter", key,
           "Missing required parameter: '" + std::string(key) + "'.");
  return value;
}

DuplexEvent read_duplex(DuplexEventType type, const Json& json) {
  DuplexEvent event;
  event.type = type;
  switch (type) {
    case DuplexEventType::kEventAck:
      event.server_event_seq = count_or(json, "server_event_seq", 0);
      break;
    case DuplexEventType::kResume:
      event.session_id = required(json, "session_id");
      event.resume_token = required(json, "resume_token");
      event.server_event_seq = count_or(json, "last_received_server_event_seq", 0);
      break;
    case DuplexEventType::kTurnSignal:
      event.signal = string_or(json, "event");
      if (const auto payload = json.find("payload"); payload != json.end())
        event.payload_json = text_of(*payload);
      break;
    case DuplexEventType::kPlaybackAck:
      event.response_id = string_or(json, "response_id");
      event.item_id = string_or(json, "item_id");
      event.played_ms = count_or(json, "played_ms", 0);
      event.committed_ms = count_or(json, "committed_ms", event.played_ms);
      event.truncate = flag_or(json, "truncate", false);
      break;
    default: break;
  }
  return event;
}

/// Names of PCM formats of the extensions; true when it was one.
bool read_pcm_name(const Json& name, bool& is_float) {
  if (!name.is_string()) return false;
  const auto& text = name.get_ref<const std::string&>();
  if (text == "pcm_f32le") return is_float = true;
  if (text != "pcm16" && text != "pcm_s16le" && text != "s16le") return false;
  is_float = false;
  return true;
}

int checked_rate(const Json& value, const std::string& param) {
  if (!value.is_number_integer() || value < 8000 || value > 48000)
    refuse(
        "unsupported_audio_format", param,
        "Invalid value for '" + param + "': expected 8000 to 48000, found " + shown(value) + ".");
  return value.get<int>();
}

std::string choice(const Json& json, const char* key, const char* first, const char* second) {
  const std::string value = string_or(json, key);
  if (!value.empty() && value != first && value != second)
    refuse_value(std::string("session.") + key, std::string(first) + " or " + second, Json(value));
  return value;
}

/// Takes the extensions out of a session object.
void split_session(Json& session, DuplexSettings& settings) {
  Json echoed = Json::parse(settings.echoed_json);
  if (const auto ref = session.find("ref_audio"); ref != session.end() && !ref->is_null())
    refuse("ref_audio_update_unsupported", "session.ref_audio",
           "The voice comes with the model: no reference is taken.");
  if (const auto p = choice(session, "overlap_policy", "listen_only", "barge_in_on_speech");
      !p.empty())
    settings.listens_only = p == "listen_only";
  if (const auto p = choice(session, "playback_commit_policy", "ack_only", "commit_all_on_done");
      !p.empty())
    settings.commits_acked = p == "ack_only";
  if (session.contains("idle_timeout_s"))
    settings.idle_timeout_s = static_cast<double>(count_or(session, "idle_timeout_s", 0));
  if (const auto body = session.find("extra_body"); body != session.end() && body->is_object())
    settings.auto_response = flag_or(*body, "auto_response", settings.auto_response);
  if (const auto rate = session.find("sample_rate_hz"); rate != session.end() && !rate->is_null())
    settings.input_rate_hz = checked_rate(*rate, "session.sample_rate_hz");
  for (const auto field : kSessionFields)
    if (const auto at = session.find(std::string(field)); at != session.end()) {
      echoed[std::string(field)] = *at;
      session.erase(std::string(field));
    }
  for (const char* key : {"input_audio_format", "output_audio_format"}) {
    const auto format = session.find(key);
    bool is_float = false;
    if (format == session.end() || !read_pcm_name(*format, is_float)) continue;
    if (key[0] == 'i') settings.is_float = is_float;
    if (key[0] == 'o' && is_float)
      refuse("unsupported_audio_format", "session.output_audio_format",
             "Invalid value for 'session.output_audio_format': expected pcm16 or G.711.");
    *format = "pcm16";
  }
  if (const auto on = session.find("audio"); on != session.end() && on->is_object())
    if (const auto in = on->find("input"); in != on->end() && in->is_object())
      if (const auto rate = in->find("sample_rate_hz"); rate != in->end()) {
        settings.input_rate_hz = checked_rate(*rate, "session.audio.input.sample_rate_hz");
        in->erase(rate);
      }
  settings.echoed_json = text_of(echoed);
}

std::string floats_to_pcm16(const std::string& base64) {
  const std::vector<uint8_t> bytes = base64_decode(base64);
  std::vector<float> samples(bytes.size() / sizeof(float));
  std::memcpy(samples.data(), bytes.data(), samples.size() * sizeof(float));
  std::vector<uint8_t> pcm;
  write_pcm(AudioFormat::kPcm16, samples, pcm);
  return base64_encode(pcm);
}

/// What an append says about its own samples; then only the audio stays.
void plain_append(Json& json, DuplexSettings& settings) {
  for (const char* key : {"input_audio_format", "format"}) {
    const auto format = json.find(key);
    if (format == json.end() || format->is_null()) continue;
    if (!read_pcm_name(*format, settings.is_float))
      refuse("unsupported_audio_format", key,
             "Invalid value for '" + std::string(key) +
                 "': expected pcm16, pcm_s16le, s16le or pcm_f32le; G.711 is set in the session.");
  }
  if (const auto rate = json.find("sample_rate_hz"); rate != json.end() && !rate->is_null())
    settings.input_rate_hz = checked_rate(*rate, "sample_rate_hz");
  if (const auto video = json.find("video_frames");
      video != json.end() && video->is_array() && !video->empty())
    refuse("invalid_video_frames", "video_frames", "The model does not see.");
  for (const char* key : {"input_audio_format", "format", "sample_rate_hz", "duration_ms",
                          "audio_end_ms", "is_speech", "video_frames", "max_slice_nums"})
    json.erase(key);
  const auto audio = json.find("audio");
  if (!settings.is_float || audio == json.end() || !audio->is_string()) return;
  try {
    *audio = floats_to_pcm16(audio->get_ref<const std::string&>());
  } catch (const WireError& error) {
    refuse("bad_audio", "audio", std::string("Invalid audio in 'audio': ") + error.what() + ".");
  }
}

/// Nothing when it is an event of OpenAI's, which is then plain.
std::optional<DuplexEvent> split(Json& json, DuplexSettings& settings) {
  const auto at = json.find("type");
  if (at == json.end() || !at->is_string()) return std::nullopt;
  for (const Alias& alias : kAliases)
    if (*at == alias.from) *at = alias.to;
  const std::string type = at->get<std::string>();
  for (const DuplexRule& rule : kDuplexRules)
    if (type == rule.type) return read_duplex(rule.event, json);
  if (type == "input_audio_buffer.append") plain_append(json, settings);
  if (type == "input_audio_buffer.commit") {
    const bool is_speech = flag_or(json, "is_speech", true);
    for (const char* key : {"final", "response_create", "is_speech"}) json.erase(key);
    if (!is_speech) return DuplexEvent{.type = DuplexEventType::kNoSpeechCommit};
  }
  if (const auto session = json.find("session");
      type == "session.update" && session != json.end() && session->is_object())
    split_session(*session, settings);
  return std::nullopt;
}

}  // namespace

std::variant<DuplexEvent, ClientEvent, RealtimeError> DuplexReader::read(std::string_view text) {
  std::string event_id;
  try {
    Json json = parse_object(text, {});
    if (const auto id = json.find("event_id"); id != json.end() && id->is_string())
      event_id = id->get<std::string>().substr(0, 512);
    DuplexSettings changed = settings_;
    if (auto event = split(json, changed)) {
      event->event_id = event_id;
      return std::move(*event);
    }
    auto plain = parse_client_event(text_of(json));
    if (auto* error = std::get_if<RealtimeError>(&plain)) return std::move(*error);
    settings_ = std::move(changed);
    return std::move(std::get<ClientEvent>(plain));
  } catch (Refusal& refusal) {
    refusal.error.event_id = event_id;
    return refusal.error;
  }
}

bool asks_for_duplex(std::string_view text) {
  // Most messages are audio: look for the words before parsing.
  if (text.find("session.update") == std::string_view::npos) return false;
  if (std::none_of(kAskingFields.begin(), kAskingFields.end(), [&](std::string_view field) {
        return text.find(field) != std::string_view::npos;
      }))
    return false;
  try {
    const Json json = parse_object(text, {});
    const auto session = json.find("session");
    if (json.value("type", Json()) != "session.update" || session == json.end() ||
        !session->is_object())
      return false;
    return std::any_of(kAskingFields.begin(), kAskingFields.end(), [&](std::string_view field) {
      return session->contains(std::string(field));
    });
  } catch (const Refusal&) {
    return false;
  }
}

}  // namespace duet::wire
