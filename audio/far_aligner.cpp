#include "audio/far_aligner.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "runtime/core/error.h"

namespace duet::audio {

namespace {

/// Interpolated linearly between them: error (pi / 128)^2 / 8, -82 dB.
constexpr std::size_t kPhases = 128;
constexpr std::size_t kHalf = FarAligner::kMinDelay;
constexpr std::size_t kTaps = 2 * kHalf;
constexpr std::size_t kRing = 16384;  // A power of two beyond kMaxDelay.
/// A fifth of the way a block of 8 ms: settled in 40 ms where the slew allows.
constexpr double kPull = 0.2;

}  // namespace

FarAligner::FarAligner() : bank_((kPhases + 1) * kTaps), ring_(kRing, 0.0F) {
  for (std::size_t phase = 0; phase <= kPhases; ++phase) {
    for (std::size_t k = 0; k < kTaps; ++k) {
      const double x = static_cast<double>(k) - static_cast<double>(kHalf - 1) -
                       static_cast<double>(phase) / kPhases;
      const double y = std::numbers::pi * x;
      const double edge = std::clamp(x / kHalf, -1.0, 1.0);
      const double c = std::cos(0.5 * std::numbers::pi * edge);
      bank_[phase * kTaps + k] =
          static_cast<float>(c * c * (std::abs(y) < 1e-9 ? 1.0 : std::sin(y) / y));
    }
  }
}

void FarAligner::reset() {
  std::fill(ring_.begin(), ring_.end(), 0.0F);
  num_input_ = 0;
  delay_ = kMinDelay;
}

void FarAligner::jump(double delay_samples) noexcept {
  delay_ = std::clamp(delay_samples, double{kMinDelay}, double{kMaxDelay});
}

float FarAligner::interpolate(std::int64_t whole, double fraction) const noexcept {
  const double scaled = fraction * kPhases;
  const auto phase = static_cast<std::size_t>(scaled);
  const auto between = static_cast<float>(scaled - static_cast<double>(phase));
  const float* row = bank_.data() + phase * kTaps;
  float here = 0.0F;
  float next = 0.0F;
  for (std::size_t k = 0; k < kTaps; ++k) {
    const auto at = static_cast<std::uint64_t>(whole - static_cast<std::int64_t>(kHalf) + 1 +
                                               static_cast<std::int64_t>(k));
    const float x = ring_[at % kRing];
    here += row[k] * x;
    next += row[k + kTaps] * x;
  }
  return here + between * (next - here);
}

void FarAligner::process(std::span<const float> far, std::span<float> out, double delay_samples,
                         double drift_ppm) {
  DUET_CHECK(far.size() == out.size() && far.size() + kMaxDelay + kTaps < kRing);
  if (far.empty()) return;
  const double target = std::clamp(delay_samples, double{kMinDelay}, double{kMaxDelay});
  const double slew = kMaxSlewPpm * 1e-6;
  const auto size = static_cast<double>(far.size());
  // A faster playback clock reads on faster: its delay shrinks.
  const double drift = -drift_ppm * 1e-6;
  const double off = target - (delay_ + drift * size);  // At the end of this block.
  const double step = drift + std::clamp(kPull * off / size, -slew, slew);
  for (std::size_t i = 0; i < far.size(); ++i) {
    ring_[static_cast<std::uint64_t>(num_input_) % kRing] = far[i];
    ++num_input_;
    delay_ = std::clamp(delay_ + step, double{kMinDelay}, double{kMaxDelay});
    const double place = static_cast<double>(num_input_ - 1) - delay_;
    const double whole = std::floor(place);
    out[i] = interpolate(static_cast<std::int64_t>(whole), place - whole);
  }
}

}  // namespace duet::audio
