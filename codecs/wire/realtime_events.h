#pragma once
// Events of the OpenAI Realtime protocol (/v1/realtime, one JSON object a text message): what
// clients send, typed. Source: openai/openai-python, src/openai/types/realtime/*.py (general
// availability); the strict reader among its clients is pipecat-ai/pipecat,
// services/openai/realtime/events.py. docs/realtime.md has the tables of what is honoured.
// Not supported: WebRTC and SIP (output_audio_buffer.clear is answered with an error), MCP.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace duet::wire {

/// The `error` object of an error event. Errors leave the session open: a bad event never ends a
/// connection.
struct RealtimeError {
  std::string type = "invalid_request_error";  ///< Or server_error, rate_limit_error.
  std::string code = {};
  std::string message = {};
  std::string param = {};     ///< The field, "session.audio.input.format"; empty: null.
  std::string event_id = {};  ///< Of the client's event; empty: null.
};

enum class RealtimeProfile {
  kGa,      ///< Only names of general availability.
  kBeta,    ///< The names of 2024, for connections with the header OpenAI-Beta: realtime=v1.
  kDuplex,  ///< As kGa, and session.update may name fields in either way (duplex_events.h).
};

struct RealtimeContent {
  /// input_text, input_audio, text, audio, output_text, output_audio, input_image.
  std::string type = {};
  std::string text = {};                       ///< Of the text types.
  std::optional<std::string> transcript = {};  ///< Of the audio types.
  std::vector<uint8_t> audio = {};             ///< Of input_audio, decoded from base64.
};

struct RealtimeItem {
  std::string id = {};               ///< Empty: the server gives one.
  std::string type = "message";      ///< Or function_call, function_call_output.
  std::string role = "user";         ///< user, assistant, system; of messages.
  std::string status = "completed";  ///< completed, in_progress, incomplete.
  std::vector<RealtimeContent> content = {};
  std::string call_id = {}, name = {}, arguments = {},
              output = {};  ///< Of function calls and their outputs.
};

enum class ClientEventType {
  kSessionUpdate,
  kInputAudioAppend,
  kInputAudioCommit,
  kInputAudioClear,
  kOutputAudioClear,
  kItemCreate,
  kItemRetrieve,
  kItemDelete,
  kItemTruncate,
  kResponseCreate,
  kResponseCancel,
};

struct ClientEvent {
  ClientEventType type = ClientEventType::kSessionUpdate;
  std::string event_id = {};        ///< As the client chose; empty without.
  std::vector<uint8_t> audio = {};  ///< kInputAudioAppend: bytes in the session's input format.
  std::string session_json = {};    ///< kSessionUpdate: the object, for RealtimeSession::update().
  RealtimeItem item = {};           ///< kItemCreate.
  std::optional<std::string> previous_item_id = {};  ///< kItemCreate; "root": at the beginning.
  std::string item_id = {};                          ///< kItemRetrieve, kItemDelete, kItemTruncate.
  int content_index = 0;                             ///< kItemTruncate.
  int64_t audio_end_ms = 0;                          ///< kItemTruncate, from 0.
  std::optional<std::string> instructions = {};      ///< kResponseCreate.
  bool in_conversation = true;                  ///< kResponseCreate: false for conversation "none".
  std::optional<std::string> response_id = {};  ///< kResponseCancel.
};

struct RealtimeLimits {
  size_t max_event_bytes = 21u << 20;  ///< Of the JSON text: 15 MiB of audio as base64, and room.
  size_t max_audio_bytes = 15u << 20;  ///< Of one append, decoded.
  int max_depth = 16;                  ///< Of nested objects and lists.
};

/// The event, or the error to answer with (its event_id filled in when the event had one). Never
/// throws for anything a client can send. Codes: event_too_large, invalid_json, unknown_event,
/// missing_required_parameter, unknown_parameter, invalid_type, invalid_value, bad_audio.
std::variant<ClientEvent, RealtimeError> parse_client_event(std::string_view text,
                                                            const RealtimeLimits& limits = {});

/// One row of the table of client events in docs/realtime.md.
struct ClientEventRule {
  const char* type;
  ClientEventType event;
  const char* effect;
};
std::span<const ClientEventRule> client_event_rules() noexcept;

}  // namespace duet::wire
