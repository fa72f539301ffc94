#pragma once
// What an operator watches, counted without locks and shown in Prometheus' text format
// (https://prometheus.io/docs/instrumenting/exposition_formats/, version 0.0.4).

#include <array>
#include <atomic>
#include <cstdint>
#include <string>

namespace duet::server {

/// Counts of durations by upper bound. Any thread.
class Histogram {
 public:
  static constexpr std::array<double, 14> kBoundsS = {0.002, 0.005, 0.01, 0.02, 0.03, 0.04, 0.06,
                                                      0.08,  0.12,  0.2,  0.5,  1.0,  2.0,  5.0};
  void observe(double seconds) noexcept;
  std::uint64_t count() const noexcept { return count_.load(std::memory_order_relaxed); }
  void write(std::string& text, const std::string& name, const std::string& help) const;

 private:
  std::array<std::atomic<std::uint64_t>, kBoundsS.size()> buckets_{};
  std::atomic<std::uint64_t> count_{0}, sum_us_{0};
};

/// One server's numbers. Relaxed atomics: each is right, together they are a snapshot only roughly.
struct Metrics {
  std::atomic<std::int64_t> sessions{0}, sessions_parked{0}, waiting{0}, capacity{0},
      connections{0};
  std::atomic<std::uint64_t> sessions_admitted{0}, sessions_refused{0}, sessions_failed{0},
      sessions_resumed{0}, sessions_abandoned{0}, delegations_asked{0}, delegations_answered{0},
      delegations_failed{0}, watchdog_fired{0}, recordings{0}, connections_refused{0},
      auth_refused{0}, steps{0}, shared_steps{0}, silent_steps{0}, deadline_misses{0},
      bytes_received{0}, bytes_sent{0}, messages_received{0}, messages_sent{0},
      messages_discarded{0}, bad_messages{0};
  Histogram step_seconds;   ///< Time of one step of the model.
  Histogram wait_seconds;   ///< From the moment a step was due to its beginning.
  Histogram lag_seconds;    ///< From the moment a step was due to its end.
  Histogram reply_seconds;  ///< User's end of speech to the first step of the agent's turn.
  Histogram stop_seconds;   ///< User's onset while the agent speaks to the end of its turn.

  std::string to_text() const;
};

}  // namespace duet::server
