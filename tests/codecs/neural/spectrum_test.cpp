#include "codecs/neural/spectrum.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <cmath>

#include "tests/support/streaming_laws.h"

using namespace duet;

TEST_CASE("frames start at every hop and overlap_add is their adjoint", "[unit]") {
  const at::Tensor x = at::arange(20, at::kFloat).view({1, 20});
  const at::Tensor frames = codecs::frame_signal(x, 8, 2);
  REQUIRE(frames.sizes() == at::IntArrayRef({1, 7, 8}));
  for (int64_t t = 0; t < 7; ++t) CHECK(at::equal(frames[0][t], x[0].narrow(0, 2 * t, 8)));
  at::manual_seed(1);
  const at::Tensor other = at::randn({1, 7, 8});
  const double left = (frames * other).sum().item<double>();
  const double right = (x * codecs::overlap_add(other, 2)).sum().item<double>();
  CHECK(left == Approx(right).epsilon(1e-5));
}

TEST_CASE("half of a Hann window at quarter hops sums to one", "[unit]") {
  const at::Tensor window = codecs::hann_window(16) * 0.5;
  const at::Tensor sum = codecs::overlap_add(window.expand({1, 9, 16}), 4);
  test::expect_close(sum.narrow(1, 12, 24), at::ones({1, 24}), {1e-6, 0.0});
}

TEST_CASE("spectrum equals the definition of the discrete Fourier transform", "[unit]") {
  at::manual_seed(2);
  const at::Tensor x = at::randn({1, 24}), window = codecs::hann_window(16);
  const at::Tensor got = codecs::spectrum(x, window, 8);
  REQUIRE(got.sizes() == at::IntArrayRef({1, 2, 9, 2}));
  for (int64_t k : {0, 3, 8}) {
    double re = 0.0, im = 0.0;
    for (int64_t n = 0; n < 16; ++n) {
      const double v = x[0][8 + n].item<double>() *
                       (0.5 - 0.5 * std::cos(2.0 * M_PI * static_cast<double>(n) / 16.0));
      re += v * std::cos(2.0 * M_PI * static_cast<double>(k * n) / 16.0);
      im -= v * std::sin(2.0 * M_PI * static_cast<double>(k * n) / 16.0);
    }
    CHECK(got[0][1][k][0].item<double>() == Approx(re).margin(1e-5));
    CHECK(got[0][1][k][1].item<double>() == Approx(im).margin(1e-5));
  }
}
