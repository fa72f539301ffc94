#pragma once
// Does the model answer, and rightly? Spoken questions from a manifest (tools/train/data/README.md)
// are asked one by one, in conversations where they belong to one, by a user who waits for the
// answer to end. Timed on audio, listener's clock.

#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "runtime/answer_key.h"
#include "runtime/disturbance.h"
#include "runtime/engine.h"
#include "runtime/scorer.h"

namespace duet::runtime {

struct EvalTurn {
  std::string id;
  std::string path;  ///< Audio of the user's turn.
  std::string text;  ///< What is said.
  std::string topic;
  std::string expected;  ///< The reply it was written for; the key decides.
  AnswerKey key;
  int round = 0;  ///< How often it was asked before in this conversation (repeat_turns).
};

struct EvalDialog {
  std::string id;
  std::vector<EvalTurn> turns;
};

/// User turns of one split of a manifest that want a reply, grouped to conversations where the
/// manifest does. At most `limit` turns (0: all), whole conversations, chosen by `seed`. Throws
/// core::LoadError: a file that is missing, a line that is no JSON (with its number), no turn of
/// that split.
std::vector<EvalDialog> load_eval_dialogs(const std::string& manifest, const std::string& split,
                                          std::size_t limit, std::uint64_t seed = 1);

/// `num_conversations` long ones: the dialogues of a single turn are dealt out and each share asked
/// over and over, `num_rounds` times. Throws core::ConfigError when there are fewer of them.
std::vector<EvalDialog> repeat_turns(const std::vector<EvalDialog>& dialogs,
                                     std::size_t num_conversations, int num_rounds);

struct EvalOptions {
  SessionOptions session = {};
  std::string save_dir = {};  ///< Stereo WAV of each conversation and results.jsonl, for a judge;
                              ///< empty: nothing is saved.
  double lead_s = 0.5;        ///< Silence before the first turn.
  double patience_s = 3.2;    ///< The user waits so long for an answer to begin,
  double quiet_s = 0.8;       ///< speaks again when the agent has been silent so long after it,
  double max_reply_s = 30.0;  ///< and counts a reply that lasts longer as one that never ends.
  double max_dialog_s =
      std::numeric_limits<double>::infinity();  ///< Nothing new is asked after it.
  Disturbance disturbance = {};                 ///< Its voices are those of other dialogues.
  int num_at_once = 1;  ///< Dialogues side by side, a thread each; more than cores only pays with
                        ///< an engine that shares their steps (batching_engine.h).
};

struct EvalTurnResult {
  std::string id, topic, text, expected, reply;
  std::string heard;      ///< What the model's own recogniser made of the user meanwhile.
  EventScore score;       ///< Of the reply's timing.
  bool is_right = false;  ///< By the text channel.
  std::optional<bool> is_drink_right = std::nullopt;  ///< Of an order, whatever its other slots.
  bool has_false_alarm = false;                       ///< The agent began inside the user's turn.
  bool falls_silent = false;                          ///< Its sound ended within max_reply_s.
  double user_end_s = 0.0, reply_start_s = 0.0, reply_end_s = 0.0;
  int round = 0;
};

struct EvalReport {
  std::string model_name;
  std::vector<EvalTurnResult> turns;
  Estimate answered, right, false_alarm, falls_silent;
  LatencySummary reply_latency;
  std::map<std::string, Estimate> right_by_topic;
  double rtf = 0.0;  ///< Time it took by the audio's length, all dialogues together.

  std::string to_json() const;
  std::string to_text() const;
};

struct EvalHooks {
  std::function<void(std::size_t done, std::size_t total)> on_progress = {};
  std::function<bool()> should_stop = {};
};

/// Asks everything (the report's order is that of `dialogs`); stops early (with what there is) when
/// told to. Throws as AudioFileReader and Session::step do.
EvalReport evaluate_questions(const Engine& engine, const std::vector<EvalDialog>& dialogs,
                              const EvalOptions& options, const EvalHooks& hooks = {});

/// What a model does while nobody talks to it.
struct QuietReport {
  double minutes = 0.0;
  std::vector<Segment> starts;  ///< Agent activity: each is a false start.
  std::string text;             ///< What it said in words.
};

/// Feeds silence (noise_db <= -120) or steady white noise of that level. Deterministic.
QuietReport evaluate_quiet(const Engine& engine, double minutes, double noise_db,
                           const SessionOptions& session = {}, const EvalHooks& hooks = {});

}  // namespace duet::runtime
