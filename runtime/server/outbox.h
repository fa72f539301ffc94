#pragma once
// Messages on their way to one client, bounded: when it reads too slowly its audio is dropped, and
// when even the rest piles up it is given up.

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "runtime/server/dialect.h"

namespace duet::server {

struct OutMessage {
  std::vector<std::uint8_t> data;
  bool is_text = false;
};

/// One thread.
class Outbox {
 public:
  enum class Result { kQueued, kDiscarded, kOverflow };
  /// Audio is dropped above `max_bytes`; kOverflow above twice as much.
  explicit Outbox(std::size_t max_bytes) : max_bytes_(max_bytes) {}

  Result push(OutMessage message, Lane lane);
  bool empty() const noexcept { return messages_.empty(); }
  /// The message being written; it counts until pop().
  const OutMessage& front() const { return messages_.front(); }
  void pop();
  std::size_t num_bytes() const noexcept { return num_bytes_; }

 private:
  std::size_t max_bytes_, num_bytes_ = 0;
  std::deque<OutMessage> messages_;
};

/// Lets `per_s` through on average and a second's worth at once.
class RateLimit {
 public:
  RateLimit(double per_s, Clock::time_point now) : per_s_(per_s), tokens_(per_s), last_(now) {}
  /// Counts one; returns how long to wait before the next.
  Clock::duration take(Clock::time_point now);

 private:
  double per_s_, tokens_;
  Clock::time_point last_;
};

}  // namespace duet::server
