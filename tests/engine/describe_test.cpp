#include "runtime/engine/describe.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/ones.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <nlohmann/json.hpp>

#include "runtime/engine/write_model.h"
#include "tests/support/golden_weights.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_model.h"

using namespace duet::engine;
using duet::testing::TemporaryFolder;

TEST_CASE("a valid model is described: parts, sizes, rates, cost", "[unit]") {
  const TemporaryFolder folder;
  duet::test::write_tiny_model(folder.path());
  const Description d = describe_model(folder.path());
  INFO(description_text(d));
  CHECK(d.problems.empty());
  CHECK(d.name == "tiny");
  CHECK(d.out_sample_rate_hz == 8000);
  CHECK(d.out_step_samples == 640);
  REQUIRE(d.parts.size() == 3);

  int64_t num_values = 0;
  for (const auto& entry : duet::test::tiny_model_tensors()) num_values += entry.second.numel();
  CHECK(d.num_values == num_values);
  CHECK(d.parts[0].num_values + d.parts[1].num_values + d.parts[2].num_values <
        num_values);  // the codec's encoder is extra
  CHECK(d.weight_bytes == 4 * num_values);
  CHECK(d.parts[0].delay_ms == Approx(12.5));
  CHECK(d.parts[2].delay_ms == Approx(30.0));
  // 2 layers: q, k, v, o 32 x (32 + 16 + 16 + 32), feed-forward 3 x 32 x 48, scores and sums over
  // 16 positions 2 x 16 x 32; adapter 24 x 32 + 32 x 32; heads 32 x (400 + 2 x 15).
  CHECK(d.parts[1].macs_per_step ==
        2 * (32 * 96 + 3 * 32 * 48 + 2 * 16 * 32) + 24 * 32 + 32 * 32 + 32 * 430);
  for (const PartFigures& part : d.parts) {
    CHECK(part.state_bytes > 0);
    CHECK(part.macs_per_step > 0);
  }
  CHECK(d.stored.at("I8").count > 0);
  CHECK_THAT(description_text(d),
             Catch::Contains("valid: every tensor is there, fits and is finite"));
  CHECK(nlohmann::json::parse(description_json(d))["parts"].size() == 3);
}

TEST_CASE("every problem of a directory is told at once", "[unit]") {
  const TemporaryFolder folder;
  duet::models::TensorMap tensors = duet::test::tiny_model_tensors();
  tensors.erase("lm.llm.norm.weight");
  tensors["lm.surplus"] = at::ones({2});
  tensors["encoder.conv1.bias"] = at::ones({17});
  write_bundled_model(duet::test::tiny_model_config(), tensors, folder.path());
  const Description d = describe_model(folder.path(), {"tokenizer.pad=<quiet>"});
  REQUIRE(d.problems.size() == 2);
  CHECK_THAT(d.problems[0], Catch::Contains("expected a piece <quiet>"));
  CHECK_THAT(d.problems[1], Catch::Contains("encoder.conv1.bias: expected [16], found [17]"));
  CHECK_THAT(d.problems[1], Catch::Contains("lm.llm.norm.weight: expected [32], found nothing"));
  CHECK_THAT(d.problems[1], Catch::Contains("lm.surplus: expected no such tensor, found [2]"));
  CHECK_THAT(description_text(d), Catch::Contains("2 problems:"));
}

TEST_CASE("a directory without configuration still shows its tensors", "[unit]") {
  const TemporaryFolder folder;
  duet::test::write_tiny_model(folder.path());
  std::filesystem::remove(folder / "config.json");
  const Description d = describe_model(folder.path());
  REQUIRE(d.problems.size() == 1);
  CHECK_THAT(d.problems[0], Catch::Contains("config.json"));
  CHECK(d.num_values > 0);
  std::filesystem::resize_file(folder / "model.safetensors", 1000);
  CHECK(describe_model(folder.path()).problems.size() == 2);
  CHECK(describe_model("/no/such/folder").problems.size() == 2);
}

TEST_CASE("a model that is not finite is not written", "[unit]") {
  const TemporaryFolder folder;
  duet::models::TensorMap tensors = duet::test::tiny_model_tensors();
  tensors["lm.llm.norm.weight"][0] = NAN;
  CHECK_THROWS(write_bundled_model(duet::test::tiny_model_config(), tensors, folder.path()));
  CHECK(folder.num_files() == 0);
}
