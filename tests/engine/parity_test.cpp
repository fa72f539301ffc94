#include "runtime/engine/parity.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "models/nemo_duplex.h"
#include "models/weights/safetensors.h"
#include "runtime/core/error.h"
#include "tests/support/golden_weights.h"
#include "tests/support/nemo_golden.h"
#include "tests/support/nemo_tiny.h"

using namespace duet;
using engine::ParityReport;

namespace {

const char* const kDump = DUET_SOURCE_DIR "/tests/data/nemo_tiny_reference.safetensors";

struct Tiny {
  test::GoldenWeightReader reader;
  models::WeightScope root{reader};
  models::NemoDuplexConfig config;
  models::NemoPerception perception;
  models::DuplexLm lm;
  codecs::NanoDecoder codec;

  Tiny()
      : config(models::parse_nemo_duplex(
            core::ConfigReader::parse(test::tiny_nemo_config(), "config.json"),
            models::parse_nemo_llm(
                core::ConfigReader::parse(test::tiny_llm_config(), "llm_config.json")),
            2, 60, 0)),
        perception(config.perception, root.sub("perception")),
        lm(config.lm, root),
        codec(codecs::NanoCodecConfig::parse(
                  core::ConfigReader::parse(test::tiny_codec_config(), "codec_config.yaml")),
              root.sub("audio_codec")) {}
  engine::ParityModel parts() const { return {&perception, &lm, &codec, {}}; }
};

const engine::StageParity& stage(const ParityReport& report, const std::string& name) {
  for (const auto& each : report.stages)
    if (each.stage == name) return each;
  FAIL("no stage " << name);
  throw std::logic_error(name);
}

std::string refusal(const Tiny& tiny, const models::TensorMap& dump) {
  try {
    engine::compare_with_reference(tiny.parts(), dump, "dump.safetensors");
  } catch (const core::LoadError& error) {
    return error.what();
  }
  return "accepted";
}

}  // namespace

TEST_CASE("the tiny model agrees with its reference dump in every stage", "[golden]") {
  const Tiny tiny;
  const ParityReport report = engine::compare_with_reference(
      tiny.parts(), models::load_safetensors(kDump), kDump, {5e-4, 0.0});
  INFO(report.to_table());
  CHECK(report.is_within());
  std::vector<std::string> names;
  for (const auto& each : report.stages) names.push_back(each.stage);
  CHECK(names == std::vector<std::string>{"mel", "pre_encode", "encoder", "adapter", "user",
                                          "user, streamed", "text_logits", "audio_logits",
                                          "decoded_codes", "audio"});
  CHECK(stage(report, "mel").num_values == 6400);
  CHECK(stage(report, "audio").max < 2e-5);
  REQUIRE(report.tokens.size() == 2);
  for (const auto& mode : report.tokens) {
    CHECK(mode.num_steps == 11);
    CHECK(mode.num_equal_text == 11);
    CHECK(mode.num_equal_codes == 11);
  }
}

TEST_CASE("parity finds the stage and the first step that differ", "[unit]") {
  const Tiny tiny;
  models::TensorMap dump = models::load_safetensors(kDump);
  dump["encoder"] = dump["encoder"].clone();
  dump["encoder"][4][7] += 0.5;
  dump["encoder"][9][0] += 0.25;
  dump["text"] = dump["text"].clone();
  dump["text"][6] = 11;
  dump["audio"] = dump["audio"].narrow(0, 0, 150).clone();
  const ParityReport report = engine::compare_with_reference(tiny.parts(), dump, kDump);
  CHECK_FALSE(report.is_within());
  CHECK(stage(report, "mel").is_within());
  const auto& encoder = stage(report, "encoder");
  CHECK(encoder.first_differing == 4);
  CHECK(encoder.max == Approx(0.5).margin(1e-4));
  CHECK(encoder.p99 < 1e-3);  // two of 352 values
  CHECK(encoder.mean == Approx(0.75 / 352).margin(1e-4));
  CHECK(stage(report, "audio").problem == "shape [165], reference [150]");
  // Step 6 says something else than the dump; step 7 hears the dump's token and may differ too,
  // earlier ones not.
  CHECK(report.tokens[0].mode == "teacher-forced");
  CHECK(report.tokens[0].first_differing == 6);
  CHECK(report.tokens[1].first_differing == 6);
  CHECK(report.tokens[1].num_equal_text == 10);  // ours goes its own way, which is the old dump's
  CHECK(report.tokens[1].num_equal_codes == 11);
}

