#include "audio/room_device.h"

#include <algorithm>
#include <chrono>

#include "runtime/core/error.h"

namespace duet::audio {

RoomDevice::RoomDevice(const Config& config)
    : config_(config),
      room_(config.room),
      voice_(config.buffer_samples),
      near_(config.buffer_samples),
      mic_(config.buffer_samples),
      far_(config.buffer_samples) {
  if (config.buffer_samples > 0) return;
  throw core::ConfigError(
      {.subject = "room device", .expected = "buffers of 1 sample or more", .found = "0"});
}

RoomDevice::~RoomDevice() { stop(); }

DeviceFacts RoomDevice::open(const DeviceRequest&) {
  stop();
  if (!is_plugged_.load(std::memory_order_relaxed))
    throw core::DeviceError({.subject = "virtual room", .expected = "a device", .found = "none"});
  return {
      .input_name = "virtual room",
      .output_name = "virtual room",
      .rate_hz = config_.room.rate_hz,
      .input_latency_ms = 1e3 * static_cast<double>(config_.buffer_samples) / config_.room.rate_hz};
}

void RoomDevice::start(DuplexStream& stream) {
  DUET_CHECK(stream.rate_hz() == config_.room.rate_hz && stream_ == nullptr);
  stream_ = &stream;
  is_running_.store(true, std::memory_order_relaxed);
  if (config_.is_paced) thread_ = std::thread([this] { run(); });
}

void RoomDevice::stop() noexcept {
  is_running_.store(false, std::memory_order_relaxed);
  if (thread_.joinable()) thread_.join();
  stream_ = nullptr;
}

bool RoomDevice::is_alive() const noexcept {
  return is_running_.load(std::memory_order_relaxed) && is_plugged_.load(std::memory_order_relaxed);
}

void RoomDevice::pump() {
  DUET_CHECK(stream_ != nullptr);
  std::fill(voice_.begin(), voice_.end(), 0.0F);
  if (config_.say) config_.say(voice_);
  // What the last callback sent is under way while this buffer is captured.
  room_.process(far_, voice_, mic_, {.near = near_});
  stream_->process(mic_.data(), 1, far_.data(), 1, mic_.size());
  if (config_.watch) config_.watch(near_, mic_, far_);
}

void RoomDevice::run() {
  using Clock = std::chrono::steady_clock;
  const auto period = std::chrono::nanoseconds(static_cast<std::int64_t>(
      1e9 * static_cast<double>(config_.buffer_samples) / config_.room.rate_hz));
  auto next = Clock::now();
  while (is_running_.load(std::memory_order_relaxed)) {
    if (is_plugged_.load(std::memory_order_relaxed)) pump();
    next += period;
    std::this_thread::sleep_until(next);
  }
}

}  // namespace duet::audio
