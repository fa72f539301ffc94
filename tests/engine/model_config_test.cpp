#include "runtime/engine/model_config.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/ones.h>

#include <catch2/catch.hpp>
#include <filesystem>

#include "models/weights/safetensors.h"
#include "runtime/core/config_reader.h"
#include "runtime/core/error.h"
#include "runtime/engine/write_model.h"
#include "tests/support/golden_weights.h"
#include "tests/support/nemo_tiny.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_model.h"

using namespace duet::engine;
using duet::core::ConfigError;
using duet::core::Error;
using duet::core::LoadError;
using duet::support::error_of;
using duet::support::TempDir;

namespace {

// The message without the folder.
template <typename E, typename Call>
std::string told(const TempDir& folder, Call&& call) {
  std::string text = error_of<E>(call);
  for (size_t at; (at = text.find(folder.path())) != std::string::npos;)
    text.replace(at, folder.path().size(), "DIR");
  return text;
}

void write_nemo_model(const TempDir& folder, bool is_tied) {
  auto config = duet::core::ConfigReader::parse(duet::test::tiny_nemo_config(), "config.json");
  config.override_with("lora={task_type: CAUSAL_LM, r: 2, lora_alpha: 4}");
  folder.write("config.json", config.to_json());
  auto llm = duet::core::ConfigReader::parse(duet::test::tiny_llm_config(), "llm_config.json");
  llm.override_with("head_dim=null");
  llm.override_with("vocab_size=420");
  folder.write("llm_config.json", llm.to_json());
  folder.write("codec_config.yaml",
               "sample_rate: 22050\nsamples_per_frame: 1764\n"
               "vector_quantizer: {_target_: x.GroupFiniteScalarQuantizer, num_groups: 2, "
               "num_levels_per_group: [5, 4, 3]}\n"
               "audio_decoder: {_target_: x.CausalHiFiGANDecoder, up_sample_rates: [7, 7, 6, 6], "
               "input_dim: 6, base_channels: 32,\n"
               "  activation: half_snake, output_activation: clamp, pad_mode: zeros}\n");
  folder.write("tokenizer.json", TempDir::read(DUET_SOURCE_DIR "/tests/data/tokenizer/llama.json"));
  folder.write("tokenizer_config.json",
               R"({"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"})");
  const std::string q = "llm.base_model.model.layers.0.self_attn.q_proj";
  duet::models::TensorMap tensors = {{q + ".base_layer.weight", at::ones({48, 48})},
                                     {q + ".lora_A.default.weight", at::ones({2, 48})},
                                     {q + ".lora_B.default.weight", at::ones({48, 2})},
                                     {"audio_codec.x.weight_g", at::ones({2, 1})},
                                     {"audio_codec.x.weight_v", at::ones({2, 4})}};
  if (!is_tied) tensors["lm_head.weight"] = at::ones({420, 48});
  duet::models::save_safetensors(folder.file("model.safetensors"), tensors);
}

}  // namespace

TEST_CASE("a bundled model comes back as it was written", "[unit]") {
  const TempDir folder;
  duet::test::write_tiny_model(folder.path());
  CHECK(folder.num_files() == 3);
  ModelConfig config = read_model_config(folder.path());
  CHECK(config.kind == ModelKind::kBundled);
  CHECK(bundled_config_json(config) == bundled_config_json(duet::test::tiny_model_config()));
  CHECK(config.whisper.top_left == 4);
  CHECK(config.lm.llm.window == 16);
  CHECK(config.lm.user_width == 24);
  CHECK(config.silence_codes == std::vector<int64_t>{5, 6});
  CHECK(config.codec_samples_per_frame() == 640);

  const ModelTokenizers tokenizers = load_model_tokenizers(config);
  CHECK(tokenizers.ids.pad == 3);
  CHECK(tokenizers.ids.bos == 1);
  CHECK(tokenizers.ids.eos == 2);
  CHECK(config.lm.text_pad == 3);
  REQUIRE(tokenizers.ctc);

  const duet::models::TensorMap tensors = load_model_tensors(config),
                                want = duet::test::tiny_model_tensors();
  REQUIRE(tensors.size() == want.size());
  for (const auto& [name, tensor] : want) {
    INFO(name);
    REQUIRE(tensors.count(name) == 1);
    CHECK(tensors.at(name).sizes() == tensor.sizes());
    CHECK(tensors.at(name).allclose(tensor.to(tensors.at(name).scalar_type()), 1e-3,
                                    tensor.abs().max().item<double>() / 250));
  }
}

TEST_CASE("overrides reach the configuration", "[unit]") {
  const TempDir folder;
  duet::test::write_tiny_model(folder.path());
  CHECK(read_model_config(folder.path(), {"lm.window=9", "name=other"}).lm.llm.window == 9);
  CHECK(read_model_config(folder.path(), {"eagerness=-1.5"}).eagerness == -1.5);
  CHECK(read_model_config(folder.path()).eagerness == 0.0);
}

