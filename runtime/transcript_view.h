#pragma once
// Both voices as text in two columns against time, written as the words come.

#include <cstddef>
#include <ostream>
#include <string>
#include <string_view>

namespace duet::runtime {

/// Lines like "   2.16                             Seven plus five is twelve." A line is broken
/// when the other side speaks, when it is full, or when its side paused for longer than 1 s; words
/// are flushed one by one. One thread.
class TranscriptView {
 public:
  /// `width` of the terminal in columns, at least 50. The stream must outlive the view.
  explicit TranscriptView(std::ostream& stream, std::size_t width = 80);

  void header();
  void user_words(double time_s, std::string_view text) { add(Side::kUser, time_s, text); }
  void agent_words(double time_s, std::string_view text) { add(Side::kAgent, time_s, text); }
  /// The agent's next words begin a line.
  void agent_turn() { is_new_turn_ = true; }
  /// Ends an open line.
  void finish();

 private:
  enum class Side { kNone, kUser, kAgent };

  void add(Side side, double time_s, std::string_view text);
  void begin_line(Side side, double time_s);

  std::ostream& stream_;
  std::size_t column_width_;
  Side side_ = Side::kNone;
  std::size_t used_ = 0;
  double last_s_ = 0.0;
  bool is_new_turn_ = false;
};

}  // namespace duet::runtime
