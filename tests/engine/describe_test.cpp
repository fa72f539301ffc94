#include "runtime/engine/describe.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/ones.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <nlohmann/json.hpp>

#include "models/weights/safetensors.h"
#include "runtime/engine/write_model.h"
#include "tests/support/golden_weights.h"
#include "tests/support/nemo_tiny.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_model.h"

using namespace duet::engine;
using duet::support::TempDir;

TEST_CASE("a valid model is described: parts, sizes, rates, cost", "[unit]") {
  const TempDir folder;
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

TEST_CASE("a NeMo bundle is described: parts, state, cost", "[unit]") {
  const duet::support::TempDir folder;
  duet::test::write_tiny_bundle(folder, duet::test::tiny_nemo_config());
  const Description d = describe_model(folder.path());
  INFO(description_text(d));
  CHECK(d.problems.empty());
  CHECK(d.kind == "NeMo bundle");
  CHECK(d.description == "NeMo duplex, LLM tiny");
  CHECK(d.out_sample_rate_hz == 22050);
  CHECK(d.out_step_samples == 1764);
  CHECK(d.num_codebooks == 2);
  REQUIRE(d.parts.size() == 3);
  // Every value belongs to a part, but for the gains that folding the weight norm takes away.
  int64_t gains = 0;
  for (const auto& [name, tensor] :
       duet::models::load_safetensors(folder.file("model.safetensors")))
    if (name.ends_with("weight_g") || name.ends_with("original0")) gains += tensor.numel();
  CHECK(gains > 0);
  CHECK(d.parts[0].num_values + d.parts[1].num_values + d.parts[2].num_values ==
        d.num_values - gains);

  // Mel: 8 hops of 80 filters over 257 bins. Subsampling: 80 bins become 41, 21, 11 in 8 channels,
  // 4, 2, 1 frames of them for one at the end, 3x3 and then 1x1; a matrix from 8 x 11 to 32.
  const int64_t mel = 8 * 80 * 257;
  const int64_t subsampling = 4 * 41 * 8 * 9 + 2 * 21 * 8 * (9 + 8) + 11 * 8 * (9 + 8) + 88 * 32;
  // A layer of 32: two feed-forwards of 64; q, k, v, o; scores and sums over 4 + 2 frames and the 7
  // distances between them; 32 -> 64, 9 taps, 32 -> 32.
  const int64_t layer = 2 * 2 * 32 * 64 + 4 * 32 * 32 + (2 * 6 + 7) * 32 + 3 * 32 * 32 + 9 * 32;
  // Two in the encoder; the adapter has a matrix and one; then the projection to 48.
  CHECK(d.parts[0].macs_per_step == mel + subsampling + 2 * layer + 32 * 32 + layer + 32 * 48);
  // q and o 48 x 48, k and v 48 x 24; feed-forward 3 x 48 x 64; scores and sums over 2048
  // positions.
  CHECK(d.parts[1].macs_per_step ==
        2 * (2 * 48 * 48 + 2 * 48 * 24 + 3 * 48 * 64 + 2 * 2048 * 48) + 48 * (40 + 2 * 63));
  CHECK(d.parts[2].macs_per_step > 0);
  for (const PartFigures& part : d.parts) CHECK(part.state_bytes > 0);
  CHECK(d.parts[0].delay_ms == Approx((1280 + 200) / 16.0));
  CHECK_THAT(description_text(d), Catch::Contains("FastConformer of 2 layers, conformer adapter"));
}

TEST_CASE("a NeMo bundle's misspelt key is found by describe as by the engine", "[unit]") {
  const duet::support::TempDir folder;
  std::string config = duet::test::tiny_nemo_config();
  duet::test::write_tiny_bundle(folder, config);
  config.replace(config.find("\"n_layers\""), 10, "\"n_layrs\": 1, \"n_layers\"");
  folder.write("config.json", config);
  const Description d = describe_model(folder.path());
  REQUIRE(d.problems.size() == 1);
  CHECK_THAT(d.problems[0], Catch::Contains("perception.encoder.n_layrs"));
}

TEST_CASE("every problem of a directory is told at once", "[unit]") {
  const TempDir folder;
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
  const TempDir folder;
  duet::test::write_tiny_model(folder.path());
  std::filesystem::remove(folder.file("config.json"));
  const Description d = describe_model(folder.path());
  REQUIRE(d.problems.size() == 1);
  CHECK_THAT(d.problems[0], Catch::Contains("config.json"));
  CHECK(d.num_values > 0);
  std::filesystem::resize_file(folder.file("model.safetensors"), 1000);
  CHECK(describe_model(folder.path()).problems.size() == 2);
  CHECK(describe_model("/no/such/folder").problems.size() == 2);
}

TEST_CASE("a model that is not finite is not written", "[unit]") {
  const TempDir folder;
  duet::models::TensorMap tensors = duet::test::tiny_model_tensors();
  tensors["lm.llm.norm.weight"][0] = NAN;
  CHECK_THROWS(write_bundled_model(duet::test::tiny_model_config(), tensors, folder.path()));
  CHECK(folder.num_files() == 0);
}
