#pragma once
// What goes along with every conversation, whatever its dialect: the watchdog that makes a stuck
// agent speak, the operator's program that is asked after each turn of the user, and the recording
// that both sides agreed to.

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "runtime/server/delegate.h"
#include "runtime/server/recorder.h"
#include "runtime/server/scheduler.h"
#include "runtime/server/turn_clock.h"

namespace duet::server {

/// Off by default: a model that never answers is a matter for its training, and some users like to
/// think aloud.
struct WatchdogConfig {
  double silent_s = 0.0;  ///< After the user's turn, without an answer; 0: off.
};

/// The thread of the conversation's holder.
class Companion {
 public:
  struct Config {
    std::string session_id = {};
    WatchdogConfig watchdog = {};
    Delegate* delegate = nullptr;       ///< Null: nobody is asked. Must outlive the conversation.
    std::string recording_folder = {};  ///< Empty: the operator records nothing.
  };
  Companion(std::shared_ptr<Seat> seat, Metrics& metrics, Config config);
  ~Companion();

  /// Each step, after `clock` followed it.
  void follow(const Step& step, const TurnClock& clock);
  /// The user's turn, a few steps after its end: its words may come late. Called instead of the
  /// operator's program; that is how a client is asked.
  void set_on_turn(std::function<void(const std::string& words)> on_turn) {
    on_turn_ = std::move(on_turn);
  }
  /// The client agrees to being recorded. Without the operator's folder this does nothing.
  void consent_to_recording();
  bool is_recording() const noexcept { return recording_ != nullptr; }

 private:
  void watch(const Step& step, const TurnClock& clock);
  void ask(const std::string& words);

  std::shared_ptr<Seat> seat_;
  Metrics* metrics_;
  Config config_;
  std::function<void(const std::string&)> on_turn_;
  std::string user_words_, agent_words_;
  std::vector<std::pair<std::string, std::string>> history_;
  std::shared_ptr<std::atomic<std::int64_t>>
      turn_;  // Of the user; answers to former ones are late.
  int steps_to_ask_ = -1;
  std::int64_t quiet_steps_ = -1;  // Since the user's turn, -1: no answer is due.
  std::unique_ptr<Recording> recording_;
};

}  // namespace duet::server
