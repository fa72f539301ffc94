#pragma once
// Who may come back to which conversation: resume tokens, and the conversations whose clients are
// away. A conversation in here stands still (its seat is paused, but stays taken) until its client
// resumes it or the grace is over.

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "runtime/server/conversation.h"
#include "runtime/server/metrics.h"

namespace duet::server {

/// Any thread.
class Lobby {
 public:
  /// `metrics` must outlive it.
  Lobby(double grace_s, Metrics& metrics);

  /// The conversation is with `holder` from now on. Returns the token by which it can be resumed;
  /// former ones are void.
  std::string enter(const std::string& id, std::weak_ptr<Peer> holder);
  /// Its connection is gone. A conversation that never entered, or whose holder is another by now,
  /// is just dropped.
  void park(std::shared_ptr<Conversation> conversation, Clock::time_point now);
  /// It has ended: nobody can resume it.
  void forget(const std::string& id);

  struct Claim {
    const char* error_code = nullptr;  ///< Not null: refused.
    const char* message = "";
    std::shared_ptr<Conversation> conversation = {};  ///< It was parked; still paused.
    std::shared_ptr<Peer> holder = {};                ///< Else: whom to ask for it.
  };
  /// Codes: invalid_resume_token, session_resume_expired, session_resume_conflict,
  /// invalid_session_resume (no such conversation).
  Claim claim(const std::string& id, const std::string& token);
  /// A claim could not be fulfilled after all.
  void release(const std::string& id);

  /// Ends what nobody came back to.
  void expire(Clock::time_point now);
  void clear();

 private:
  struct Entry {
    std::string token_digest;
    std::weak_ptr<Peer> holder;
    std::shared_ptr<Conversation> parked;
    Clock::time_point until;
    bool is_moving = false;
  };

  const Clock::duration grace_;
  Metrics* metrics_;
  std::mutex mutex_;  // Guards the rest.
  std::map<std::string, Entry> entries_;
  std::deque<std::string> expired_;  // The last few ids.
};

}  // namespace duet::server
