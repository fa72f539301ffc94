#pragma once
// OpenAI's GPT-Live protocol (/v1/live/sessions, one JSON object a text message): what clients
// send, and the events for them. Source: livekit/agents,
// livekit-plugins-openai/.../realtime/gpt_live_types.py, and OpenAI's guide "live conversations".
// Not supported: the sideband observer, WebRTC, and a backend Responses model (the delegation of
// type "responses" goes to the operator's program where there is one).

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "codecs/wire/pcm.h"
#include "codecs/wire/realtime_events.h"

namespace duet::wire {

enum class LiveEventType {
  kStart,
  kAppend,
  kMute,
  kUnmute,
  kInstructions,
  kThinking,
  kCommentary,
  kUpdate,
  kResponseItem,
  kResponseCreate,
  kClose,
};

enum class LiveDelegation { kNone, kClient, kResponses };

/// What session.start chose.
struct LiveSettings {
  std::string model = {};
  AudioFormat format = AudioFormat::kPcm16;
  int rate_hz = 24000;  ///< 16000 or 24000 for PCM.
  LiveDelegation delegation = LiveDelegation::kNone;
  bool may_be_stored = false;
};

struct LiveEvent {
  LiveEventType type = LiveEventType::kStart;
  std::string event_id = {};
  LiveSettings settings = {};            ///< kStart.
  std::vector<std::uint8_t> audio = {};  ///< kAppend: bytes in the session's format.
  std::string delegation_id = {};        ///< kInstructions, kThinking, kCommentary; may be empty.
  std::string content = {};              ///< The same.
};

/// The event, or the error to answer with. Events are at most 1 MiB; unknown fields are refused.
std::variant<LiveEvent, RealtimeError> parse_live_event(std::string_view text);

/// Server events. One thread.
class LiveWriter {
 public:
  std::string started(std::string_view session_id);
  std::string audio(std::span<const std::uint8_t> bytes);
  /// Half-open span of the session's time.
  std::string input_transcript(std::string_view delta, std::int64_t start_ms, std::int64_t end_ms);
  std::string output_transcript(std::string_view delta, std::int64_t start_ms, std::int64_t end_ms);
  std::string delegation_created(std::string_view id, LiveDelegation target);
  /// session.input_audio.muted, session.commentary.appended, session.updated...
  std::string acknowledged(const LiveEvent& event);
  std::string usage(double seconds);
  /// close_requested, expired, connection_lost.
  std::string closed(const char* reason, double seconds);
  std::string error(const RealtimeError& error);
};

}  // namespace duet::wire
