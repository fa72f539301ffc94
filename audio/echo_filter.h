#pragma once
// The linear half of echo cancelling: an adaptive filter from aligned far end to microphone.
// Partitioned-block frequency-domain Kalman filter (Enzner & Vary 2006, "Frequency-domain adaptive
// Kalman filter for acoustic echo control in hands-free telephones"; partitions after Kuech et al.
// 2014). The step of each bin follows from how uncertain its weight is and how loud the near-end
// is, so it needs no double-talk detector, and converges and re-converges in about a second of
// speech.

#include <complex>
#include <cstddef>
#include <span>
#include <vector>

#include "audio/fft.h"

namespace duet::audio {

/// One thread; no allocation after construction.
class EchoFilter {
 public:
  static constexpr std::size_t kBlock = 128;  ///< 8 ms at 16 kHz.
  static constexpr std::size_t kSize = 2 * kBlock;
  static constexpr std::size_t kBins = kBlock + 1;

  /// Length of the filter in blocks, at least 1.
  explicit EchoFilter(std::size_t num_partitions);

  /// One block each. `error` = near - echo; `echo` is the estimate. No latency.
  /// Without `is_adapting` nothing is learnt from the block.
  void process(std::span<const float> near, std::span<const float> far, bool is_adapting,
               std::span<float> error, std::span<float> echo);
  /// Power of the echo that the filter's uncertainty leaves in `error`, by bin, of the last block;
  /// in units of |DFT|^2 of kSize samples, half of them zero.
  std::span<const float> uncertainty() const noexcept { return uncertainty_; }
  /// The path is known to be another one: forget the weights. Keeps the history of the far end.
  void forget();
  /// How often the filter turned out to be wrong and was forgotten.
  int num_failures() const noexcept { return num_failures_; }
  void reset();

 private:
  using Spectrum = std::vector<std::complex<float>>;
  void push_far(std::span<const float> far);
  void adapt(std::span<const float> error);
  void constrain(std::size_t a, std::size_t b);
  void watch(std::span<const float> near, std::span<const float> echo);

  Fft fft_;
  std::size_t num_partitions_;
  std::size_t newest_ = 0;  // Partition slot of the newest far-end spectrum.
  std::size_t next_constrained_ = 0;
  std::size_t num_silent_ = 0;      // Blocks of the far end.
  std::vector<float> far_tail_;     // [kBlock]
  std::vector<float> far_;          // [num_partitions, kBins, 2] spectra, a ring over partitions.
  std::vector<float> weights_;      // [num_partitions, kBins, 2]
  std::vector<float> variance_;     // [num_partitions, kBins]
  std::vector<float> near_power_;   // [kBins]
  std::vector<float> uncertainty_;  // [kBins]
  Spectrum work_;                   // [kSize]
  Spectrum error_spectrum_;         // [kBins]
  double loudest_far_ = 0.0;        // Energy of a block.
  double near_energy_ = 0.0, echo_energy_ = 0.0, common_energy_ = 0.0;
  double quick_near_ = 0.0, quick_error_ = 0.0;
  int num_bad_ = 0, num_unlike_ = 0, patience_ = 0;
  int num_failures_ = 0;
};

}  // namespace duet::audio
