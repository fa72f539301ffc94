#include <algorithm>
#include <cmath>

#include "runtime/bench/dialog_result.h"

namespace duet::runtime::bench {

namespace {

/// A control run has to show 1.5 s, and the silence of 0.2 s that would end an activity.
constexpr double kControlMarginSeconds = 0.3;
/// An activity that ends this close before the end of the recording may have gone on.
constexpr double kMinStopSilenceSeconds = 0.2;
/// Onsets of the run and of its control this close are the same.
constexpr double kSameOnsetSeconds = 0.1;
/// A reply's text may begin this long before the user's last sound has been heard out.
constexpr double kEarlyTextSeconds = 0.3;

EventKind scored_as(Kind kind) {
  switch (kind) {
    case Kind::kQuestion: return EventKind::kQuestion;
    case Kind::kInterruption: return EventKind::kInterruption;
    case Kind::kBackchannel: return EventKind::kBackchannel;
    case Kind::kPause: return EventKind::kPause;
    case Kind::kNoise:
    case Kind::kSecondSpeaker:
    case Kind::kEcho: break;
  }
  return EventKind::kNoise;
}

int count_false_starts(const Segment& echo, const Activity& agent, const Activity& control) {
  int count = 0;
  for (const Segment& segment : agent.segments) {
    if (!echo.contains(segment.start_s)) continue;
    count += std::none_of(control.segments.begin(), control.segments.end(), [&](const Segment& s) {
      return std::abs(s.start_s - segment.start_s) <= kSameOnsetSeconds;
    });
  }
  return count;
}

class DialogScorer {
 public:
  DialogScorer(const ScriptDialog& dialog, const Recording& recording,
               const std::map<std::size_t, Activity>& controls)
      : dialog_(dialog), recording_(recording), controls_(controls) {}

  DialogResult score() const {
    DialogResult result;
    result.id = dialog_.id;
    result.duration_s = recording_.activity.end_s;
    result.agent = recording_.activity.segments;
    result.turns = recording_.turns;
    for (std::size_t i = 0; i < recording_.places.size(); ++i)
      result.events.push_back(score_event_at(i));
    return result;
  }

 private:
  EventResult score_event_at(std::size_t index) const {
    const ScriptEvent& event = dialog_.events[index];
    const Activity& agent = recording_.activity;
    const Segment user = recording_.places[index].user;
    const auto found = controls_.find(index);
    const Activity* control = found == controls_.end() ? nullptr : &found->second;
    EventResult result;
    result.id = event.id;
    result.kind = event.kind;
    result.user = user;
    result.text = event.text;
    result.has_control = control != nullptr;
    result.is_agent_active = agent.at(user.start_s) != nullptr;
    const EventScore score =
        score_event({scored_as(event.kind), user}, next_turn_s(index), agent, control);
    if (event.kind == Kind::kInterruption) result.stop = with_short_stop(score, user);
    if (event.kind == Kind::kPause) {
      const Segment silence{user.end_s, recording_.places[index + 1].user.start_s};
      result.pause = score_event({EventKind::kPause, silence}, kInfinity, agent);
    } else if (!event.is_turn()) {
      result.goes_on = score;
    }
    if (event.kind == Kind::kEcho && control != nullptr)
      result.num_false_starts = count_false_starts(user, agent, *control);
    if (event.is_turn())
      result.has_false_alarm = !score_false_alarms(user, agent, recording_.turns).empty();
    if (event.wants_reply) {
      result.reply = score_event({EventKind::kQuestion, user}, next_turn_s(index), agent);
      result.reply_text = reply_text(index);
      if (event.key) result.is_right = runtime::is_right(result.reply_text, *event.key);
    }
    return result;
  }

  /// The paper counts every agent that speaks at the onset, however short a while: its stop is
  /// known although ours does not count it.
  EventScore with_short_stop(EventScore score, const Segment& user) const {
    const Activity& agent = recording_.activity;
    const Segment* running = agent.at(user.start_s);
    const bool ends = running != nullptr && running->end_s < agent.end_s - kMinStopSilenceSeconds;
    if (!score.is_counted && ends) score.latency_s = running->end_s - user.start_s;
    return score;
  }

  /// Onset of the next turn after event `index`.
  double next_turn_s(std::size_t index) const {
    for (std::size_t i = index + 1; i < recording_.places.size(); ++i)
      if (dialog_.events[i].is_turn()) return recording_.places[i].user.start_s;
    return kInfinity;
  }

  /// What the agent said from the end of this turn to the onset of the next; what it begins inside
  /// a turn answers nothing.
  std::string reply_text(std::size_t index) const {
    const double begin_s = recording_.places[index].user.end_s - kEarlyTextSeconds;
    const double end_s = next_turn_s(index);
    std::string text;
    for (const AgentTurn& turn : recording_.turns) {
      if (turn.start_s < begin_s || turn.start_s >= end_s || turn.text.empty()) continue;
      text += (text.empty() ? "" : " ") + turn.text;
    }
    return text;
  }

  const ScriptDialog& dialog_;
  const Recording& recording_;
  const std::map<std::size_t, Activity>& controls_;
};

}  // namespace

double control_seconds(const ScriptEvent& event) noexcept {
  const double seconds = event.kind == Kind::kEcho ? event.seconds : 0.0;
  return std::max(seconds, kControlGoesOnSeconds) + kControlMarginSeconds;
}

bool needs_control(Kind kind) noexcept { return kind != Kind::kQuestion && kind != Kind::kPause; }

bool control_matters(const ScriptEvent& event, const Segment& user, const Activity& agent) {
  if (!needs_control(event.kind)) return false;
  return event.kind == Kind::kEcho || measure_stop(user, agent).is_counted;
}

DialogResult score_dialog(const ScriptDialog& dialog, const Recording& recording,
                          const std::map<std::size_t, Activity>& controls) {
  return DialogScorer(dialog, recording, controls).score();
}

}  // namespace duet::runtime::bench
