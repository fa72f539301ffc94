#pragma once
// How much later than it was handed to the device the far end is heard in the microphone, and how
// that changes: bulk delay, and drift of the playback clock against the capture clock.

#include <complex>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "audio/fft.h"

namespace duet::audio {

struct DelayEstimate {
  double delay_samples =
      0.0;                  ///< At the input rate; of the strongest path, usually the direct one.
  double confidence = 0.0;  ///< 0 to 1.
  bool is_believed() const noexcept { return confidence >= 0.5; }
};

/// Generalised cross-correlation (Knapp & Carter 1976) with the smoothed coherence transform: the
/// cross spectrum, averaged over about 0.6 s of active far end, over the root of both powers. Every
/// bin counts by how well far end explains microphone, so neither the colour of a voice nor a
/// second talker moves the peak. Computed at half the rate. One thread; no allocation after
/// construction.
class DelayEstimator {
 public:
  static constexpr std::size_t kWindow = 8192;         ///< Far end [samples at half rate]; 1.02 s.
  static constexpr std::size_t kHop = 1024;            ///< Between estimates; 128 ms.
  static constexpr std::size_t kMaxLag = kWindow / 2;  ///< 512 ms.

  DelayEstimator();
  /// Next samples (16 kHz), any number, both the same. True when there is a new estimate: at most
  /// one every 128 ms, none while the far end is silent.
  bool process(std::span<const float> near, std::span<const float> far);
  const DelayEstimate& estimate() const noexcept { return estimate_; }
  void reset();

 private:
  static constexpr std::size_t kFilterTaps = 31;
  struct Halver {  ///< Low-pass and every second sample.
    std::vector<float> history = std::vector<float>(kFilterTaps, 0.0F);
    float filter(float x, std::span<const float> taps) noexcept;
  };
  bool update();
  void forget();
  void find_peak();

  Fft fft_;
  std::vector<float> taps_;
  Halver near_half_, far_half_;
  std::vector<float> near_, far_;  // [kWindow] rings at half rate.
  std::size_t position_ = 0;       // Next place in the rings.
  std::size_t num_new_ = 0;
  bool is_odd_ = false;
  std::vector<std::complex<float>> work_;   // [kWindow]
  std::vector<std::complex<float>> cross_;  // [kWindow / 2]
  std::vector<float> near_power_, far_power_;
  DelayEstimate estimate_;
};

/// Delay and drift from a stream of delay estimates: a Kalman filter with constant drift, which
/// takes three agreeing outliers for a new path. One thread; no allocation.
class DelayTracker {
 public:
  struct Config {
    double rate_hz = 16000.0;
    double max_drift_ppm = 200.0;
  };
  DelayTracker() : DelayTracker(Config{}) {}
  explicit DelayTracker(const Config& config);

  /// `seconds` since the last call. True when the delay jumped (or became known).
  bool update(const DelayEstimate& estimate, double seconds);
  /// The clock went on without an estimate.
  void advance(double seconds);

  bool is_known() const noexcept { return is_known_; }
  double delay_samples() const noexcept { return delay_; }
  /// Playback clock over capture clock; the delay shrinks by this. 0 until its error is small.
  double drift_ppm() const noexcept;
  double drift_error_ppm() const noexcept;  ///< Standard deviation.
  /// How far the delay may have moved away unseen since the last estimate: standard deviation
  /// [samples]. Grows while the far end is silent, with the error of the drift.
  double unseen_shift_samples() const noexcept;
  int num_jumps() const noexcept { return num_jumps_; }
  void reset();

 private:
  Config config_;
  bool is_known_ = false;
  double delay_ = 0.0;  // [samples]
  double slope_ = 0.0;  // [samples/s]
  double p_dd_ = 0.0, p_ds_ = 0.0, p_ss_ = 0.0;
  double p_dd_seen_ = 0.0;  // p_dd_ after the last estimate.
  double candidate_ = 0.0;  // Of a jump.
  int num_candidates_ = 0;
  int num_jumps_ = 0;
};

}  // namespace duet::audio
