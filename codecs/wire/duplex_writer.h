#pragma once
// Server events of vLLM-Omni's duplex extensions as JSON text (duplex_events.h has the source).
// `server_event_seq`, which every event to such a client carries, is put in where events are kept
// for replay (runtime/server/relay_link.h).

#include <cstdint>
#include <string>
#include <string_view>

#include "codecs/wire/duplex_events.h"
#include "codecs/wire/realtime_session.h"

namespace duet::wire {

/// Milliseconds of a response's audio: made, given to the connection, heard, and heard for good.
struct PlaybackState {
  double generated_ms = 0.0, sent_ms = 0.0, played_ms = 0.0, committed_ms = 0.0;
};

/// What the events say about the conversation as a whole.
struct DuplexState {
  std::string session_id = {}, resume_token = {};
  std::int64_t attachment_generation = 1;  ///< Counts the connections.
  std::int64_t epoch = 0;                  ///< Counts what cut the agent short.
  std::int64_t turn_id = 0;                ///< Counts the user's turns.
  std::string turn_state = "idle";
  std::string response_id = {};  ///< Of the open one.
  double step_s = 0.08;
  double idle_timeout_s = 300.0;
  PlaybackState playback = {};
};

/// One connection's. One thread.
class DuplexWriter {
 public:
  /// session.created and .updated with the token; session.resumed with that of the next time.
  std::string session(const char* type, const RealtimeSession& session,
                      const DuplexSettings& settings, const DuplexState& state);
  std::string heartbeat_ack(const DuplexState& state);
  std::string closed(const DuplexState& state, const char* reason);
  std::string replaced(const DuplexState& state);
  std::string expired(const DuplexState& state, const char* reason);
  std::string resync_required(const DuplexState& state, const char* reason,
                              std::int64_t oldest_seq);
  /// The conversation ends in so many seconds, and why.
  std::string go_away(const DuplexState& state, const char* reason, double left_s);
  std::string item_created(std::string_view item_added_event);
  std::string response_speak(const DuplexState& state);
  std::string response_listen(const DuplexState& state, const char* reason);
  std::string output_cleared(const DuplexState& state);
  std::string turn_event(const DuplexState& state, const DuplexEvent& signal);
  std::string playback_acknowledged(const DuplexState& state, const DuplexEvent& ack,
                                    const PlaybackState& playback, bool history_committed);

 private:
  struct Event;
  Event begin(const char* type, const DuplexState& state);
  std::uint64_t num_events_ = 0;
};

/// Members that an audio delta has besides: `,"format":...`, to go before its last brace.
std::string audio_delta_members(const DuplexState& state, AudioFormat format);
/// An error before there is a conversation: flat, as vLLM-Omni sends it.
std::string flat_error(const char* code, const std::string& message);

}  // namespace duet::wire
