#include "runtime/server/dialect.h"

#include <algorithm>

namespace duet::server {

InputPath::InputPath(Seat& seat, int rate_hz)
    : seat_(&seat),
      resampler_(rate_hz, seat.info().input_rate_hz),
      framer_(static_cast<std::size_t>(seat.info().block_samples)),
      block_(static_cast<std::size_t>(seat.info().block_samples)) {}

void InputPath::set_rate(int rate_hz) {
  if (rate_hz == resampler_.input_rate_hz()) return;
  resampled_.clear();
  resampler_.flush(resampled_);
  framer_.push(resampled_);
  resampler_ = audio::Resampler(rate_hz, seat_->info().input_rate_hz);
}

void InputPath::feed(std::span<const float> samples) {
  has_heard_ = has_heard_ || !samples.empty();
  resampled_.clear();
  resampler_.process(samples, resampled_);
  for (float& x : resampled_) x = std::clamp(x, -1.0F, 1.0F);
  framer_.push(resampled_);
  pump();
}

bool InputPath::pump() {
  while (has_block_ || framer_.pop(block_)) {
    has_block_ = !seat_->push(block_);
    if (has_block_) return false;
  }
  return true;
}

void InputPath::clear() {
  framer_.reset();
  resampler_.reset();
  has_block_ = false;
  has_heard_ = false;
  seat_->drop_input();
}

LimitWatch::LimitWatch(const SessionLimits& limits, Clock::time_point start)
    : limits_(limits), start_(start), last_(start) {}

void LimitWatch::touch(Clock::time_point now) noexcept {
  last_ = now;
  idle_warned_ = false;
}

LimitWatch::Event LimitWatch::check(Clock::time_point now) noexcept {
  const double age_s = std::chrono::duration<double>(now - start_).count();
  const double idle_s = std::chrono::duration<double>(now - last_).count();
  if (age_s >= limits_.max_session_s) return Event::kEndLength;
  if (idle_s >= limits_.idle_s) return Event::kEndIdle;
  if (!length_warned_ && age_s >= limits_.max_session_s - limits_.warning_s) {
    length_warned_ = true;
    return Event::kWarnLength;
  }
  if (!idle_warned_ && idle_s >= limits_.idle_s - limits_.warning_s) {
    idle_warned_ = true;
    return Event::kWarnIdle;
  }
  return Event::kNone;
}

}  // namespace duet::server