TEST_CASE("percentiles are nearest ranks", "[unit]") {
  const Tiny tiny;
  models::TensorMap dump = models::load_safetensors(kDump);
  at::InferenceMode inference;
  // pcm and mel only: stages that are not in the dump are not compared.
  models::TensorMap small{
      {"pcm", dump["pcm"].clone()},
      {"mel", tiny.perception.forward_stages(dump["pcm"].unsqueeze(0)).mel[0].clone()}};
  at::Tensor flat = small["mel"].view({-1});
  for (int64_t i = 0; i < 641; ++i) flat[i * 7] += 1.0;  // one more than a tenth of 6400
  ParityReport report = engine::compare_with_reference(tiny.parts(), small, "dump");
  REQUIRE(report.stages.size() == 1);
  CHECK(report.tokens.empty());
  CHECK(stage(report, "mel").p90 == Approx(1.0).margin(1e-5));
  flat[0] -= 1.0;  // exactly a tenth: the rank 0.9 * 6400 is the last of the equal ones
  report = engine::compare_with_reference(tiny.parts(), small, "dump");
  CHECK(stage(report, "mel").p90 < 1e-5);
}

TEST_CASE("values that are not numbers are a problem, not agreement", "[unit]") {
  const Tiny tiny;
  models::TensorMap dump = models::load_safetensors(kDump);
  dump["mel"] = dump["mel"].clone();
  dump["mel"][3][3] = std::numeric_limits<float>::quiet_NaN();
  const ParityReport report = engine::compare_with_reference(tiny.parts(), dump, kDump);
  CHECK(stage(report, "mel").problem == "values that are not finite");
  CHECK_FALSE(report.is_within());
}

TEST_CASE("dumps that are not what they say are refused in one line", "[unit]") {
  const Tiny tiny;
  const models::TensorMap good = models::load_safetensors(kDump);
  const auto with = [&](const std::string& name, const at::Tensor& value) {
    models::TensorMap dump = good;
    dump[name] = value;
    return refusal(tiny, dump);
  };
  models::TensorMap dump = good;
  dump.erase("pcm");
  CHECK(refusal(tiny, dump) ==
        "pcm: expected the user's samples at 16 kHz, found nothing in dump.safetensors");
  dump = good;
  dump.erase("codes");
  CHECK(refusal(tiny, dump) ==
        "codes: expected both text and codes, or neither, found only one of them in "
        "dump.safetensors");
  CHECK_THAT(with("melt", at::zeros({1})),
             Catch::Contains("melt: expected one of the names of docs/parity.md"));
  CHECK_THAT(with("mel", at::zeros({80})), Catch::Contains("mel: expected 2 axes, found [80]"));
  CHECK_THAT(with("text", at::zeros({11})),
             Catch::Contains("text: expected integers, found Float"));
  CHECK_THAT(with("text", at::zeros({7}, at::kLong)),
             Catch::Contains("text: expected 11 steps, found [7]"));
  CHECK_THAT(with("text", at::full({11}, 40, at::kLong)),
             Catch::Contains("text: expected ids below 40"));
  CHECK_THAT(with("codes", at::zeros({11, 3}, at::kLong)),
             Catch::Contains("codes: expected [11,2], found [11,3]"));
}

TEST_CASE("the report reads the same as a table and as JSON", "[unit]") {
  const Tiny tiny;
  const ParityReport report =
      engine::compare_with_reference(tiny.parts(), models::load_safetensors(kDump), kDump);
  CHECK_THAT(
      report.to_table(),
      Catch::Contains("tokens, free-running:   text 11 of 11, codes 11 of 11, no step differs"));
  CHECK_THAT(report.to_table(), Catch::Contains("limit 0.0005 + 0.001 |ref|: within"));
  const auto json = nlohmann::json::parse(report.to_json());
  CHECK(json["within"] == true);
  CHECK(json["stages"].size() == report.stages.size());
  CHECK(json["stages"][0]["stage"] == "mel");
  CHECK(json["tokens"][0]["first_differing"].is_null());
}
