#pragma once
// What came of one scripted conversation: each event scored (shared definitions: docs/bench.md).
// Written as one JSON file a dialogue, so that a run can go on where it stopped.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "runtime/bench/conversation.h"
#include "runtime/scorer.h"

namespace duet::runtime::bench {

struct EventResult {
  std::string id;
  Kind kind = Kind::kQuestion;
  Segment user;
  std::string text;                     ///< What the user said.
  std::optional<EventScore> stop;       ///< Interruptions.
  std::optional<EventScore> reply;      ///< Turns that want one.
  std::optional<EventScore> goes_on;    ///< Backchannel, noise, second speaker, echo.
  std::optional<EventScore> pause;      ///< Pauses.
  bool has_control = false;             ///< A run without the event was there to compare.
  bool is_agent_active = false;         ///< At the event's onset.
  std::optional<bool> has_false_alarm;  ///< Turns.
  std::optional<bool> is_right;         ///< Events with a key, by the text channel.
  std::string reply_text;
  int num_false_starts = 0;  ///< Echo: onsets that the control run has not.
};

struct DialogResult {
  std::string id;
  std::string error;  ///< The engine or server failed: one line; then there are no events.
  double duration_s = 0.0;
  std::vector<EventResult> events;
  std::vector<Segment> agent;    ///< Where it is audible.
  std::vector<AgentTurn> turns;  ///< Its words.
  bool has_words = true;         ///< False for finished outputs: only sound is known.
  std::int64_t num_steps = 0;    ///< Control runs included.
  double compute_s = 0.0;
  std::optional<double> lag_s;  ///< Moshi: how far behind the agent's channel came, at worst.
};

/// How long a control run goes on after an event's onset.
double control_seconds(const ScriptEvent& event) noexcept;
/// Whether its score depends on what would have happened without it.
bool needs_control(Kind kind) noexcept;
/// Whether the agent was active long enough before the event for a control run to matter; an echo
/// always does.
bool control_matters(const ScriptEvent& event, const Segment& user, const Activity& agent);

/// `controls`: the agent's activity without event i.
DialogResult score_dialog(const ScriptDialog& dialog, const Recording& recording,
                          const std::map<std::size_t, Activity>& controls);

/// `fingerprint` names what it belongs
/// to.
std::string to_json(const DialogResult& result, const std::string& fingerprint);
/// Nothing when the text is damaged or belongs to something else; without a fingerprint it may
/// belong to anything.
std::optional<DialogResult> dialog_from_json(const std::string& json,
                                             const std::optional<std::string>& fingerprint);

}  // namespace duet::runtime::bench
