#include "audio/capture_path.h"

#include <algorithm>

#include "runtime/core/error.h"

namespace duet::audio {

CapturePath::CapturePath(const Config& config)
    : config_(config),
      near_in_(config.device_rate_hz, kEchoRateHz),
      far_in_(config.device_rate_hz, kEchoRateHz),
      to_model_(kEchoRateHz, config.model_rate_hz),
      echo_(make_echo_canceller(config.echo)),
      guard_(config.guard),
      framer_(config.block_samples, (config.max_waiting_blocks + 30) * config.block_samples) {
  if (config.max_waiting_blocks >= 1) return;
  throw core::ConfigError({.subject = "capture.max_waiting_blocks",
                           .expected = "1 or more",
                           .found = std::to_string(config.max_waiting_blocks)});
}

void CapturePath::process(std::span<const SamplePair> pairs) {
  near_piece_.clear();
  far_piece_.clear();
  for (const SamplePair& pair : pairs) {
    near_piece_.push_back(pair.near);
    far_piece_.push_back(pair.far);
  }
  near_in_.process(near_piece_, near_);
  far_in_.process(far_piece_, far_);
  clean();
}

void CapturePath::clean() {
  DUET_CHECK(near_.size() == far_.size());
  std::size_t at = 0;
  for (; at + kEchoBlockSamples <= near_.size(); at += kEchoBlockSamples) {
    const auto near = std::span<const float>(near_).subspan(at, kEchoBlockSamples);
    const auto far = std::span<const float>(far_).subspan(at, kEchoBlockSamples);
    echo_->process(near, far, cleaned_);
    guard_.process(far, cleaned_);
    model_piece_.clear();
    to_model_.process(cleaned_, model_piece_);
    framer_.push(model_piece_);
  }
  near_.erase(near_.begin(), near_.begin() + static_cast<std::ptrdiff_t>(at));
  far_.erase(far_.begin(), far_.begin() + static_cast<std::ptrdiff_t>(at));
}

bool CapturePath::pop(std::span<float> block) {
  if (!framer_.pop(block)) return false;
  num_popped_ += static_cast<std::int64_t>(config_.block_samples);
  return true;
}

std::size_t CapturePath::drop_late() {
  const std::size_t waiting = framer_.num_pending() / config_.block_samples;
  if (waiting <= config_.max_waiting_blocks) return 0;
  std::vector<float> block(config_.block_samples);
  for (std::size_t i = 1; i < waiting; ++i) pop(block);
  return waiting - 1;
}

double CapturePath::popped_until_s() const noexcept {
  return static_cast<double>(num_popped_) / config_.model_rate_hz +
         static_cast<double>(near_in_.lookahead_samples()) / config_.device_rate_hz +
         static_cast<double>(to_model_.lookahead_samples()) / kEchoRateHz;
}

double CapturePath::latency_ms() const noexcept {
  return 1e3 * (static_cast<double>(near_in_.lookahead_samples()) / config_.device_rate_hz +
                static_cast<double>(echo_->latency_samples() + to_model_.lookahead_samples()) /
                    kEchoRateHz);
}

}  // namespace duet::audio
