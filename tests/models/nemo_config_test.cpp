// NeMo's config.json: what is read, and what is refused with which words.
#include <ATen/ATen.h>

#include <catch2/catch.hpp>

#include "models/nemo_duplex.h"
#include "runtime/core/error.h"
#include "tests/support/nemo_golden.h"
#include "tests/support/nemo_tiny.h"

using namespace duet;

namespace {

core::ConfigReader tiny_with(const std::vector<std::string>& overrides) {
  core::ConfigReader config = core::ConfigReader::parse(test::tiny_nemo_config(), "config.json");
  for (const std::string& assignment : overrides) config.override_with(assignment);
  return config;
}

models::NemoDuplexConfig parse(const core::ConfigReader& config,
                               std::optional<models::nn::ChunkContext> context = {}) {
  const auto llm =
      models::parse_nemo_llm(core::ConfigReader::parse(test::tiny_llm_config(), "llm_config.json"));
  models::NemoDuplexConfig out = models::parse_nemo_duplex(config, llm, 2, 60, 0, context);
  config.finish();
  return out;
}

std::string refusal(const std::vector<std::string>& overrides) {
  try {
    parse(tiny_with(overrides));
  } catch (const core::ConfigError& error) {
    return error.what();
  }
  return "accepted";
}

void check_refused(const std::string& assignment, const std::string& part) {
  INFO(assignment);
  CHECK_THAT(refusal({assignment}), Catch::Contains(part));
}

}  // namespace

TEST_CASE("a NeMo config is read into the sizes of the golden tiny model", "[unit]") {
  const models::NemoDuplexConfig config = parse(tiny_with({}));
  const models::NemoPerceptionConfig want = test::tiny_perception();
  CHECK(config.perception.log_mel.window_samples == 400);
  CHECK(config.perception.log_mel.hop_samples == 160);
  CHECK(config.perception.log_mel.log_guard == 0x1p-24);
  CHECK(config.perception.encoder.subsampling_factor == 8);
  CHECK(config.perception.encoder.subsampling_channels == 8);
  CHECK(config.perception.encoder.conformer.num_layers == 2);
  CHECK(config.perception.encoder.conformer.width == want.encoder.conformer.width);
  CHECK(config.perception.encoder.conformer.context.left == 4);
  CHECK(config.perception.encoder.conformer.context.chunk == 2);  // the first of the list
  REQUIRE(config.perception.adapter.has_value());
  CHECK(config.perception.adapter->subsampling_factor == 1);
  CHECK(config.perception.projection_in == 32);
  CHECK(config.perception.out_width == 48);
  CHECK(config.lm.user_channel_weight == 2.0);
  CHECK(config.lm.code_vocab == 63);
  CHECK(config.lm.llm.head_dim == 12);
  CHECK(config.lm.llm.window == 2048);
  CHECK_FALSE(config.lora.has_value());
}

TEST_CASE("a context of a multi-look-ahead checkpoint can be chosen, others not", "[unit]") {
  CHECK(parse(tiny_with({}), models::nn::ChunkContext{4, 1})
            .perception.encoder.conformer.context.chunk == 1);
  try {
    parse(tiny_with({}), models::nn::ChunkContext{6, 2});
    FAIL("expected a ConfigError");
  } catch (const core::ConfigError& error) {
    CHECK_THAT(
        error.what(),
        Catch::Contains("perception.encoder.att_context_size: expected [6,1], found [4,1], [4,0]"));
  }
}

