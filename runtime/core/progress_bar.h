#pragma once
// Progress of a long job on stderr: a bar that redraws itself on a terminal, a plain line now and
// then elsewhere.

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace duet::core {

/// "1:02:03" or "2:03"; "?" for a negative (unknown) time.
std::string format_duration(double seconds);

/// One line of progress, `width` columns at most:
/// "train 42% [#####-------] 420/1000 3:20 left 4:36  loss 1.23". total <= 0 means unknown: no bar,
/// no time left.
std::string progress_line(std::string_view title, int64_t done, int64_t total, double elapsed_s,
                          double remaining_s, std::string_view extra, int width);

/// Not thread-safe. Draws at most ten times a second on a terminal and every `plain_interval_s`
/// otherwise, so update() may be called as often as is convenient.
class ProgressBar {
 public:
  struct Config {
    int64_t total = 0;  ///< Units of work; <= 0: unknown.
    int64_t start =
        0;  ///< Units done before this run (a resumed job): they do not count for the rate.
    double plain_interval_s = 10.0;  ///< Between lines when the output is no terminal.
    int file_descriptor = 2;         ///< Where it draws; stderr.
  };

  ProgressBar(std::string title, Config config);
  ProgressBar(std::string title, int64_t total);
  ~ProgressBar();  ///< Ends the line, as finish().
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  /// `done` of the total; `extra` is shown after it ("loss 1.23, 5.1 batches/s").
  void update(int64_t done, std::string_view extra = {});

  /// The same when the end is known better than by the rate of units, e.g. from a time budget.
  void update(int64_t done, std::string_view extra, double remaining_s);

  /// Prints a line of its own without garbling the bar.
  void message(std::string_view line);

  /// Draws the last state and ends the line. Further calls do nothing.
  void finish();

 private:
  using Clock = std::chrono::steady_clock;

  double elapsed_s() const;
  void draw(bool force);
  void write(std::string_view text) const;

  const std::string title_;
  const Config config_;
  const bool is_terminal_;
  const Clock::time_point start_time_;
  double last_draw_s_ = -1e9;
  int64_t done_ = 0;
  double remaining_s_ = -1.0;
  std::string extra_;
  bool is_dirty_ = false;
  bool is_finished_ = false;
};

}  // namespace duet::core
