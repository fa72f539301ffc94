#pragma once
// What was said in a live conversation, both sides, with what the user cannot have heard marked.

#include <string>
#include <string_view>
#include <vector>

#include "runtime/live_worker.h"

namespace duet::runtime {

struct SpokenLine {
  bool is_agent = false;
  double start_s = 0.0;
  double end_s = 0.0;
  std::string text = {};
  /// Bytes of `text` that were heard, at a word's end; all of them unless the agent was cut off.
  std::size_t num_heard = 0;
};

/// The agent's text runs ahead of its voice. When its turn ends early - the model cut it, its pcm
/// falls silent - words that there was no time to speak are unheard. How many there was time for
/// follows from how long it was audible, at the pace of its whole turns so far (15 characters a
/// second until there was one): an estimate, good to a word or two. One thread.
class LiveTranscript {
 public:
  explicit LiveTranscript(const EngineInfo& info);

  void add(const LiveStep& step);
  /// Lines in order of their start; the last ones may still grow.
  const std::vector<SpokenLine>& lines() const noexcept { return lines_; }

  /// "[0:12.3] agent: Sure, a large [unheard: latte coming up]", a line each.
  std::string to_text() const;
  /// SubRip subtitles; unheard words in [brackets].
  std::string to_srt() const;
  /// Schema duet.transcript/1, docs/realtime-audio.md.
  std::string to_json() const;

 private:
  SpokenLine& line(bool is_agent, double time_s, bool is_new);
  void close_agent();

  EngineInfo info_;
  std::vector<SpokenLine> lines_;
  int user_ = -1, agent_ = -1;  // Open lines.
  double last_user_s_ = 0.0;
  double audible_s_ = 0.0;     // Of the agent's open turn.
  double silent_s_ = 0.0;      // Since it was last audible.
  bool has_ended_ = false;     // Its text has.
  bool is_over_user_ = false;  // The user spoke in it.
  double pace_ = 15.0;         // Characters a second.
};

}  // namespace duet::runtime