TEST_CASE("configs that cannot be streamed are refused by name", "[unit]") {
  check_refused("perception.preprocessor.normalize=per_feature",
                "perception.preprocessor.normalize: expected 'NA', found 'per_feature'");
  check_refused(
      "perception.encoder.att_context_style=regular",
      "perception.encoder.att_context_style: expected 'chunked_limited', found 'regular'");
  check_refused("perception.encoder.causal_downsampling=false",
                "perception.encoder.causal_downsampling: expected true, found false");
  check_refused("perception.encoder.att_context_size=[-1,-1]",
                "perception.encoder.att_context_size: expected left >= 0");
  check_refused("perception.encoder.att_context_size=[-1,0]", "unlimited past");
  check_refused("perception.encoder.att_context_size=[5,1]", "left a multiple of right + 1 = 2");
  check_refused("perception.encoder.att_context_size=null", "perception.encoder.att_context_size");
  check_refused("perception.encoder.conv_context_size=null",
                "perception.encoder.conv_context_size: expected 'causal'");
  check_refused("perception.encoder.conv_context_size=[4,4]",
                "perception.encoder.conv_context_size");
  check_refused("perception.encoder.self_attention_model=abs_pos",
                "perception.encoder.self_attention_model");
  check_refused("perception.encoder.subsampling=striding",
                "perception.encoder.subsampling: expected 'dw_striding'");
  check_refused("perception.encoder.reduction=pooling",
                "perception.encoder.reduction: expected null");
  check_refused("perception.encoder._target_=x.SqueezeformerEncoder", "expected ConformerEncoder");
  check_refused("perception.modality_adapter._target_=x.QformerConnector",
                "ConformerEncoder or IdentityConnector");
  check_refused("perception.preprocessor.sample_rate=8000",
                "perception.preprocessor.sample_rate: expected 16000");
  check_refused("perception.encoder.subsampling_factor=4",
                "samples per encoder frame: expected 1280, found 640");
  check_refused("perception.encoder.feat_in=64",
                "perception.encoder.feat_in: expected 80, found 64");
  check_refused("perception.output_dim=64", "expected 48 (hidden_size of the LLM), found 64");
  check_refused("speech_decoder={}", "second transformer");
  check_refused("perception.encoder.att_contxt_size=[4,1]", "att_contxt_size");
}

TEST_CASE("settings that eval mode honours are read", "[unit]") {
  const auto config = parse(tiny_with(
      {"perception.encoder.use_bias=false", "perception.encoder.xscaling=false",
       "perception.encoder.untie_biases=false", "perception.encoder.conv_norm_type=batch_norm",
       "perception.encoder.conv_context_size=[8,0]", "lora={r: 4, lora_alpha: 8}"}));
  CHECK_FALSE(config.perception.encoder.conformer.has_bias);
  CHECK_FALSE(config.perception.encoder.is_scaled);
  CHECK_FALSE(config.perception.encoder.conformer.has_untied_biases);
  CHECK(config.perception.encoder.conformer.conv_norm ==
        models::nn::ConformerConfig::ConvNorm::kBatchNorm);
  REQUIRE(config.lora.has_value());
  CHECK(config.lora->alpha == 8.0);
}

TEST_CASE("an identity connector projects when it carries a d_model", "[unit]") {
  const char* with = "perception.modality_adapter={_target_: x.IdentityConnector, d_model: 32}";
  CHECK(parse(tiny_with({with})).perception.projection_in == 32);
  CHECK_FALSE(parse(tiny_with({with})).perception.adapter.has_value());
  // Without a projection the encoder's width must be the LLM's.
  CHECK_THAT(refusal({"perception.modality_adapter={_target_: x.IdentityConnector}"}),
             Catch::Contains("perception.output_dim: expected 32, found 48"));
}

TEST_CASE("language models of other kinds are refused by name", "[unit]") {
  const auto refused = [](const std::string& assignment) {
    core::ConfigReader config =
        core::ConfigReader::parse(test::tiny_llm_config(), "llm_config.json");
    config.override_with(assignment);
    try {
      models::parse_nemo_llm(config);
    } catch (const core::ConfigError& error) {
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  CHECK_THAT(refused("model_type=gpt2"), Catch::Contains("model_type"));
  CHECK_THAT(refused("rope_scaling={rope_type: llama3, factor: 8.0}"),
             Catch::Contains("RoPE scaling is not supported"));
  CHECK_THAT(refused("attention_bias=true"),
             Catch::Contains("attention_bias: expected false, found true"));
  CHECK_THAT(refused("num_key_value_heads=3"), Catch::Contains("kv_heads"));
  CHECK(refused("rope_scaling={rope_type: default}") == "accepted");
}
