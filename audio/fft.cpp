#include "audio/fft.h"

#include <bit>
#include <cmath>
#include <numbers>
#include <utility>

#include "runtime/core/error.h"

namespace duet::audio {

Fft::Fft(std::size_t size) : size_(size), reversed_(size), twiddle_(size / 2) {
  DUET_CHECK(size >= 2 && std::has_single_bit(size));
  for (std::size_t i = 1; i < size; ++i)
    reversed_[i] = (reversed_[i / 2] / 2) | ((i & 1) != 0 ? size / 2 : 0);
  for (std::size_t k = 0; k < size / 2; ++k) {
    const double angle =
        -2.0 * std::numbers::pi * static_cast<double>(k) / static_cast<double>(size);
    twiddle_[k] = {static_cast<float>(std::cos(angle)), static_cast<float>(std::sin(angle))};
  }
}

template <bool kInverse>
void Fft::transform(std::span<std::complex<float>> data) const noexcept {
  DUET_CHECK(data.size() == size_);
  for (std::size_t i = 0; i < size_; ++i)
    if (i < reversed_[i]) std::swap(data[i], data[reversed_[i]]);
  // Plain arithmetic: std::complex's product checks for NaN, which costs more than the product.
  float* x = reinterpret_cast<float*>(data.data());
  const float* w = reinterpret_cast<const float*>(twiddle_.data());
  for (std::size_t half = 1; half < size_; half *= 2) {
    const std::size_t stride = size_ / (2 * half);
    for (std::size_t begin = 0; begin < size_; begin += 2 * half) {
      for (std::size_t k = 0; k < half; ++k) {
        const float wr = w[2 * k * stride];
        const float wi = kInverse ? -w[2 * k * stride + 1] : w[2 * k * stride + 1];
        float* a = x + 2 * (begin + k);
        float* b = a + 2 * half;
        const float re = b[0] * wr - b[1] * wi;
        const float im = b[0] * wi + b[1] * wr;
        b[0] = a[0] - re;
        b[1] = a[1] - im;
        a[0] += re;
        a[1] += im;
      }
    }
  }
}

void Fft::forward(std::span<std::complex<float>> data) const noexcept { transform<false>(data); }

void Fft::inverse(std::span<std::complex<float>> data) const noexcept {
  transform<true>(data);
  const float scale = 1.0F / static_cast<float>(size_);
  for (auto& x : data) x *= scale;
}

}  // namespace duet::audio
