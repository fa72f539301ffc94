#pragma once
// A benchmark suite: scripted conversations as data (docs/bench.md). What the user does, relative
// to what the agent does; nothing here knows a model.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "runtime/answer_key.h"

namespace duet::runtime::bench {

enum class Kind {
  kQuestion,       ///< A user turn that wants a reply.
  kInterruption,   ///< A user turn into the agent's speech; wants a reply unless told otherwise.
  kBackchannel,    ///< "uh-huh": the agent must go on.
  kPause,          ///< The first part of a user turn and a silence; the next event is the rest.
  kNoise,          ///< Cough, door, music: the agent must go on.
  kSecondSpeaker,  ///< Somebody in the background: the agent must go on.
  kEcho,           ///< For a while the agent hears itself: it must neither stop nor start.
};
const char* name_of(Kind kind) noexcept;

enum class Anchor {
  kAt,               ///< Seconds from the start of the dialogue.
  kAfterUserEnd,     ///< Seconds after the end of the event before.
  kAfterAgentOnset,  ///< Seconds after the agent begins to answer the turn before.
  kAfterAgentEnd,    ///< Seconds after the agent has answered it.
  kHalvedSilence,    ///< After half of the silence that `offset` after the answer would leave.
};
const char* name_of(Anchor anchor) noexcept;

/// How the user's audio relates to the agent's.
enum class Mode {
  kFixed,     ///< It does not wait: agent anchors stand where the script expects the answer.
  kReactive,  ///< It follows the agent's sound as it is heard.
};
const char* name_of(Mode mode) noexcept;

/// A number of seconds, or a range from which the suite's seed draws one.
struct Seconds {
  double low = 0.0;
  double high = 0.0;
};

struct ScriptEvent {
  std::string id;  ///< Unique in its dialogue.
  Kind kind = Kind::kQuestion;
  std::string audio;     ///< Path; empty for an echo, or where `text` is to be spoken.
  std::string text;      ///< What is said.
  double gain_db = 0.0;  ///< Of the audio; of the echo path.
  Anchor anchor = Anchor::kAfterAgentEnd;
  double offset_s = 0.0;  ///< Drawn already.
  double pause_s = 0.0;   ///< Pause: the silence after the audio, drawn already.
  double seconds = 0.0;   ///< Echo: how long.
  double delay_ms = 0.0;  ///< Echo: of the path.
  double reply_s = 0.0;   ///< How long an answer is expected to last; fixed timelines need it.
  bool wants_reply = false;
  std::optional<AnswerKey> key;

  /// Speech that is a turn: question, interruption, pause.
  bool is_turn() const noexcept;
};

struct ScriptDialog {
  std::string id;
  std::vector<ScriptEvent> events;
};

struct Script {
  std::string name;
  std::string description;
  std::string path;
  Mode mode = Mode::kFixed;  ///< Unless the command line says otherwise.
  std::uint64_t seed = 1;
  double lead_s = 0.5;          ///< Silence before the first event.
  double tail_s = 4.0;          ///< After the last event's end, at least.
  double reply_delay_s = 0.64;  ///< Fixed timelines: an answer is expected so long after the turn.
  double interrupt_s = 1.2;     ///< Reactive: halved silence becomes this long into the answer.
  double patience_s = 3.2;      ///< Reactive: how long the user waits for an answer to begin,
  double quiet_s = 0.8;         ///< and how much silence tells that it is done.
  double max_reply_s = 20.0;    ///< Reactive: the user waits no longer for an answer to end.
  std::vector<ScriptDialog> dialogs;
  std::string fingerprint;  ///< Of all that is written in the file and of the audio files' sizes.
};

inline constexpr const char* kScriptSchema = "duet.bench/1";

/// Reads and checks a suite; audio paths are relative to its file. Throws core::LoadError and
/// core::ConfigError, naming the file and the key: unknown keys, kinds or anchors, ranges the wrong
/// way round, missing audio files, ids given twice, anchors that cannot be met.
Script load_script(const std::string& path);

/// How long an answer of so many words is expected to last, for scripts that do not say.
double expected_reply_seconds(const std::string& reply) noexcept;

}  // namespace duet::runtime::bench
