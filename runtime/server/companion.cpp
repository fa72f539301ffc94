#include "runtime/server/companion.h"

#include <algorithm>

#include "runtime/core/log.h"

namespace duet::server {
namespace {

/// Words come up to so many steps after the speech they were heard in.
constexpr int kLateWordSteps = 4;
constexpr std::size_t kMaxHistory = 40;

std::string trimmed(const std::string& text) {
  const std::size_t begin = text.find_first_not_of(' ');
  return begin == std::string::npos ? "" : text.substr(begin);
}

}  // namespace

Companion::Companion(std::shared_ptr<Seat> seat, Metrics& metrics, Config config)
    : seat_(std::move(seat)),
      metrics_(&metrics),
      config_(std::move(config)),
      turn_(std::make_shared<std::atomic<std::int64_t>>(0)) {}

Companion::~Companion() { turn_->fetch_add(1); }

void Companion::follow(const Step& step, const TurnClock& clock) {
  if (recording_) recording_->add(step);
  user_words_ += step.out.user_text;
  agent_words_ += step.out.agent_text;
  if (clock.user_started()) {
    turn_->fetch_add(1);
    steps_to_ask_ = -1;
  }
  if (clock.user_stopped()) steps_to_ask_ = kLateWordSteps;
  if (steps_to_ask_ >= 0 && steps_to_ask_-- == 0) {
    if (const std::string words = trimmed(std::exchange(user_words_, {})); on_turn_)
      on_turn_(words);
    else
      ask(words);
  }
  if (step.out.agent_turn_ended) {
    if (const std::string words = trimmed(std::exchange(agent_words_, {})); !words.empty())
      history_.emplace_back("assistant", words);
  }
  if (history_.size() > kMaxHistory) history_.erase(history_.begin());
  watch(step, clock);
}

void Companion::watch(const Step& step, const TurnClock& clock) {
  if (config_.watchdog.silent_s <= 0.0) return;
  if (clock.user_stopped()) quiet_steps_ = 0;
  if (clock.user_speaks() || clock.agent_in_turn() || step.out.agent_turn_started)
    quiet_steps_ = -1;
  if (quiet_steps_ < 0) return;
  const double quiet_s = static_cast<double>(++quiet_steps_) * seat_->info().step_seconds;
  if (quiet_s < config_.watchdog.silent_s) return;
  quiet_steps_ = -1;
  metrics_->watchdog_fired.fetch_add(1, std::memory_order_relaxed);
  core::log_info('[' + config_.session_id + "] the watchdog makes the agent speak");
  seat_->begin_turn(0);
}

void Companion::ask(const std::string& words) {
  if (config_.delegate == nullptr) return;
  const std::int64_t turn = turn_->load();
  DelegateQuestion question{.id = "dlg_" + config_.session_id + '_' + std::to_string(turn),
                            .session = config_.session_id,
                            .user = words,
                            .history = history_};
  history_.emplace_back("user", words);
  config_.delegate->ask(
      question, [seat = std::weak_ptr<Seat>(seat_), now = turn_, turn](const std::string& answer) {
        const auto alive = seat.lock();
        // The user has gone on meanwhile: an answer to what was said before would interrupt.
        if (alive && !answer.empty() && now->load() == turn) alive->say(answer);
      });
}

void Companion::consent_to_recording() {
  if (config_.recording_folder.empty() || recording_) return;
  recording_ = Recording::open(config_.recording_folder, config_.session_id, seat_->info());
  if (!recording_) return;
  seat_->keep_input();
  metrics_->recordings.fetch_add(1, std::memory_order_relaxed);
  core::log_info('[' + config_.session_id + "] is recorded: operator and client agree");
}

}  // namespace duet::server
