#include "audio/duplex_stream.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>

#include "runtime/core/error.h"

namespace duet::audio {

namespace {

constexpr std::size_t kPiece = 256;  // On the callback's stack.
constexpr double kFadeSeconds = 0.01;
constexpr float kFullScale = 0.999F;
/// Per sample; a stream that stops in the middle of a sound fades instead of clicking.
constexpr float kStarvedDecay = 0.99F;

std::size_t samples_of(double seconds, int rate_hz) {
  return static_cast<std::size_t>(std::lround(seconds * rate_hz));
}

void add(std::atomic<std::uint64_t>& counter, std::uint64_t count) noexcept {
  counter.fetch_add(count, std::memory_order_relaxed);
}

}  // namespace

void DuplexStream::Config::validate() const {
  const auto check = [](const char* name, double value, double min, double max) {
    if (value >= min && value <= max) return;
    throw core::ConfigError({.subject = std::string("stream.") + name,
                             .expected = std::to_string(min) + " to " + std::to_string(max),
                             .found = std::to_string(value)});
  };
  check("rate_hz", rate_hz, 4000, 384000);
  check("capture_seconds", capture_seconds, 0.1, 60.0);
  check("playout_seconds", playout_seconds, 0.1, 60.0);
}

DuplexStream::DuplexStream(const Config& config)
    : config_((config.validate(), config)),
      captured_(samples_of(config.capture_seconds, config.rate_hz)),
      playout_(samples_of(config.playout_seconds, config.rate_hz)),
      ramp_(static_cast<float>(1.0 / (kFadeSeconds * config.rate_hz))) {}

void DuplexStream::process(const float* in, int in_channels, float* out, int out_channels,
                           std::size_t num, bool has_device_fault) noexcept {
  std::array<SamplePair, kPiece> pairs;
  const float near_target = is_muted_.load(std::memory_order_relaxed) ? 0.0F : 1.0F;
  const float far_target = volume_.load(std::memory_order_relaxed);
  const auto toward = [this](float now, float target) {
    return now < target ? std::min(now + ramp_, target) : std::max(now - ramp_, target);
  };
  std::uint64_t num_lost = 0;
  for (std::size_t begin = 0; begin < num; begin += kPiece) {
    const std::span<SamplePair> piece(pairs.data(), std::min(kPiece, num - begin));
    fill(piece);
    for (std::size_t i = 0; i < piece.size(); ++i) {
      const std::size_t at = begin + i;
      const float caught = in != nullptr ? in[at * static_cast<std::size_t>(in_channels)] : 0.0F;
      near_gain_ = toward(near_gain_, near_target);
      far_gain_ = toward(far_gain_, far_target);
      piece[i].near = std::isfinite(caught) ? near_gain_ * caught : 0.0F;
      piece[i].far = std::clamp(far_gain_ * piece[i].far, -1.0F, 1.0F);
      for (int c = 0; c < out_channels; ++c)
        out[at * static_cast<std::size_t>(out_channels) + static_cast<std::size_t>(c)] =
            piece[i].far;
    }
    measure(piece);
    // All or nothing: near and far are lost together and stay aligned.
    if (!captured_.push_all(piece)) num_lost += piece.size();
  }
  meters_.write(now_);
  if (num_lost > 0) {
    add(num_overruns_, 1);
    add(num_lost_, num_lost);
  }
  if (has_device_fault) add(num_faults_, 1);
  add(num_callbacks_, 1);
  // Release: partner of the acquire in num_samples().
  num_samples_.fetch_add(num, std::memory_order_release);
}

std::size_t DuplexStream::fill(std::span<SamplePair> pairs) noexcept {
  std::array<float, kPiece> voice;
  const std::size_t count = playout_.pop_some(std::span(voice).first(pairs.size()));
  for (std::size_t i = 0; i < count; ++i) pairs[i].far = voice[i];
  if (count > 0) {
    last_far_ = voice[count - 1];
    is_starved_ = false;
  }
  for (std::size_t i = count; i < pairs.size(); ++i) pairs[i].far = last_far_ *= kStarvedDecay;
  if (count < pairs.size() && is_expected_.load(std::memory_order_relaxed)) {
    add(num_silence_, pairs.size() - count);
    if (!is_starved_) add(num_underruns_, 1);
    is_starved_ = true;
  }
  return count;
}

void DuplexStream::measure(std::span<const SamplePair> pairs) noexcept {
  const auto rate = static_cast<double>(config_.rate_hz);
  const auto fall =
      static_cast<float>(std::exp2(-static_cast<double>(pairs.size()) / (0.2 * rate)));
  now_.near_peak *= fall;
  now_.far_peak *= fall;
  double energy = 0.0;
  const std::uint64_t time = num_samples_.load(std::memory_order_relaxed);
  for (const SamplePair& pair : pairs) {
    const float near = std::abs(pair.near);
    now_.near_peak = std::max(now_.near_peak, near);
    now_.far_peak = std::max(now_.far_peak, std::abs(pair.far));
    energy += static_cast<double>(near) * static_cast<double>(near);
    const bool is_full_scale = near >= kFullScale;
    if (is_full_scale && was_full_scale_) {
      if (clipped_until_ <= time) add(num_clips_, 1);
      clipped_until_ = time + static_cast<std::uint64_t>(config_.rate_hz);
    }
    was_full_scale_ = is_full_scale;
  }
  const double memory = std::exp(-static_cast<double>(pairs.size()) / (0.1 * rate));
  near_power_ =
      memory * near_power_ +
      (1.0 - memory) * energy / static_cast<double>(std::max<std::size_t>(pairs.size(), 1));
  now_.near_rms = static_cast<float>(std::sqrt(near_power_));
  now_.is_near_clipped = clipped_until_ > time;
}

std::size_t DuplexStream::write(std::span<const float> samples) noexcept {
  const std::size_t count = playout_.push_some(samples);
  is_expected_.store(true, std::memory_order_relaxed);
  return count;
}

StreamCounters DuplexStream::counters() const noexcept {
  const auto get = [](const std::atomic<std::uint64_t>& counter) {
    return counter.load(std::memory_order_relaxed);
  };
  return {.num_callbacks = get(num_callbacks_),
          .num_samples = num_samples(),
          .num_underruns = get(num_underruns_),
          .num_silence_samples = get(num_silence_),
          .num_overruns = get(num_overruns_),
          .num_lost_samples = get(num_lost_),
          .num_device_faults = get(num_faults_),
          .num_clips = get(num_clips_)};
}

}  // namespace duet::audio
