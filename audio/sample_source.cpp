#include "audio/sample_source.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "runtime/core/error.h"

namespace duet::audio {

MemorySource::MemorySource(std::vector<float> samples, int rate_hz, std::string name)
    : samples_(std::move(samples)), rate_hz_(rate_hz), name_(std::move(name)) {}

std::size_t MemorySource::read(std::span<float> out) {
  const std::size_t count = std::min(out.size(), samples_.size() - position_);
  std::copy_n(samples_.begin() + static_cast<std::ptrdiff_t>(position_), count, out.begin());
  position_ += count;
  return count;
}

std::optional<std::int64_t> MemorySource::num_samples() const noexcept {
  return static_cast<std::int64_t>(samples_.size());
}

RawPcmSource::RawPcmSource(int fd, int rate_hz, std::string name, bool (*stop)())
    : fd_(fd), rate_hz_(rate_hz), name_(std::move(name)), stop_(stop) {}

std::size_t RawPcmSource::fill() {
  constexpr int kPollMs = 100;
  constexpr std::size_t kChunkBytes = 16384;
  for (;;) {
    if (stop_ != nullptr && stop_()) return 0;
    pollfd waiting{.fd = fd_, .events = POLLIN, .revents = 0};
    const int ready = ::poll(&waiting, 1, kPollMs);
    if (ready == 0 || (ready < 0 && errno == EINTR)) continue;
    const std::size_t old_size = bytes_.size();
    bytes_.resize(old_size + kChunkBytes);
    const ssize_t count = ::read(fd_, bytes_.data() + old_size, kChunkBytes);
    bytes_.resize(old_size + static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
    if (count >= 0) return static_cast<std::size_t>(count);
    if (errno == EINTR || errno == EAGAIN) continue;
    throw core::LoadError({.subject = "raw samples",
                           .expected = "a readable stream",
                           .found = std::strerror(errno),
                           .file = name_,
                           .hint = ""});
  }
}

void RawPcmSource::check_start() const {
  for (const char* magic : {"RIFF", "fLaC", "OggS"}) {
    if (bytes_.size() >= 4 && std::memcmp(bytes_.data(), magic, 4) == 0) {
      throw core::LoadError({.subject = "raw samples",
                             .expected = "headerless signed 16-bit little-endian mono",
                             .found = std::string("a ") + magic + " header",
                             .file = name_,
                             .hint = "give the file's name instead of -"});
    }
  }
}

std::size_t RawPcmSource::read(std::span<float> out) {
  // The header check needs four bytes; a stream shorter than that has none.
  while (bytes_.size() < (is_first_ ? 4U : 2U)) {
    if (fill() == 0) break;
  }
  if (is_first_) {
    const bool is_stopped = stop_ != nullptr && stop_();
    if (bytes_.size() < 2 && !is_stopped) {
      throw core::LoadError({.subject = "samples",
                             .expected = "at least 1",
                             .found = "0",
                             .file = name_,
                             .hint = ""});
    }
    check_start();
    is_first_ = false;
  }
  const std::size_t count = std::min(out.size(), bytes_.size() / 2);
  for (std::size_t i = 0; i < count; ++i) {
    const auto value = static_cast<std::int16_t>(bytes_[2 * i] | (bytes_[2 * i + 1] << 8));
    out[i] = static_cast<float>(value) / 32768.0F;
  }
  bytes_.erase(bytes_.begin(), bytes_.begin() + static_cast<std::ptrdiff_t>(2 * count));
  return count;
}

}  // namespace duet::audio
