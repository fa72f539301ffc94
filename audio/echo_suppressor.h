#pragma once
// The other half: what the linear filter leaves - its error, the loudspeaker's distortion, the late
// tail - is weighed down by frequency, never below a floor, and hardly at all while somebody talks.

#include <complex>
#include <cstddef>
#include <span>
#include <vector>

#include "audio/echo_filter.h"
#include "audio/fft.h"

namespace duet::audio {

/// Wiener-style gains on a 16 ms square-root Hann grid, half overlapped. The residual echo is
/// estimated as a leak, by bin, times the filter's echo estimate with a tail; the leak is the
/// smallest ratio of error to echo of the last seconds, so that near-end speech, which makes the
/// ratio large, is not taken for echo. One thread; no allocation after construction.
class EchoSuppressor {
 public:
  static constexpr std::size_t kBlock = EchoFilter::kBlock;
  static constexpr std::size_t kLatency = kBlock;  ///< Samples.

  EchoSuppressor();
  /// One block each. `uncertainty` as EchoFilter's. The echo may come by `shift_samples` (standard
  /// deviation) earlier or later than the filter was learnt for. `out` is kLatency late.
  void process(std::span<const float> error, std::span<const float> echo,
               std::span<const float> uncertainty, float shift_samples, std::span<float> out);
  /// The last block had more in it than echo: gains are held up.
  bool is_double_talk() const noexcept { return is_double_talk_; }
  void forget();  ///< The path changed: the leak is unknown again.
  void reset();

 private:
  static constexpr std::size_t kSize = EchoFilter::kSize;
  static constexpr std::size_t kBins = EchoFilter::kBins;
  void estimate_leak();
  void doubt(std::span<const float> uncertainty, float shift_samples);
  void detect_talk();
  void set_gains();

  Fft fft_;
  std::vector<float> window_;                                 // [kSize]
  std::vector<float> error_tail_, echo_tail_;                 // [kBlock]: the block before.
  std::vector<float> overlap_;                                // [kBlock]
  std::vector<std::complex<float>> work_;                     // [kSize]
  std::vector<std::complex<float>> spectrum_;                 // [kBins] of the error.
  std::vector<float> near_power_, error_power_, echo_power_;  // [kBins], smoothed.
  std::vector<float> tail_power_;                             // [kBins] echo with its decay.
  std::vector<float> doubt_;  // [kBins] echo that the filter may leave by what it says itself.
  std::vector<float> leak_;   // [kBins]
  float usual_ratio_ = 0.0F;  // Error over echo while nobody talks.
  std::vector<float> gain_;   // [kBins]
  float least_before_ = 0.0F, least_now_ = 0.0F;  // Of the error, in the last second and in this.
  int num_noise_blocks_ = 0;
  int hold_ = 0;  // Blocks that double-talk still lasts.
  bool is_double_talk_ = false;
};

}  // namespace duet::audio
