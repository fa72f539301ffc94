#pragma once
// What a live conversation looks like: two lanes of words, and below them who holds the floor,
// levels, latencies, lag and step time. On a terminal the lower lines redraw; elsewhere only words
// and notices are written, line by line.

#include <cstdint>
#include <optional>
#include <ostream>
#include <string>

#include "audio/duplex_stream.h"
#include "runtime/engine.h"
#include "runtime/live_worker.h"

namespace duet::runtime {

/// Follows a conversation step by step: floor and latencies of the last turn. One thread.
class FloorTracker {
 public:
  enum class Floor { kNobody, kUser, kAgent, kBoth };

  explicit FloorTracker(const EngineInfo& info) : info_(info) {}
  void add(const LiveStep& step);
  Floor floor() const noexcept { return floor_; }
  /// User's last end to the agent's onset; of the agent's sound to the user's onset in it. Steps
  /// are the grain; timeline.json of a recording is finer.
  std::optional<double> reply_latency_s() const noexcept { return reply_s_; }
  std::optional<double> stop_latency_s() const noexcept { return stop_s_; }

 private:
  EngineInfo info_;
  Floor floor_ = Floor::kNobody;
  std::optional<double> reply_s_, stop_s_, user_end_s_, interrupted_s_;
  bool is_user_ = false, is_agent_ = false;
};

/// "[#####-----]": `peak` from -60 dBFS on, `width` marks.
std::string level_bar(float peak, std::size_t width);

/// One thread.
class LiveView {
 public:
  struct Config {
    bool is_terminal = false;
    std::size_t columns = 80;
    double step_ms = 80.0;
  };
  /// `out` must outlive it.
  LiveView(std::ostream& out, const EngineInfo& info, const Config& config);

  void add(const LiveStep& step);
  /// A line of its own.
  void notice(const std::string& text);
  /// Redraws the status; on a terminal only. `is_muted`: as the user asked.
  void draw(const audio::StreamMeters& meters, const audio::StreamCounters& counters, bool is_muted,
            float volume);
  /// Ends open lines and clears the status.
  void finish();

 private:
  void word(bool is_agent, double time_s, const std::string& text);
  void end_line();
  void clear_status();
  std::string status(const audio::StreamMeters& meters, const audio::StreamCounters& counters,
                     bool is_muted, float volume) const;

  std::ostream& out_;
  EngineInfo info_;
  Config config_;
  FloorTracker floor_;
  std::string user_, agent_;  // Open lines.
  double user_s_ = 0.0, agent_s_ = 0.0, last_word_s_ = 0.0;
  int num_status_lines_ = 0;
  double lag_ms_ = 0.0, step_ms_ = 0.0, compute_max_ms_ = 0.0;
  std::int64_t num_misses_ = 0;
  audio::EchoReport echo_;
  bool is_half_duplex_ = false;
};

}  // namespace duet::runtime
