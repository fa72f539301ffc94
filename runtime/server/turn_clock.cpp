#include "runtime/server/turn_clock.h"

#include <algorithm>
#include <cmath>

namespace duet::server {
namespace {

constexpr float kStartProbability = 0.6F, kKeepProbability = 0.4F;
constexpr float kStartLevel = 0.01F, kKeepLevel = 0.005F;  // -40 and -46 dBFS.

}  // namespace

TurnClock::TurnClock(const runtime::EngineInfo& info, Metrics& metrics)
    : info_(&info), metrics_(&metrics) {}

std::int64_t TurnClock::to_ms(std::int64_t step) const noexcept {
  const double lookahead_s = static_cast<double>(info_->encoder_lookahead_samples) /
                             static_cast<double>(info_->input_rate_hz);
  const double time_s = static_cast<double>(step) * info_->step_seconds - lookahead_s;
  return std::max<std::int64_t>(0, std::llround(time_s * 1000.0));
}

void TurnClock::follow(const Step& step) {
  const float value = info_->has_user_activity ? step.out.user_speaking : step.input_level;
  const float start = info_->has_user_activity ? kStartProbability : kStartLevel;
  const float keep = info_->has_user_activity ? kKeepProbability : kKeepLevel;
  num_loud_ = value > start ? num_loud_ + 1 : 0;
  num_quiet_ = value < keep ? num_quiet_ + 1 : 0;
  user_started_ = !user_speaks_ && num_loud_ >= kStartSteps;
  user_stopped_ = user_speaks_ && num_quiet_ >= kStopSteps;
  if (user_started_) {
    user_start_ = step.index - kStartSteps + 1;
    stop_is_due_ = agent_in_turn_;
    reply_is_due_ = false;
  }
  if (user_stopped_) user_stop_ = step.index - kStopSteps + 1;
  if (user_speaks_ && num_quiet_ == 1) {
    user_stop_ = step.index;  // Its end, if it stays quiet; a reply may come before that is known.
    reply_is_due_ = true;
  }
  user_speaks_ = (user_speaks_ || user_started_) && !user_stopped_;
  follow_agent(step);
}

void TurnClock::follow_agent(const Step& step) {
  const auto since = [&](std::int64_t from) {
    return static_cast<double>(step.index + 1 - from) * info_->step_seconds;
  };
  if (step.out.agent_turn_started) {
    if (reply_is_due_) metrics_->reply_seconds.observe(since(user_stop_));
    reply_is_due_ = false;
    agent_in_turn_ = true;
  }
  if (step.out.agent_turn_ended) {
    if (stop_is_due_) metrics_->stop_seconds.observe(since(user_start_));
    stop_is_due_ = false;
    agent_in_turn_ = false;
  }
}

}  // namespace duet::server
