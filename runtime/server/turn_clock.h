#pragma once
// Who speaks, step by step: borders of the user's speech from the model's own speech head, and the
// two latencies that follow from them. Steps are the clock, so a burst counts as it would have
// live.

#include <cstdint>

#include "runtime/server/metrics.h"
#include "runtime/server/scheduler.h"

namespace duet::server {

/// The user's speech begins when it was likely for two steps and ends after six unlikely ones
/// (480 ms; the protocol's default is 500). Engines without a speech head are judged by the level
/// of the input.
class TurnClock {
 public:
  static constexpr int kStartSteps = 2, kStopSteps = 6;

  /// `info` and `metrics` must outlive it.
  TurnClock(const runtime::EngineInfo& info, Metrics& metrics);
  void follow(const Step& step);

  bool user_started() const noexcept { return user_started_; }  ///< In the last step.
  bool user_stopped() const noexcept { return user_stopped_; }  ///< In the last step.
  bool user_speaks() const noexcept { return user_speaks_; }
  bool agent_in_turn() const noexcept { return agent_in_turn_; }
  /// Of the last border, in milliseconds of input since the conversation began.
  std::int64_t user_start_ms() const noexcept { return to_ms(user_start_); }
  std::int64_t user_stop_ms() const noexcept { return to_ms(user_stop_); }

 private:
  std::int64_t to_ms(std::int64_t step) const noexcept;
  void follow_agent(const Step& step);

  const runtime::EngineInfo* info_;
  Metrics* metrics_;
  std::int64_t user_start_ = 0, user_stop_ = 0;  // Steps.
  int num_loud_ = 0, num_quiet_ = 0;
  bool user_speaks_ = false, user_started_ = false, user_stopped_ = false;
  bool agent_in_turn_ = false, reply_is_due_ = false, stop_is_due_ = false;
};

}  // namespace duet::server
