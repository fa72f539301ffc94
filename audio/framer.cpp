#include "audio/framer.h"

#include <algorithm>

#include "runtime/core/error.h"

namespace duet::audio {

Framer::Framer(std::size_t block_samples, std::size_t capacity_samples)
    : block_samples_(block_samples) {
  DUET_CHECK(block_samples > 0);
  buffer_.reserve(capacity_samples > 0 ? capacity_samples : 4 * block_samples);
}

void Framer::push(std::span<const float> samples) {
  if (buffer_.size() + samples.size() > buffer_.capacity()) {
    buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(begin_));
    begin_ = 0;
  }
  buffer_.insert(buffer_.end(), samples.begin(), samples.end());
}

bool Framer::pop(std::span<float> block) {
  DUET_CHECK(block.size() == block_samples_);
  if (num_pending() < block_samples_) return false;
  std::copy_n(buffer_.begin() + static_cast<std::ptrdiff_t>(begin_), block_samples_, block.begin());
  begin_ += block_samples_;
  if (begin_ == buffer_.size()) reset();
  return true;
}

std::size_t Framer::flush(std::span<float> block) {
  DUET_CHECK(block.size() == block_samples_ && num_pending() < block_samples_);
  const std::size_t count = num_pending();
  if (count == 0) return 0;
  const auto rest = std::copy(buffer_.begin() + static_cast<std::ptrdiff_t>(begin_), buffer_.end(),
                              block.begin());
  std::fill(rest, block.end(), 0.0F);
  reset();
  return count;
}

void Framer::reset() noexcept {
  buffer_.clear();
  begin_ = 0;
}

}  // namespace duet::audio
