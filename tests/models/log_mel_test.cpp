#include "models/nn/log_mel.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>

#include "runtime/core/error.h"
#include "tests/support/golden_weights.h"
#include "tests/support/nemo_golden.h"
#include "tests/support/streaming_laws.h"

using namespace duet;
using models::nn::NemoLogMel;

namespace {
NemoLogMel make_log_mel(NemoLogMel::Config config = {}) {
  test::GoldenWeightReader reader;
  return {config, models::WeightScope(reader).sub("perception").sub("preprocessor")};
}
}  // namespace

TEST_CASE("the Slaney filter bank and the window have the reference's values", "[golden]") {
  const NemoLogMel mel = make_log_mel();
  const at::Tensor bank = mel.filterbank()[0];
  CHECK(bank[0][1].item<float>() == Approx(0.02253456).margin(1e-8));
  CHECK(bank[0][2].item<float>() == Approx(0.00863771).margin(1e-8));
  CHECK(bank[79][247].item<float>() == Approx(0.00315534).margin(1e-8));
  CHECK(bank.to(at::kDouble).sum().item<double>() == Approx(2.558261).margin(1e-6));
  CHECK(mel.window()[1].item<float>() == Approx(6.19888e-5).margin(1e-10));
  CHECK(mel.window()[199].item<float>() == Approx(0.99998450).margin(1e-7));
  CHECK(mel.window()[200].item<float>() == Approx(0.99998450).margin(1e-7));
  CHECK(mel.window()[0].item<float>() == 0.0F);
  CHECK(mel.window()[399].item<float>() == 0.0F);
}

TEST_CASE("log-mel frames of the golden signal", "[golden]") {
  const at::Tensor mel = make_log_mel().forward(test::golden_signal());
  REQUIRE(mel.sizes().vec() == std::vector<int64_t>{1, 80, 80});
  const at::Tensor bins = at::tensor({0, 5, 10, 20, 40, 79}, at::kLong);
  const at::Tensor got =
      mel[0].index_select(0, at::tensor({0, 1, 40, 79}, at::kLong)).index_select(1, bins);
  const at::Tensor want =
      at::tensor({-7.66363,  -5.10607,  -0.75084, -7.74478,  -5.51247,  -8.21971,   //
                  -12.71404, -9.41666,  0.17845,  -9.58993,  -10.15773, -12.83789,  //
                  -15.86424, -11.56843, 0.17632,  -14.71582, -16.61930, -16.63553,  //
                  -11.43799, -9.59884,  0.17494,  -8.69367,  -14.51066, -16.51178})
          .reshape({4, 6});
  test::expect_close(got, want, test::kGoldenTolerance);
}

TEST_CASE("silence gives the logarithm of the guard", "[unit]") {
  const at::Tensor mel = make_log_mel().forward(at::zeros({1, 1600}));
  test::expect_close(mel, at::full_like(mel, -16.6355), {1e-4, 0.0});
}

TEST_CASE("the log-mel stream obeys the laws", "[property]") {
  const NemoLogMel mel = make_log_mel();
  const auto subject = test::make_subject(
      mel, {.input_time_axis = 1, .output_time_axis = 1, .granularity = 1, .has_empty_step = true});
  // 10^-4 of a log: rounding of an fp32 FFT bin far below the others, not of the path (which is the
  // same).
  const test::Tolerance tolerance{1e-5, 1e-5};
  for (const int64_t length :
       {0, 1, 39, 40, 159, 160, 161, 199, 200, 201, 359, 360, 4000, 4039, 4040, 5003})
    test::check_chunking(subject, test::noise({2, length}, 7), {40, 123, 160, 1280, 4000},
                         tolerance);
  test::check_all_laws(subject, test::noise({2, 5003}, 8), {123, 1280}, tolerance);
  // Frame m ends with sample 160 m + 198.
  test::check_causality(subject, test::noise({1, 4000}, 9), 160 * 10 + 199, 11);
}

TEST_CASE("log-mel frame m needs sample 160 m + 198", "[property]") {
  const NemoLogMel mel = make_log_mel();
  const at::Tensor x = test::noise({1, 4000}, 9);
  at::Tensor changed = x.clone();
  changed[0][160 * 10 + 198] += 0.5F;
  const at::Tensor before = mel.forward(x)[0], after = mel.forward(changed)[0];
  CHECK_FALSE(at::equal(before[10], after[10]));
  CHECK(at::equal(before.narrow(0, 0, 10), after.narrow(0, 0, 10)));
}

TEST_CASE("a log-mel stream gives a frame as soon as half a window past its centre is there",
          "[unit]") {
  const NemoLogMel mel = make_log_mel();
  auto state = mel.initial_state(1);
  CHECK(mel.step(at::zeros({1, 199}), state).size(1) == 0);
  CHECK(mel.step(at::zeros({1, 1}), state).size(1) == 1);
  CHECK(mel.step(at::zeros({1, 159}), state).size(1) == 0);
  CHECK(mel.step(at::zeros({1, 1}), state).size(1) == 1);
}

TEST_CASE("log-mel settings out of range are refused", "[unit]") {
  NemoLogMel::Config config;
  config.high_hz = 9000.0;
  CHECK_THROWS_AS(config.validate(), core::ConfigError);
  config = {};
  config.n_fft = 256;
  CHECK_THROWS_WITH(config.validate(),
                    "preprocessor.n_fft: expected >= window_size samples, found 256");
}
