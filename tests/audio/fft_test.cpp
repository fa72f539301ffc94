#include "audio/fft.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <random>

using duet::audio::Fft;

TEST_CASE("the FFT is the definition of the transform, and its inverse undoes it", "[dsp]") {
  std::mt19937 random(3);
  for (const std::size_t size : {2U, 4U, 8U, 64U, 256U}) {
    INFO("size " << size);
    std::vector<std::complex<float>> x(size);
    for (auto& value : x)
      value = {static_cast<float>(random() % 2000) / 1000.0F - 1.0F,
               static_cast<float>(random() % 2000) / 1000.0F - 1.0F};
    const Fft fft(size);
    auto got = x;
    fft.forward(got);
    double worst = 0.0;
    for (std::size_t k = 0; k < size; ++k) {
      std::complex<double> want = 0.0;
      for (std::size_t n = 0; n < size; ++n)
        want += std::complex<double>(x[n]) *
                std::polar(1.0, -2.0 * M_PI * static_cast<double>(k * n) / double(size));
      worst = std::max(worst, std::abs(std::complex<double>(got[k]) - want));
    }
    CHECK(worst < 1e-6 * double(size) + 1e-6);
    fft.inverse(got);
    for (std::size_t n = 0; n < size; ++n) REQUIRE(std::abs(got[n] - x[n]) < 1e-5F);
  }
}
