#pragma once
// Full-Duplex-Bench's metrics from words and speech segments. Source:
// DanielLin94144/Full-Duplex-Bench, v1_v1.5/evaluation/eval_*.py and get_timing.py, as they are
// coded (the comments there say other figures in places). Where the code has quirks,
// `is_compatible` keeps them; docs/bench.md lists them. Nothing here reads a file.

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "runtime/activity.h"

namespace duet::runtime::bench::fdb {

/// A word of a transcript ("chunk" there).
struct Word {
  std::string text;
  double start_s = 0.0;
  double end_s = 0.0;
};

/// Take-over (TOR of one sample): more than three words, or a second and more from the first word's
/// start to the last one's end.
bool takes_turn(std::span<const Word> words);

/// The first word's start after `user_end_s`, of samples that took the turn; an agent that was
/// earlier counts as 0.
std::optional<double> turn_latency_s(std::span<const Word> words, double user_end_s);

/// What is left of a transcript when the audio before `from_s` is cut off.
std::vector<Word> crop(std::span<const Word> words, double from_s);

struct Backchannels {
  bool takes_turn = false;
  std::vector<Segment> predicted;
};
/// Segments longer than 3 s are a turn and end the walk; others are backchannels when they are
/// shorter than 1 s and at most two words overlap them, else turns. Compatible: the sample's
/// verdict is that of the last segment walked, and a turn empties the list of backchannels.
/// Otherwise: any turn makes the sample one, and every backchannel stays in the list.
Backchannels find_backchannels(std::span<const Segment> segments, std::span<const Word> words,
                               bool is_compatible);

/// Jensen-Shannon distance (base e, the square root of the divergence) between where backchannels
/// lie, counted in windows of 0.2 s, and the people's distribution, stretched linearly to as many
/// windows. 1 without any backchannel.
double backchannel_jsd(std::span<const Segment> predicted, double duration_s,
                       std::span<const double> people);

/// Merges segments with gaps up to and with `gap_s`: 0.6 s of users, 0.5 s of models.
inline constexpr double kUserMergeSeconds = 0.6, kModelMergeSeconds = 0.5;
std::vector<Segment> merge(std::vector<Segment> segments, double gap_s);

/// v1.5's latency_stop_list: where both speak, one a rounded end. Its length is the stop latency.
std::vector<Segment> overlaps(std::span<const Segment> user, std::span<const Segment> model);
/// v1.5's latency_resp_list: from a user's end to the model's next start. Its length is the
/// response latency.
std::vector<Segment> response_gaps(std::span<const Segment> user, std::span<const Segment> model);

}  // namespace duet::runtime::bench::fdb
