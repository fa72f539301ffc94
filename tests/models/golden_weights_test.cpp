#include "tests/support/golden_weights.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>

#include "tests/support/streaming_laws.h"

using namespace duet::test;

TEST_CASE("golden weights come from their names", "[golden]") {
  CHECK(fnv1a("a") == 0xE40C292CU);
  CHECK(fnv1a("embed_tokens.weight") == 3016398681U);
  const Tolerance printed{5.1e-7, 0.0};  // the reference values have six decimals
  expect_close(golden_tensor("embed_tokens.weight", {40, 48})[0].narrow(0, 0, 4),
               at::tensor({0.203823, 0.202930, 0.106595, -0.039873}), printed);
  expect_close(golden_tensor("embed_audio_tokens.1.weight", {63, 48})[62].narrow(0, 0, 3),
               at::tensor({0.120901, 0.208175, 0.197541}), printed);
}

TEST_CASE("golden weights of every kind of name", "[golden]") {
  const auto first = [](const char* name, at::IntArrayRef shape) {
    const double s = std::sin(0.7 + 0.01 * (fnv1a(name) % 1000U));
    return std::pair(golden_tensor(name, shape).reshape({-1})[0].item<double>(), s);
  };
  const auto check = [&](const char* name, at::IntArrayRef shape, double offset, double gain) {
    const auto [got, s] = first(name, shape);
    CHECK(got == Approx(offset + gain * s).margin(1e-7));
  };
  check("x.parametrizations.weight.original0", {4, 1, 1}, 0.6, 0.2);
  check("x.alpha", {1, 3, 1}, 1.0, 0.3);
  check("norm.weight", {5}, 1.0, 0.1);
  check("norm.bias", {5}, 0.0, 0.1);
  check("self_attn.pos_bias_u", {2, 3}, 0.0, 0.2);
  check("conv.weight", {4, 2, 2}, 0.0, 1.5 / 2.0);
}
