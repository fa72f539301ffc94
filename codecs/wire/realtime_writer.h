#pragma once
// Server events of the OpenAI Realtime protocol as JSON text. Source: openai/openai-python,
// src/openai/types/realtime/*_event.py; what strict clients demand: pipecat-ai/pipecat,
// services/openai/realtime/events.py, which raises on any type outside its map, needs `event_id`
// everywhere, `status_details` in every response and knows no item status `cancelled`.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "codecs/wire/realtime_events.h"
#include "codecs/wire/realtime_session.h"

namespace duet::wire {

enum class ResponseStatus { kInProgress, kCompleted, kCancelled, kFailed, kIncomplete };

struct RealtimeUsage {
  int64_t input_text_tokens = 0, input_audio_tokens = 0;
  int64_t output_text_tokens = 0, output_audio_tokens = 0;
};

struct RealtimeResponse {
  std::string id = {};               ///< "resp_..."
  std::string conversation_id = {};  ///< Empty: null, for responses outside of the conversation.
  ResponseStatus status = ResponseStatus::kInProgress;
  /// kCancelled: turn_detected or client_cancelled; kIncomplete: max_output_tokens or
  /// content_filter; kFailed: an error code. Empty otherwise.
  std::string reason = {};
  std::vector<RealtimeItem> output = {};
  std::optional<RealtimeUsage> usage = {};
};

/// Where a piece of a response belongs.
struct RealtimePart {
  std::string response_id = {}, item_id = {};
  int output_index = 0, content_index = 0;
};

/// One row of the table of server events in docs/realtime.md.
struct ServerEventRule {
  const char* type;
  const char* beta_type;  ///< Empty: the same.
  const char* when;
};
std::span<const ServerEventRule> server_event_rules() noexcept;

/// Numbers the events of one connection: event_id is "event_1", "event_2", ... All text is made
/// valid UTF-8. A response, in order: response_created, output_item_added, item_added,
/// content_part_added, (audio_delta | transcript_delta)*, audio_done, transcript_done,
/// content_part_done, output_item_done, item_done, response_done, rate_limits_updated. One thread.
class RealtimeWriter {
 public:
  explicit RealtimeWriter(RealtimeProfile profile) : profile_(profile) {}

  std::string session_created(const RealtimeSession& session);
  std::string session_updated(const RealtimeSession& session);
  std::string error(const RealtimeError& error);

  std::string input_audio_committed(std::string_view item_id, std::string_view previous_item_id);
  std::string input_audio_cleared();
  std::string speech_started(std::string_view item_id, int64_t audio_start_ms);
  std::string speech_stopped(std::string_view item_id, int64_t audio_end_ms);
  std::string transcription_delta(std::string_view item_id, std::string_view delta);
  /// `seconds` of audio, for its usage.
  std::string transcription_completed(std::string_view item_id, std::string_view transcript,
                                      double seconds);

  /// An empty `previous_item_id` is null: the first of the conversation. In the beta there is one
  /// event for both moments, conversation.item.created: item_added writes it, item_done returns
  /// nothing ("").
  std::string item_added(const RealtimeItem& item, std::string_view previous_item_id);
  std::string item_done(const RealtimeItem& item, std::string_view previous_item_id);
  std::string item_retrieved(const RealtimeItem& item);
  std::string item_deleted(std::string_view item_id);
  std::string item_truncated(std::string_view item_id, int content_index, int64_t audio_end_ms);

  std::string response_created(const RealtimeResponse& response);
  std::string response_done(const RealtimeResponse& response);
  std::string output_item_added(const RealtimePart& part, const RealtimeItem& item);
  std::string output_item_done(const RealtimePart& part, const RealtimeItem& item);
  /// `content.type`: output_audio or output_text.
  std::string content_part_added(const RealtimePart& part, const RealtimeContent& content);
  std::string content_part_done(const RealtimePart& part, const RealtimeContent& content);
  /// `bytes` in the session's output format.
  std::string audio_delta(const RealtimePart& part, std::span<const uint8_t> bytes);
  std::string audio_done(const RealtimePart& part);
  std::string transcript_delta(const RealtimePart& part, std::string_view delta);
  std::string transcript_done(const RealtimePart& part, std::string_view transcript);
  std::string text_delta(const RealtimePart& part, std::string_view delta);
  std::string text_done(const RealtimePart& part, std::string_view text);
  /// No limits to tell: an empty list.
  std::string rate_limits_updated();

 private:
  struct Event;
  Event begin(const char* type);
  Event begin(const char* type, const RealtimePart& part, bool has_content_index);

  RealtimeProfile profile_;
  uint64_t num_events_ = 0;
};

/// The three tables of docs/realtime.md as Markdown, from the rules that the code follows.
std::string client_event_table();
std::string server_event_table();
std::string session_field_table();

}  // namespace duet::wire
