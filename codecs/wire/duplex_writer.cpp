#include "codecs/wire/duplex_writer.h"

#include <cmath>

#include "codecs/wire/realtime_json.inc"

namespace duet::wire {
namespace {

using namespace realtime;

Json playback_json(const PlaybackState& playback) {
  return {{"generated_ms", std::llround(playback.generated_ms)},
          {"sent_ms", std::llround(playback.sent_ms)},
          {"played_ms", std::llround(playback.played_ms)},
          {"committed_ms", std::llround(playback.committed_ms)}};
}

Json capabilities(const DuplexState& state) {
  return {{"implementation_level", "model_native_duplex"},
          {"supports_input_append", true},
          {"supports_barge_in", true},
          {"supports_session_resume", true},
          {"supports_session_lease", false},
          {"supports_multi_session", true},
          {"supports_audio_truncate", true},
          {"supports_playback_ack", true},
          {"chunk_period_ms", std::llround(state.step_s * 1000.0)},
          {"input_modes", Json::array({"append_audio_chunk"})},
          {"signal_sources", Json::array({"model"})}};
}

const char* format_name(AudioFormat format) {
  return format == AudioFormat::kMulaw  ? "g711_ulaw"
         : format == AudioFormat::kAlaw ? "g711_alaw"
                                        : "pcm16";
}

}  // namespace

struct DuplexWriter::Event {
  Json json;
  Event& with(const char* key, Json value) {
    json[key] = std::move(value);
    return *this;
  }
  std::string str() const { return text_of(json); }
};

DuplexWriter::Event DuplexWriter::begin(const char* type, const DuplexState& state) {
  return {{{"type", type},
           {"event_id", "event_d" + std::to_string(++num_events_)},
           {"session_id", state.session_id},
           {"epoch", state.epoch}}};
}

std::string DuplexWriter::session(const char* type, const RealtimeSession& session,
                                  const DuplexSettings& settings, const DuplexState& state) {
  Json object = Json::parse(session.to_json());
  const Json echoed = Json::parse(settings.echoed_json);
  for (const auto& [key, value] : echoed.items()) object[key] = value;
  object["state"] = "open";
  object["turn_state"] = state.turn_state;
  object["epoch"] = state.epoch;
  object["turn_id"] = state.turn_id;
  object["active_response_id"] = id_or_null(state.response_id);
  object["modalities"] = object["output_modalities"];
  object["input_audio_format"] =
      settings.is_float ? "pcm_f32le" : format_name(session.settings().input_format);
  object["output_audio_format"] = format_name(session.settings().output_format);
  object["audio"]["input"]["sample_rate_hz"] = settings.input_rate_hz > 0
                                                   ? settings.input_rate_hz
                                                   : rate_hz(session.settings().input_format);
  object["idle_timeout_s"] = state.idle_timeout_s;
  object["overlap_policy"] = settings.listens_only ? "listen_only" : "barge_in_on_speech";
  object["playback_commit_policy"] = settings.commits_acked ? "ack_only" : "commit_all_on_done";
  object["playback"] = playback_json(state.playback);
  object["capabilities"] = capabilities(state);
  return begin(type, state)
      .with("attachment_generation", state.attachment_generation)
      .with("resume_token", state.resume_token)
      .with("session", std::move(object))
      .str();
}

std::string DuplexWriter::heartbeat_ack(const DuplexState& state) {
  return begin("session.heartbeat_ack", state).str();
}
std::string DuplexWriter::closed(const DuplexState& state, const char* reason) {
  return begin("session.closed", state).with("reason", reason).str();
}
std::string DuplexWriter::replaced(const DuplexState& state) {
  return begin("session.replaced", state)
      .with("attachment_generation", state.attachment_generation)
      .with("reason", "resumed_elsewhere")
      .str();
}
std::string DuplexWriter::expired(const DuplexState& state, const char* reason) {
  return begin("session.expired", state).with("reason", reason).str();
}
std::string DuplexWriter::resync_required(const DuplexState& state, const char* reason,
                                          std::int64_t oldest_seq) {
  return begin("session.resync_required", state)
      .with("reason", reason)
      .with("oldest_server_event_seq", oldest_seq)
      .str();
}
std::string DuplexWriter::go_away(const DuplexState& state, const char* reason, double left_s) {
  return begin("session.go_away", state)
      .with("reason", reason)
      .with("time_left_s", std::round(left_s * 10.0) / 10.0)
      .str();
}

/// The older name for the same moment: both are sent.
std::string DuplexWriter::item_created(std::string_view item_added_event) {
  Json json = Json::parse(item_added_event);
  json["type"] = "conversation.item.created";
  json["event_id"] = "event_d" + std::to_string(++num_events_);
  return text_of(json);
}

std::string DuplexWriter::response_speak(const DuplexState& state) {
  return begin("response.speak", state)
      .with("response_id", state.response_id)
      .with("metadata",
            {{"session_id", state.session_id}, {"epoch", state.epoch}, {"model_speak", true}})
      .str();
}
std::string DuplexWriter::response_listen(const DuplexState& state, const char* reason) {
  return begin("response.listen", state)
      .with("response", {{"object", "realtime.response"},
                         {"status", "listening"},
                         {"metadata",
                          {{"type", "listen"},
                           {"session_id", state.session_id},
                           {"epoch", state.epoch},
                           {"reason", reason}}}})
      .str();
}
std::string DuplexWriter::output_cleared(const DuplexState& state) {
  return begin("output_audio_buffer.cleared", state)
      .with("response_id", id_or_null(state.response_id))
      .str();
}
std::string DuplexWriter::turn_event(const DuplexState& state, const DuplexEvent& signal) {
  return begin("turn.event", state)
      .with("event", signal.signal)
      .with("payload", Json::parse(signal.payload_json))
      .with("turn_id", state.turn_id)
      .str();
}
std::string DuplexWriter::playback_acknowledged(const DuplexState& state, const DuplexEvent& ack,
                                                const PlaybackState& playback,
                                                bool history_committed) {
  return begin("playback.acknowledged", state)
      .with("event", {{"session_id", state.session_id},
                      {"epoch", state.epoch},
                      {"response_id", id_or_null(ack.response_id)},
                      {"item_id", ack.item_id},
                      {"played_ms", std::llround(playback.played_ms)},
                      {"committed_ms", std::llround(playback.committed_ms)},
                      {"truncate", ack.truncate},
                      {"playback", playback_json(playback)},
                      {"history_committed", history_committed}})
      .str();
}

std::string audio_delta_members(const DuplexState& state, AudioFormat format) {
  const Json members = {{"format", format_name(format)},
                        {"sample_rate_hz", rate_hz(format)},
                        {"metadata",
                         {{"session_id", state.session_id},
                          {"epoch", state.epoch},
                          {"model_speak", true},
                          {"audio_duration_ms", std::llround(state.playback.sent_ms)},
                          {"playback", playback_json(state.playback)}}}};
  const std::string text = text_of(members);
  return ',' + text.substr(1, text.size() - 2);
}

std::string flat_error(const char* code, const std::string& message) {
  return text_of(Json{{"type", "error"}, {"error", message}, {"code", code}});
}

}  // namespace duet::wire
