#pragma once
// What the echo path did to a conversation with the model, by its audio alone, against a control:
// the same conversation, same seed, without a way from the loudspeaker to the microphone. And
// levels of speech, for both halves of `duet bench echo`. Pure functions.

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "runtime/activity.h"

namespace duet::runtime {

struct OwnEchoScore {
  double playback_s = 0.0;       ///< The agent is audible.
  std::vector<double> stops_s;   ///< When it fell silent and the control went on.
  std::vector<double> starts_s;  ///< When it began and the control was silent.
};

/// A reply is the agent's activity with gaps below 0.7 s closed. False stop: a reply ends with no
/// user audible in the 1.5 s before, and 1.5 s later the control has not ended its own. False
/// start: a reply begins with no user audible in the 1.5 s before, and the control is silent for
/// 1.5 s before and after. Both end at `until_s`: what cannot be compared for 1.5 s more does not
/// count.
OwnEchoScore score_own_echo(const Activity& agent, const Activity& control,
                            std::span<const Segment> users, double until_s);

/// `text` is an answer of its own and not the control's cut off: not the control's beginning, and
/// it ends as a sentence does. (What was heard before the answer may have been another question.)
bool is_other_answer(std::string_view text, std::string_view control);

/// Most events an hour that `num` of them in `hours` still allow (one-sided 95 %, Poisson): three
/// over the hours when there was none.
double most_per_hour(int num, double hours);

/// Level of the active parts of speech: of the louder half of its 10 ms frames.
double active_db(std::vector<float> levels_db);
double active_dbfs(std::span<const float> samples);  ///< The same; 16 kHz.
/// The same speech with that level at `dbfs`.
std::vector<float> at_level(std::span<const float> samples, double dbfs);

double energy(std::span<const float> samples);
/// 10 log10 of a ratio of powers, -200 at least.
double power_db(double ratio);
/// Gain that `near` has in `out`, a signal of the same length that holds it and others [dB].
double kept_db(std::span<const float> near, std::span<const float> out);

}  // namespace duet::runtime
