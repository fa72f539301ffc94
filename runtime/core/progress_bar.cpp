#include "runtime/core/progress_bar.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace duet::core {
namespace {

constexpr double kTerminalIntervalS = 0.1;
constexpr int kPlainWidth = 160;

int columns(int file_descriptor) {
  winsize size{};
  if (ioctl(file_descriptor, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 80;
}

}  // namespace

std::string format_duration(double seconds) {
  if (!(seconds >= 0.0) || seconds > 1e9) return "?";
  const auto total = static_cast<int64_t>(std::llround(seconds));
  char text[32];
  if (total >= 3600) {
    std::snprintf(text, sizeof text, "%lld:%02lld:%02lld", static_cast<long long>(total / 3600),
                  static_cast<long long>(total / 60 % 60), static_cast<long long>(total % 60));
  } else {
    std::snprintf(text, sizeof text, "%lld:%02lld", static_cast<long long>(total / 60),
                  static_cast<long long>(total % 60));
  }
  return text;
}

std::string progress_line(std::string_view title, int64_t done, int64_t total, double elapsed_s,
                          double remaining_s, std::string_view extra, int width) {
  std::string head(title);
  std::string tail;
  double share = -1.0;
  if (total > 0) {
    share = std::clamp(static_cast<double>(done) / static_cast<double>(total), 0.0, 1.0);
    head += " " + std::to_string(static_cast<int>(share * 100.0)) + "%";
    tail = std::to_string(done) + "/" + std::to_string(total) + " " + format_duration(elapsed_s) +
           " left " + format_duration(remaining_s);
  } else {
    tail = std::to_string(done) + " in " + format_duration(elapsed_s);
  }
  if (!extra.empty()) tail += "  " + std::string(extra);
  const int room = width - static_cast<int>(head.size() + tail.size()) - 4;  // " [" and "] "
  std::string line = head + " ";
  if (share >= 0.0 && room >= 5) {
    const int cells = std::min(room, 30);
    const int filled = static_cast<int>(share * cells);
    line += "[" + std::string(static_cast<size_t>(filled), '#') +
            std::string(static_cast<size_t>(cells - filled), '-') + "] ";
  }
  line += tail;
  if (static_cast<int>(line.size()) > width) line.resize(static_cast<size_t>(std::max(width, 0)));
  return line;
}

ProgressBar::ProgressBar(std::string title, Config config)
    : title_(std::move(title)),
      config_(config),
      is_terminal_(isatty(config.file_descriptor) != 0),
      start_time_(Clock::now()),
      done_(config.start) {}

ProgressBar::ProgressBar(std::string title, int64_t total)
    : ProgressBar(std::move(title), Config{.total = total}) {}

ProgressBar::~ProgressBar() { finish(); }

void ProgressBar::update(int64_t done, std::string_view extra) {
  const double elapsed = elapsed_s();
  const auto fresh = static_cast<double>(done - config_.start);
  const auto left = static_cast<double>(config_.total - done);
  update(done, extra,
         config_.total > 0 && fresh > 0.0 ? elapsed / fresh * std::max(left, 0.0) : -1.0);
}

void ProgressBar::update(int64_t done, std::string_view extra, double remaining_s) {
  if (is_finished_) return;
  done_ = done;
  remaining_s_ = remaining_s;
  extra_ = extra;
  is_dirty_ = true;
  draw(false);
}

void ProgressBar::message(std::string_view line) {
  write((is_terminal_ ? "\r\x1b[K" : "") + std::string(line) + "\n");
  if (is_terminal_ && !is_finished_) draw(true);
}

void ProgressBar::finish() {
  if (is_finished_) return;
  if (is_dirty_) draw(true);
  if (is_terminal_) write("\n");
  is_finished_ = true;
}

double ProgressBar::elapsed_s() const {
  return std::chrono::duration<double>(Clock::now() - start_time_).count();
}

void ProgressBar::draw(bool force) {
  const double now = elapsed_s();
  const double interval = is_terminal_ ? kTerminalIntervalS : config_.plain_interval_s;
  if (!force && now - last_draw_s_ < interval) return;
  last_draw_s_ = now;
  is_dirty_ = false;
  // One column less than the terminal: a full line would wrap.
  const int width = is_terminal_ ? columns(config_.file_descriptor) - 1 : kPlainWidth;
  const std::string line =
      progress_line(title_, done_, config_.total, now, remaining_s_, extra_, width);
  write(is_terminal_ ? "\r\x1b[K" + line : line + "\n");
}

void ProgressBar::write(std::string_view text) const {
  while (!text.empty()) {
    const ssize_t count = ::write(config_.file_descriptor, text.data(), text.size());
    if (count <= 0) return;  // progress is a courtesy: a closed stderr stops nothing
    text.remove_prefix(static_cast<size_t>(count));
  }
}

}  // namespace duet::core
