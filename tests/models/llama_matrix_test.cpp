#include "models/nn/matrix.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <catch2/catch.hpp>

#include "models/nn/layers.h"
#include "tests/support/nemo_golden.h"
#include "tests/support/streaming_laws.h"

using namespace duet;
using models::nn::Matrix;

namespace {

constexpr int64_t kRows = 70, kWidth = 101;  // no multiples of the vector width

/// Integers in -127..127 times a scale a row, the largest reached.
at::Tensor eight_bit() {
  at::Tensor values = (test::noise({kRows, kWidth}, 1) * 254).round();
  values.select(1, 3).fill_(-127);
  return values * (test::noise({kRows, 1}, 2) + 0.6) * 0.01;
}

at::Tensor exactly(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  return at::linear(x.to(at::kDouble), weight.to(at::kDouble), bias.to(at::kDouble)).to(at::kFloat);
}

/// What a matrix in 8 bits multiplies: each row in 16 bits.
at::Tensor rounded(const at::Tensor& x, bool is_eight_bit) {
  if (!is_eight_bit) return x;
  const at::Tensor largest = x.abs().amax(-1, true);
  return at::round(x * (32767.0 / largest)) * (largest / 32767.0);
}

}  // namespace

TEST_CASE("one-row products are those of the definition, in fp32 and in 8 bits", "[unit]") {
  const at::NoGradGuard no_grad;
  const bool is_eight_bit = GENERATE(false, true);
  const Matrix matrix(is_eight_bit ? eight_bit() : test::noise({kRows, kWidth}, 3));
  CHECK(matrix.is_packed() == is_eight_bit);
  const at::Tensor x = test::noise({1, 1, kWidth}, 4), bias = test::noise({kRows}, 5);
  const at::Tensor y = matrix.multiply(x, bias);
  CHECK(y.sizes() == at::IntArrayRef({1, 1, kRows}));
  test::expect_close(y, exactly(rounded(x, is_eight_bit), matrix.weight(), bias),
                     test::kStreamTolerance);
  test::expect_close(matrix.multiply(x),
                     exactly(rounded(x, is_eight_bit), matrix.weight(), at::zeros({kRows})),
                     test::kStreamTolerance);
  const at::Tensor many = test::noise({3, kWidth}, 6);
  test::expect_close(matrix.multiply(many, bias),
                     exactly(rounded(many, is_eight_bit), matrix.weight(), bias),
                     test::kStreamTolerance);
}

TEST_CASE("a row of zeros has an 8-bit form, one odd value has not", "[unit]") {
  at::Tensor weight = eight_bit();
  weight.select(0, 5).zero_();
  CHECK(Matrix(weight).is_packed());
  weight[69][100] += 1e-4;
  CHECK_FALSE(Matrix(weight).is_packed());
}

TEST_CASE("a matrix being trained is read as it is now", "[unit]") {
  at::Tensor weight = eight_bit();
  const Matrix matrix(weight);
  weight.requires_grad_(true);
  const at::Tensor x = test::noise({1, kWidth}, 4);
  const at::NoGradGuard no_grad;
  weight.mul_(2.0);
  test::expect_close(matrix.multiply(x), exactly(x, weight, at::zeros({kRows})),
                     test::kStreamTolerance);
}

TEST_CASE("a row's product does not depend on the rows beside it, to the bit", "[unit]") {
  const at::NoGradGuard no_grad;
  const bool is_eight_bit = GENERATE(false, true);
  const Matrix matrix(is_eight_bit ? eight_bit() : test::noise({kRows, kWidth}, 3));
  const at::Tensor bias = test::noise({kRows}, 5);
  for (const int64_t count : {2, 3, 4, 5, 8, 11, 128}) {
    const at::Tensor x = test::noise({count, kWidth}, 7), y = matrix.multiply(x, bias);
    test::expect_close(y, exactly(rounded(x, is_eight_bit), matrix.weight(), bias),
                       test::kStreamTolerance);
    for (int64_t n = 0; n < count; ++n)
      CHECK(at::equal(matrix.multiply(x.narrow(0, n, 1), bias), y.narrow(0, n, 1)));
  }
}

TEST_CASE("in 8 bits a whole recording gives what its steps give, to the bit", "[property]") {
  const at::NoGradGuard no_grad;
  const Matrix matrix(eight_bit());
  const at::Tensor x = test::noise({1, 300, kWidth}, 8), y = matrix.multiply(x);
  for (const int64_t t : {0, 1, 127, 128, 255, 256, 299})
    CHECK(at::equal(matrix.multiply(x.narrow(1, t, 1)), y.narrow(1, t, 1)));
}

TEST_CASE("attention of a step, over a part of a cache, is that under a mask of all keys",
          "[unit]") {
  const at::NoGradGuard no_grad;
  const at::Tensor cache_k = test::noise({2, 3, 40, 24}, 11),
                   cache_v = test::noise({2, 3, 40, 24}, 12);
  for (const int64_t filled : {1, 7, 40})
    for (const int64_t num : {1, 4, 17}) {  // 17: no few any more
      const at::Tensor q = test::noise({2, num, 3, 24}, 13).transpose(1, 2) * 3.0,
                       k = cache_k.narrow(2, 0, filled), v = cache_v.narrow(2, 0, filled);
      test::expect_close(models::nn::attention(q, k, v),
                         models::nn::attention(q, k, v, at::ones({num, filled}, at::kBool)),
                         test::kStreamTolerance);
    }
}
