#include <ATen/ATen.h>

#include <catch2/catch.hpp>

#include "models/nn/matrix.h"
#include "runtime/core/error.h"
#include "tests/support/nemo_tiny.h"
#include "tests/support/temp_dir.h"
#include "tools/speed/measure.h"

using namespace duet;

TEST_CASE("random weights: 8-bit rows are packed, fp32 ones are not, the spread is the asked one",
          "[unit]") {
  speed::RandomWeightReader int8({.is_int8 = true}), fp32({.is_int8 = false});
  const at::Tensor packed = int8.parameter("a.weight", {64, 512}, models::Init::fan_in());
  const at::Tensor plain = fp32.parameter("a.weight", {64, 512}, models::Init::fan_in());
  CHECK(models::nn::Matrix(packed).is_packed());
  CHECK_FALSE(models::nn::Matrix(plain).is_packed());
  // 1 / sqrt(512) = 0.0442
  CHECK(packed.std().item<double>() == Approx(0.0442).epsilon(0.03));
  CHECK(plain.std().item<double>() == Approx(0.0442).epsilon(0.03));
  CHECK(int8.num_values() == 64 * 512);
  CHECK(fp32.parameter("norm.weight", {8}, models::Init::fan_in()).min().item<float>() == 1.0F);
  CHECK_FALSE(int8.contains("x.weight_g"));
  CHECK(int8.contains("x.weight"));
  speed::RandomWeightReader shared({.shares_layers = true});
  const at::Tensor one = shared.parameter("1.weight", {8, 8}, models::Init::fan_in());
  CHECK(one.data_ptr() == shared.parameter("2.weight", {8, 8}, models::Init::fan_in()).data_ptr());
}

TEST_CASE("nemo-1.2b is as large as it says; unknown architectures are refused", "[unit]") {
  const auto config = speed::find_architecture("nemo-1.2b");
  CHECK(config.lm.llm.layers == 22);
  CHECK(config.lm.code_vocab == 4035);
  CHECK(config.nano.samples_per_frame() == 1764);
  CHECK_THROWS_AS(speed::find_architecture("nemo-9b"), core::ConfigError);
}

TEST_CASE("a small architecture at random weights is timed stage by stage", "[unit]") {
  const support::TempDir folder;
  test::write_tiny_bundle(folder, test::tiny_nemo_config());
  const speed::Parts parts = speed::random_parts(speed::find_architecture(folder.path()), true);
  CHECK(parts.num_values > 10000);
  const auto report = speed::measure(parts, {.num_steps = 12, .num_warm_up = 2, .batches = {1, 3}});
  REQUIRE(report.stages.size() == 6);
  CHECK(report.step().name == "step");
  CHECK(report.step().ms.size() == 12);
  for (std::size_t i = 0; i < 12; ++i) {
    double sum = 0.0;
    for (std::size_t s = 0; s + 1 < report.stages.size(); ++s) sum += report.stages[s].ms[i];
    CHECK(sum <= report.step().ms[i]);
    CHECK(sum > 0.0);
  }
  CHECK(report.budget_ms == 80.0);
  CHECK(report.batches.size() == 2);
  CHECK(report.session_bytes > 1000);
  // Told to stop at once, it still has a step to show.
  CHECK(speed::measure(parts, {.should_stop = [] { return true; }}).step().ms.size() == 1);
  CHECK(speed::measure(parts, {.num_warm_up = 0, .max_seconds = 0.0}).step().ms.size() == 1);
  CHECK_THROWS_AS(speed::measure(parts, {.num_steps = 0}), core::ConfigError);
}

TEST_CASE("a model with its own weights", "[unit]") {
  const support::TempDir folder;
  test::write_tiny_bundle(folder, test::tiny_nemo_config());
  const speed::Parts parts = speed::load_parts(folder.path());
  CHECK(parts.weights == "the model's own");
  CHECK(speed::measure(parts, {.num_steps = 3}).step().ms.size() == 3);
  CHECK_THROWS_AS(speed::load_parts(folder.file("none")), core::LoadError);
}
