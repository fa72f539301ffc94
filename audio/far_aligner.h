#pragma once
// Reads the far end at a moving, fractional place: delayed as the echo is, and as fast as the
// capture clock counts it.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace duet::audio {

/// A ring of the last second of far end and a Kaiser-windowed sinc (as Resampler) at any ratio near
/// 1. One thread; no allocation after construction.
class FarAligner {
 public:
  /// Least delay: half the sinc must have arrived [samples].
  static constexpr std::size_t kMinDelay = 16;
  static constexpr std::size_t kMaxDelay = 12000;

  FarAligner();
  /// The same number of samples in and out. `delay_samples`, clamped to [kMinDelay, kMaxDelay]:
  /// where the output shall lie at its end. It gets there by playing up to `kMaxSlewPpm` faster or
  /// slower than `drift_ppm` says; `jump` takes it there at once.
  void process(std::span<const float> far, std::span<float> out, double delay_samples,
               double drift_ppm);
  void jump(double delay_samples) noexcept;
  /// Of the last output sample [samples].
  double delay_samples() const noexcept { return delay_; }
  void reset();

  static constexpr double kMaxSlewPpm = 2000.0;

 private:
  float interpolate(std::int64_t whole, double fraction) const noexcept;

  std::vector<float> bank_;  // [kPhases + 1, 2 * kMinDelay]
  std::vector<float> ring_;
  std::int64_t num_input_ = 0;
  double delay_ = kMinDelay;
};

}  // namespace duet::audio
