#pragma once
// vLLM-Omni's duplex extensions of the Realtime protocol, for clients that ask for them: what such
// clients send beyond OpenAI's events. Source: vllm-project/vllm-omni,
// docs/serving/realtime_duplex_api.md. docs/realtime.md says what becomes of each.
// Not supported: video frames, reference voices, text into the model.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "codecs/wire/realtime_events.h"

namespace duet::wire {

enum class DuplexEventType {
  kHeartbeat,
  kEventAck,
  kClose,
  kResume,
  kNoSpeechCommit,  ///< input_audio_buffer.commit with is_speech false.
  kInputCancel,
  kTextAppend,
  kOutputClear,
  kBargeIn,
  kTurnSignal,
  kPlaybackAck,
};

struct DuplexEvent {
  DuplexEventType type = DuplexEventType::kHeartbeat;
  std::string event_id = {};
  std::int64_t server_event_seq = 0;               ///< kEventAck; kResume: the last one received.
  std::string session_id = {}, resume_token = {};  ///< kResume.
  std::string response_id = {}, item_id = {};      ///< kPlaybackAck; empty: not given.
  std::int64_t played_ms = 0;                      ///< kPlaybackAck.
  std::int64_t committed_ms = 0;                   ///< kPlaybackAck; as played_ms when not given.
  bool truncate = false;                           ///< kPlaybackAck: forget what was not played.
  std::string signal = {};                         ///< kTurnSignal: its `event`.
  std::string payload_json = "null";               ///< kTurnSignal.
};

/// Fields of the session that OpenAI's has not.
struct DuplexSettings {
  bool listens_only = false;    ///< overlap_policy listen_only: overlapping speech cancels nothing.
  bool commits_acked = true;    ///< playback_commit_policy ack_only; false: commit_all_on_done.
  bool auto_response = true;    ///< extra_body.auto_response.
  double idle_timeout_s = 0.0;  ///< 0: the server's.
  bool is_float = false;        ///< input_audio_format pcm_f32le.
  int input_rate_hz = 0;        ///< sample_rate_hz of PCM; 0: the format's own.
  std::string echoed_json = "{}";  ///< All of these as they were sent, to say back.
};

/// One connection's reader. One thread.
class DuplexReader {
 public:
  /// An event of the extensions; or an event of OpenAI's with what it has of the extensions taken
  /// out (aliases renamed, samples of 32 bits made PCM16); or the error to answer with.
  std::variant<DuplexEvent, ClientEvent, RealtimeError> read(std::string_view text);
  const DuplexSettings& settings() const noexcept { return settings_; }

 private:
  DuplexSettings settings_;
};

/// True when an event is session.update and its object has a field of the extensions: by this a
/// client on the plain path asks for them.
bool asks_for_duplex(std::string_view text);

}  // namespace duet::wire
