#pragma once
// In-place complex FFT of a power-of-two length: what the delay estimator and the echo filter need,
// without allocation after construction.

#include <complex>
#include <cstddef>
#include <span>
#include <vector>

namespace duet::audio {

/// Radix-2 Cooley-Tukey, decimation in time. Const methods are safe on many threads.
class Fft {
 public:
  /// `size`: a power of two, at least 2.
  explicit Fft(std::size_t size);

  std::size_t size() const noexcept { return size_; }
  /// X[k] = sum_n x[n] exp(-2 pi i k n / size).
  void forward(std::span<std::complex<float>> data) const noexcept;
  /// x[n] = 1/size sum_k X[k] exp(+2 pi i k n / size): forward's inverse.
  void inverse(std::span<std::complex<float>> data) const noexcept;

 private:
  template <bool kInverse>
  void transform(std::span<std::complex<float>> data) const noexcept;

  std::size_t size_;
  std::vector<std::size_t> reversed_;         // [size]: index with its bits mirrored
  std::vector<std::complex<float>> twiddle_;  // [size / 2]: exp(-2 pi i k / size)
};

}  // namespace duet::audio
