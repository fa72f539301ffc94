#include "runtime/transcript_view.h"

#include <algorithm>
#include <cstdio>

namespace duet::runtime {

namespace {

constexpr std::size_t kStampWidth = 9;
constexpr std::size_t kMinWidth = 50;
constexpr double kPauseSeconds = 1.0;
/// A line is full that many columns before the next begins: endings of its last word may still
/// come.
constexpr std::size_t kRoomForEndings = 3;

/// Code points of UTF-8: bytes that do not continue one.
std::size_t num_columns(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U;
  }));
}

}  // namespace

TranscriptView::TranscriptView(std::ostream& stream, std::size_t width)
    : stream_(stream), column_width_((std::max(width, kMinWidth) - kStampWidth) / 2) {}

void TranscriptView::header() {
  stream_ << "   time  user" << std::string(column_width_ - 4, ' ') << "agent\n" << std::flush;
}

void TranscriptView::begin_line(Side side, double time_s) {
  if (side_ != Side::kNone) stream_ << '\n';
  char time[32];
  std::snprintf(time, sizeof time, "%7.2f  ", time_s);
  stream_ << time;
  if (side == Side::kAgent) stream_ << std::string(column_width_, ' ');
  side_ = side;
  used_ = 0;
}

void TranscriptView::add(Side side, double time_s, std::string_view text) {
  // Word by word; control characters from a model must not reach the terminal.
  // Pieces come as the model makes them: one without a space before it goes on with the last word,
  // whose line it keeps.
  const bool starts_word = text.empty() || text.front() == ' ';
  const bool has_paused = time_s - last_s_ > kPauseSeconds && starts_word;
  const bool breaks = side != side_ || has_paused || (side == Side::kAgent && is_new_turn_);
  if (breaks) begin_line(side, time_s);
  if (side == Side::kAgent) is_new_turn_ = false;
  last_s_ = time_s;
  for (std::size_t at = 0; at < text.size();) {
    std::size_t end = text.find(' ', at + 1);
    end = std::min(end, text.size());
    std::string word(text.substr(at, end - at));
    std::erase_if(word, [](char c) { return static_cast<unsigned char>(c) < 0x20U || c == 0x7F; });
    const bool is_word = !word.empty() && word.front() == ' ';
    if (is_word && used_ > 0 && used_ + num_columns(word) > column_width_ - kRoomForEndings)
      begin_line(side, time_s);
    if (used_ == 0 && is_word) word.erase(0, 1);
    stream_ << word;
    used_ += num_columns(word);
    at = end;
  }
  stream_ << std::flush;
}

void TranscriptView::finish() {
  if (side_ != Side::kNone) stream_ << '\n' << std::flush;
  side_ = Side::kNone;
}

}  // namespace duet::runtime
