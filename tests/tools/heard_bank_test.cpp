#include "tools/train/heard_bank.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>

using namespace duet::train;

namespace {

// Two pieces and the blank; frame t holds the value t.
struct Heard {
  at::Tensor user, posterior;
  std::vector<float> speaking;
};

Heard heard(const std::vector<int64_t>& ids, const std::vector<float>& speaking,
            double share = 0.9) {
  const auto steps = static_cast<int64_t>(ids.size());
  Heard out{at::arange(steps, at::kFloat).view({1, steps, 1}).expand({1, steps, 4}).contiguous(),
            at::full({1, steps, 3}, (1.0 - share) / 2.0), speaking};
  for (int64_t t = 0; t < steps; ++t) out.posterior[0][t][ids[static_cast<size_t>(t)]] = share;
  return out;
}

}  // namespace

TEST_CASE("frames are drawn by what they were recognised as", "[unit]") {
  HeardBank bank(2);
  CHECK_FALSE(bank.covers({0}));
  // piece 0 at 1, a blank inside speech at 2, piece 1 at 3; silence from 9 on (4 steps after the
  // last speech)
  const Heard h = heard({2, 0, 2, 1, 2, 2, 2, 2, 2, 2}, {0, 1, 1, 1, 1, 0, 0, 0, 0, 0});
  bank.add(h.user, h.posterior, {&h.speaking});
  CHECK(bank.num_covered() == 2);
  REQUIRE(bank.covers({0, 1, kHeardBlank, kHeardSilence}));
  Random random(1);
  for (int i = 0; i < 30; ++i) {
    const at::Tensor frames = bank.draw({0, 1, kHeardBlank, kHeardSilence}, random);
    REQUIRE(frames.sizes() == at::IntArrayRef({4, 4}));
    CHECK(frames[0][0].item<float>() == 1.0f);
    CHECK(frames[1][0].item<float>() == 3.0f);
    const float blank = frames[2][0].item<float>(), silence = frames[3][0].item<float>();
    CHECK((blank == 2.0f || blank == 4.0f));
    CHECK((silence == 0.0f || silence == 9.0f));
  }
}

TEST_CASE("frames that are recognised as nothing clear are not kept", "[unit]") {
  HeardBank bank(2);
  const Heard h = heard({0, 1, 2}, {1, 1, 1}, 0.45);
  bank.add(h.user, h.posterior, {&h.speaking});
  CHECK(bank.num_covered() == 0);
  CHECK_FALSE(bank.covers({kHeardBlank}));
}

TEST_CASE("the bank keeps the last frames of a piece only", "[unit]") {
  HeardBank bank(2, /*per_piece=*/2);
  const Heard h = heard({0, 0, 0, 0, 0}, {1, 1, 1, 1, 1});
  bank.add(h.user, h.posterior, {&h.speaking});
  Random random(1);
  for (int i = 0; i < 30; ++i) CHECK(bank.draw({0}, random)[0][0].item<float>() >= 3.0f);
}
