#include "runtime/server/outbox.h"

#include <algorithm>
#include <utility>

namespace duet::server {

Outbox::Result Outbox::push(OutMessage message, Lane lane) {
  const std::size_t after = num_bytes_ + message.data.size();
  if (lane == Lane::kAudio && after > max_bytes_) return Result::kDiscarded;
  if (after > 2 * max_bytes_) return Result::kOverflow;
  num_bytes_ = after;
  messages_.push_back(std::move(message));
  return Result::kQueued;
}

void Outbox::pop() {
  num_bytes_ -= messages_.front().data.size();
  messages_.pop_front();
}

Clock::duration RateLimit::take(Clock::time_point now) {
  const double passed_s = std::chrono::duration<double>(now - last_).count();
  last_ = now;
  tokens_ = std::min(per_s_, tokens_ + passed_s * per_s_) - 1.0;
  if (tokens_ >= 0.0) return Clock::duration::zero();
  return std::chrono::duration_cast<Clock::duration>(
      std::chrono::duration<double>(-tokens_ / per_s_));
}

}  // namespace duet::server
