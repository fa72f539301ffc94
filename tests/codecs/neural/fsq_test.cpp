#include "codecs/neural/fsq.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <catch2/catch.hpp>
#include <cmath>

#include "runtime/core/error.h"
#include "tests/support/streaming_laws.h"

using namespace duet;
using codecs::Fsq;

namespace {

at::Tensor one_code(int64_t id) { return at::full({1, 1, 1}, id, at::kLong); }
at::Tensor row(std::vector<float> values) { return at::tensor(values).view({1, -1, 1}); }

}  // namespace

TEST_CASE("FSQ decodes to the reference's latents", "[golden]") {
  const Fsq fsq(1, {9, 8, 8, 7});
  CHECK(fsq.codebook_size() == 4032);
  CHECK(fsq.bases() == std::vector<int64_t>{1, 9, 72, 576});
  CHECK(at::equal(fsq.decode(one_code(0)), row({-1, -1, -1, -1})));
  CHECK(at::equal(fsq.decode(one_code(1)), row({-0.75F, -1, -1, -1})));
  CHECK(at::equal(fsq.decode(one_code(2016)), row({-1, -1, 0, 0})));
  CHECK(at::equal(fsq.decode(one_code(4031)), row({1, 0.75F, 0.75F, 1})));
  const at::Tensor all = at::arange(4032, at::kLong).view({1, 1, -1});
  CHECK(at::equal(fsq.decode(all + 4032),
                  fsq.decode(all)));  // control ids decode modulo the codebook's size
  CHECK(at::equal(fsq.encode(at::zeros({1, 4, 1})), one_code(2056)));
}

TEST_CASE("FSQ index arithmetic round-trips for every id", "[unit]") {
  const Fsq fsq(1, {9, 8, 8, 7});
  const at::Tensor all = at::arange(4032, at::kLong).view({1, 1, -1});
  const at::Tensor half = at::tensor({4.0F, 4.0F, 4.0F, 3.0F}).view({1, 4, 1});
  const at::Tensor base = at::tensor({1.0F, 9.0F, 72.0F, 576.0F}).view({1, 4, 1});
  const at::Tensor ids =
      ((fsq.decode(all) * half + half) * base).sum(1, true).round().to(at::kLong);
  CHECK(at::equal(ids, all));
}

TEST_CASE("FSQ keeps groups apart and its digits in range", "[unit]") {
  const Fsq fsq(4, {9, 8, 8, 7});
  const at::Tensor z = at::randn({2, 16, 50}) * 4.0;
  const at::Tensor codes = fsq.encode(z);
  REQUIRE(codes.sizes() == at::IntArrayRef({2, 4, 50}));
  CHECK(codes.min().item<int64_t>() >= 0);
  CHECK(codes.max().item<int64_t>() < 4032);
  const Fsq one(1, {9, 8, 8, 7});
  for (int64_t g = 0; g < 4; ++g) {
    CHECK(at::equal(one.encode(z.narrow(1, 4 * g, 4)), codes.narrow(1, g, 1)));
    CHECK(at::equal(one.decode(codes.narrow(1, g, 1)), fsq.decode(codes).narrow(1, 4 * g, 4)));
  }
  CHECK(at::equal(fsq.encode(at::full({1, 16, 1}, 100.0)), at::full({1, 4, 1}, 4031, at::kLong)));
  CHECK(at::equal(fsq.encode(at::full({1, 16, 1}, -100.0)), at::zeros({1, 4, 1}, at::kLong)));
}

TEST_CASE("FSQ's quantize is decode(encode) with the gradient of the squashed latent", "[unit]") {
  const Fsq fsq(2, {5, 4, 3});
  const at::Tensor z = at::randn({2, 6, 20}).set_requires_grad(true);
  const at::Tensor quantised = fsq.quantize(z);
  test::expect_close(quantised.detach(), fsq.decode(fsq.encode(z.detach())), {1e-6, 0.0});
  const auto grads = torch::autograd::grad({quantised.sum()}, {z});
  // d/dz of S tanh(z + tan(o / S)) / s, first dimension: L = 5, s = 2, S = 2 (1 - 1e-3), o = 0.
  const at::Tensor first = z.detach().select(1, 0);
  const at::Tensor want = 2.0 * (1.0 - 1e-3) / 2.0 * (1.0 - at::tanh(first).pow(2));
  test::expect_close(grads[0].select(1, 0), want, {1e-6, 1e-5});
}

TEST_CASE("FSQ rejects levels and groups that make no codebook", "[unit]") {
  CHECK_THROWS_AS(Fsq(0, {9}), core::ConfigError);
  CHECK_THROWS_AS(Fsq(1, {}), core::ConfigError);
  CHECK_THROWS_WITH(Fsq(1, {9, 1}),
                    Catch::Contains("FSQ levels: expected 2 or more each, found 1"));
}