TEST_CASE("interruptibility and eagerness are written where they are not 0", "[unit]") {
  ModelConfig config = duet::test::tiny_model_config();
  CHECK(bundled_config_json(config).find("eagerness") == std::string::npos);
  config.interruptibility = 0.5;
  config.eagerness = -1.5;
  const std::string json = bundled_config_json(config);
  CHECK_THAT(
      json, Catch::Contains("\"interruptibility\": 0.5") && Catch::Contains("\"eagerness\": -1.5"));
}

TEST_CASE("a bundled config that does not fit together says where", "[unit]") {
  const TempDir folder;
  duet::test::write_tiny_model(folder.path());
  const auto refusal = [&](const std::string& assignment) {
    return told<Error>(folder, [&] { read_model_config(folder.path(), {assignment}); });
  };
  CHECK(
      refusal("format_version=2") ==
      "format_version: expected 1, found 2 in DIR/config.json (made for another version of duet)");
  CHECK(refusal("lm.layres=3") ==
        "unknown key: found lm.layres (did you mean layers?) in DIR/config.json");
  CHECK(refusal("lm.num_codebooks=3") ==
        "lm.num_codebooks: expected 2 as the codec, found 3 in DIR/config.json");
  CHECK(
      refusal("lm.code_vocab=16") ==
      "lm.code_vocab: expected 15 (the codec's 12 codes and 3 more), found 16 in DIR/config.json");
  CHECK(refusal("codec.sample_rate_hz=16000") ==
        "codec: expected 1280 samples a frame (80 ms), found 640 in DIR/config.json");
  CHECK(refusal("codec.silence_codes=[1]") ==
        "codec.silence_codes: expected one for each of 2 codebooks, found 1 in DIR/config.json");
  CHECK(refusal("codec.silence_codes=[1, 12]") ==
        "codec.silence_codes: expected codes below 12, found 12 in DIR/config.json");
  CHECK(refusal("lm.user_width=25") ==
        "lm.user_width: expected 24 as encoder.top_width, or 425 with the CTC posterior beside it, "
        "found 25 in DIR/config.json");
  CHECK(refusal("encoder.family=wav2vec") ==
        "encoder.family: expected whisper, found \"wav2vec\" in DIR/config.json");
  CHECK_THAT(
      told<LoadError>(folder, [&] { read_model_config(folder.file("no")); }),
      Catch::Equals("configuration: expected a readable file, found none in DIR/no/config.json"));
}

TEST_CASE("tokenizers that do not fit the model are refused", "[unit]") {
  const TempDir folder;
  duet::test::write_tiny_model(folder.path());
  const auto refusal = [&](const std::string& assignment) {
    return told<LoadError>(folder, [&] {
      ModelConfig config = read_model_config(folder.path(), {assignment});
      load_model_tokenizers(config);
    });
  };
  CHECK(refusal("tokenizer.pad=<quiet>") ==
        "tokenizer: expected a piece <quiet>, found none in DIR/sentencepiece.model");
  CHECK(refusal("lm.text_vocab=399") ==
        "tokenizer: expected 399 pieces at most (lm.text_vocab), found 400 in "
        "DIR/sentencepiece.model");
  CHECK(refusal("encoder.ctc_pieces=401") ==
        "ctc_tokenizer: expected 401 pieces (encoder.ctc_pieces), found 400 in "
        "DIR/sentencepiece.model");
}

TEST_CASE("a NeMo bundle: side files, LoRA, weight norm, tied head", "[unit]") {
  for (const bool is_tied : {false, true}) {
    const TempDir folder;
    write_nemo_model(folder, is_tied);
    ModelConfig config = read_model_config(folder.path());
    CHECK(config.kind == ModelKind::kNemo);
    CHECK(config.lm.llm.head_dim == 12);
    CHECK(config.lm.llm.kv_heads == 2);
    CHECK(config.lm.llm.window == 2048);
    CHECK(config.perception.encoder.conformer.num_layers == 2);
    CHECK(config.lm.user_channel_weight == 2.0);
    CHECK(config.lm.num_codebooks == 2);
    CHECK(config.lm.code_vocab == 63);
    CHECK(config.codec_samples_per_frame() == 1764);
    CHECK(config.lora.alpha == 4.0);
    const ModelTokenizers tokenizers = load_model_tokenizers(config);
    CHECK(tokenizers.ids.pad == 0);
    CHECK(tokenizers.ids.bos == 1);
    const duet::models::TensorMap tensors = load_model_tensors(config);
    CHECK(config.lm.tie_text == is_tied);
    CHECK(tensors.at("llm.layers.0.self_attn.q_proj.weight")[0][0].item<float>() ==
          5.0F);  // 1 + 4 / 2 * 2
    CHECK(tensors.at("audio_codec.x.weight")[1][2].item<float>() == 0.5F);
    std::filesystem::remove(folder.file("llm_config.json"));
    CHECK(told<LoadError>(folder, [&] { read_model_config(folder.path()); }) ==
          "configuration: expected a readable file, found none in DIR/llm_config.json");
  }
}
