#pragma once
// The session object of the OpenAI Realtime protocol: what session.update may change, what of it
// has an effect, and what is said back. Source: openai/openai-python,
// src/openai/types/realtime/realtime_session_create_request.py and its parts; beta names:
// src/openai/types/beta/realtime/session_update_event.py.

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "codecs/wire/pcm.h"
#include "codecs/wire/realtime_events.h"

namespace duet::wire {

/// What a server has to act on; everything else in the object is only kept and echoed.
struct RealtimeSettings {
  AudioFormat input_format = AudioFormat::kPcm16;
  AudioFormat output_format = AudioFormat::kPcm16;
  bool speaks = true;              ///< output_modalities ["audio"]; false: ["text"].
  bool transcribes_input = false;  ///< audio.input.transcription is not null.
  bool detects_turns = true;       ///< audio.input.turn_detection is not null.
  bool creates_responses = true;   ///< turn_detection.create_response: false makes it only listen.
  bool interrupts_responses = true;  ///< turn_detection.interrupt_response.
  std::string instructions = {};     ///< For models that take a system text.
};

enum class FieldTreatment { kHonoured, kEchoed, kRefused };

/// One row of the table of session fields in docs/realtime.md; update() and to_json() follow it.
struct SessionFieldRule {
  const char* path;       ///< "audio.input.format", below `session`.
  const char* beta_path;  ///< The field's name in the beta; empty: none.
  FieldTreatment treatment;
  const char* values;  ///< What is accepted.
  const char* note;
};
std::span<const SessionFieldRule> session_field_rules() noexcept;

/// One session's object. One thread.
class RealtimeSession {
 public:
  struct Config {
    std::string id = {};     ///< "sess_...", unique.
    std::string model = {};  ///< As served.
    std::string voice = "default";
    std::string instructions = {};
    std::int64_t expires_at_s = 0;  ///< Unix time; 0: does not expire.
    RealtimeProfile profile = RealtimeProfile::kGa;
  };
  explicit RealtimeSession(const Config& config);
  ~RealtimeSession();
  RealtimeSession(RealtimeSession&&) noexcept;
  RealtimeSession& operator=(RealtimeSession&&) noexcept;

  /// Merges a session object (ClientEvent::session_json) into this one: objects field by field, but
  /// formats, transcription, noise reduction and turn detection as a whole with their defaults.
  /// Nothing changes when an error is returned. `has_spoken`: audio went out, after which the voice
  /// stays. Never throws for anything a client can send.
  std::optional<RealtimeError> update(std::string_view session_json, bool has_spoken);
  const RealtimeSettings& settings() const noexcept;
  /// The object for session.created and session.updated, in the profile's names.
  std::string to_json() const;
  RealtimeProfile profile() const noexcept;
  void set_profile(RealtimeProfile profile) noexcept;
  void set_expires_at(std::int64_t unix_s);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace duet::wire
