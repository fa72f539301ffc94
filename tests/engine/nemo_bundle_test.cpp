// NeMo bundles from disk: the golden tiny model and variants of it, written as save_pretrained
// would and loaded again.
#include "runtime/engine/nemo_bundle.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>

#include "models/sampler.h"
#include "models/weights/safetensors.h"
#include "runtime/core/error.h"
#include "tests/support/golden_weights.h"
#include "tests/support/nemo_golden.h"
#include "tests/support/nemo_tiny.h"
#include "tests/support/streaming_laws.h"
#include "tests/support/temp_dir.h"

using namespace duet;
using engine::NemoBundle;

namespace {

/// The texts of a bundle's files; tensors are made from their names.
struct Recipe {
  std::string config = test::tiny_nemo_config();
  std::string llm = test::tiny_llm_config();
  std::string codec = test::tiny_codec_config();
  int64_t num_codebooks = 2, num_codes = 60;

  void set(const std::vector<std::string>& overrides) {
    core::ConfigReader reader = core::ConfigReader::parse(config, "config.json");
    for (const std::string& assignment : overrides) reader.override_with(assignment);
    config = reader.to_json();
  }
  models::TensorMap tensors() const {
    test::GoldenWeightReader reader;
    const models::WeightScope root(reader);
    const auto llm_config =
        models::parse_nemo_llm(core::ConfigReader::parse(llm, "llm_config.json"));
    const auto parsed = models::parse_nemo_duplex(core::ConfigReader::parse(config, "config.json"),
                                                  llm_config, num_codebooks, num_codes, 0);
    const models::NemoPerception perception(parsed.perception, root.sub("perception"));
    const models::DuplexLm lm(parsed.lm, root);
    const codecs::NanoDecoder decoder(
        codecs::NanoCodecConfig::parse(core::ConfigReader::parse(codec, "codec_config.yaml")),
        root.sub("audio_codec"));
    models::TensorMap all = reader.tensors();
    all["_control_codes"] = at::arange(num_codes, num_codes + 3, at::kLong);
    return all;
  }
  void write(const support::TempDir& folder, const models::TensorMap& all) const {
    folder.write("config.json", config);
    folder.write("llm_config.json", llm);
    folder.write("codec_config.yaml", codec);
    folder.write("tokenizer.json", test::tiny_tokenizer());
    folder.write(
        "tokenizer_config.json",
        R"({"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": null})");
    models::save_safetensors(folder.file("model.safetensors"), all);
  }
};

struct Said {
  std::vector<int64_t> text;
  at::Tensor codes, audio;
};

/// Packets of `packet` samples through the whole bundle, greedily.
Said converse(const NemoBundle& bundle, const at::Tensor& pcm, int64_t packet) {
  at::InferenceMode inference;
  auto hearing = bundle.perception->initial_state(1);
  auto thinking = bundle.lm->initial_state(1);
  auto voice = bundle.codec->initial_state(1);
  const models::ControlCodes control(bundle.codec->codebook_size());
  models::ControlCodes::State control_state;
  auto heard = bundle.lm->initial_tokens(1);
  Said said;
  std::vector<at::Tensor> codes, audio;
  const auto step = [&](const at::Tensor& frames) {
    for (int64_t i = 0; i < frames.size(1); ++i) {
      const auto logits = bundle.lm->step(frames.narrow(1, i, 1), heard, thinking);
      heard = {logits.text.argmax(-1), logits.audio.argmax(-1)};
      said.text.push_back(heard.text[0].item<int64_t>());
      codes.push_back(heard.codes);
      at::Tensor decoded = heard.codes.clone();
      control.replace({decoded.data_ptr<int64_t>(), static_cast<size_t>(decoded.numel())},
                      control_state);
      audio.push_back(bundle.codec->step(decoded.unsqueeze(2), *voice)[0]);
    }
  };
  for (int64_t start = 0; start < pcm.size(1); start += packet)
    step(bundle.perception->step(pcm.narrow(1, start, std::min(packet, pcm.size(1) - start)),
                                 *hearing));
  step(bundle.perception->flush(*hearing));
  said.codes = at::cat(codes);
  said.audio = at::cat(audio);
  return said;
}

const std::vector<int64_t> kText{17, 3, 35, 18, 24, 10, 25, 37, 23, 6, 12};

std::string load_error(const support::TempDir& folder,
                       const engine::NemoBundleOptions& options = {}) {
  try {
    engine::load_nemo_bundle(folder.path(), options);
  } catch (const core::Error& error) {
    return error.what();
  }
  return "loaded";
}

}  // namespace

TEST_CASE("the golden tiny model loads from a bundle and says the reference's words", "[golden]") {
  const support::TempDir folder;
  const Recipe recipe;
  models::TensorMap tensors = recipe.tensors();
  // What a checkpoint carries besides: not needed, not an error.
  tensors["audio_codec.audio_encoder.pre_conv.conv.bias"] = at::zeros({3});
  tensors["audio_codec.mel_loss_fn.mel_features.0.fb"] = at::zeros({3});
  tensors["audio_codec.stft_loss_fn.loss_fns.1.window"] = at::zeros({3});
  tensors["perception.encoder.layers.0.conv.batch_norm.num_batches_tracked"] =
      at::zeros({}, at::kLong);
  recipe.write(folder, tensors);
  CHECK(engine::is_nemo_bundle(folder.path()));
  const NemoBundle bundle = engine::load_nemo_bundle(folder.path());
  CHECK(bundle.tokenizer->special().bos == 1);
  CHECK(bundle.tokenizer->special().eos == 2);
  CHECK(bundle.config.lm.text_pad == 0);
  const Said said = converse(bundle, test::golden_signal(), 1280);
  CHECK(said.text == kText);
  CHECK(said.audio.abs().sum().item<double>() == Approx(11.80705).margin(165 * 2e-5));
  for (const int64_t packet : {123, 4000, 12800})
    CHECK(converse(bundle, test::golden_signal(), packet).text == kText);
}

TEST_CASE("a look-ahead of a list is an option of loading", "[golden]") {
  at::InferenceMode inference;
  const support::TempDir folder;
  Recipe recipe;
  recipe.set({"perception.modality_adapter.att_context_size=[4,0]"});
  recipe.write(folder, recipe.tensors());
  const NemoBundle bundle = engine::load_nemo_bundle(
      folder.path(), {.context = models::nn::ChunkContext{4, 1}, .has_codec_of_nemo_file = false});
  const at::Tensor user = bundle.perception->forward(test::golden_signal());
  test::expect_close(user[0][10].narrow(0, 0, 4),
                     at::tensor({0.71193, -0.49456, 0.51129, -0.12720}), test::kGoldenTolerance);
  CHECK(bundle.perception->lookahead_samples() == 200);
}

TEST_CASE("variant: identity connector, batch norm, no biases, three codebooks, tanh and ungrouped",
          "[property]") {
  const support::TempDir folder;
  Recipe recipe;
  recipe.set({"perception.modality_adapter={_target_: x.IdentityConnector, d_model: 32}",
              "perception.encoder.conv_norm_type=batch_norm", "perception.encoder.use_bias=false",
              "perception.encoder.att_context_size=[6,0]"});
  recipe.num_codebooks = 3;
  recipe.num_codes = 6;
  recipe.codec = R"(sample_rate: 22050
vector_quantizer: {_target_: x.GroupFiniteScalarQuantizer, num_groups: 3, num_levels_per_group: [3, 2]}
audio_decoder: {_target_: x.CausalHiFiGANDecoder, up_sample_rates: [2, 2], input_dim: 6, base_channels: 24,
  activation: lrelu, output_activation: tanh, n_groups_equal_to_out_channels: false,
  resblock_kernel_sizes: [3, 7], resblock_dilation_sizes: [1, 3]}
)";
  models::TensorMap tensors = recipe.tensors();
  CHECK(tensors.count("perception.encoder.layers.0.self_attn.linear_q.bias") == 0);
  CHECK(tensors.count("perception.encoder.layers.0.conv.batch_norm.running_var") == 1);
  CHECK(tensors.count("perception.modality_adapter.pre_encode.weight") == 0);
  recipe.write(folder, tensors);
  const NemoBundle bundle = engine::load_nemo_bundle(folder.path());
  CHECK(bundle.codec->num_codebooks() == 3);
  const at::Tensor pcm = test::noise({1, 16000 + 77}, 21);
  const Said by_packets = converse(bundle, pcm, 1280), at_once = converse(bundle, pcm, pcm.size(1));
  CHECK(by_packets.text == at_once.text);
  CHECK(at::equal(by_packets.codes, at_once.codes));
  test::expect_close(by_packets.audio, at_once.audio, {2e-5, 0.0});
}

TEST_CASE("variant: bf16 with tied embeddings and LoRA equals the merged model", "[property]") {
  const support::TempDir with_lora, merged;
  Recipe recipe;
  models::TensorMap tensors = recipe.tensors();
  tensors.erase("lm_head.weight");
  for (auto& [name, tensor] : tensors)
    if (tensor.is_floating_point()) tensor = tensor.to(at::kBFloat16);
  models::TensorMap merged_tensors = tensors, lora_tensors;
  const double alpha = 8.0, rank = 4.0;
  for (const auto& [name, tensor] : tensors) {
    if (!name.starts_with("llm.")) {
      lora_tensors[name] = tensor;
      continue;
    }
    const std::string peft = "llm.base_model.model." + name.substr(4);
    const bool is_adapted = name.ends_with("q_proj.weight") || name.ends_with("down_proj.weight");
    if (!is_adapted) {
      lora_tensors[peft] = tensor;
      continue;
    }
    const std::string stem = peft.substr(0, peft.size() - 7);
    const at::Tensor a =
        (test::noise({4, tensor.size(1)}, test::fnv1a(name)) * 0.2).to(at::kBFloat16);
    const at::Tensor b =
        (test::noise({tensor.size(0), 4}, test::fnv1a(name) + 1) * 0.2).to(at::kBFloat16);
    lora_tensors[stem + ".base_layer.weight"] = tensor;
    lora_tensors[stem + ".lora_A.default.weight"] = a;
    lora_tensors[stem + ".lora_B.default.weight"] = b;
    merged_tensors[name] =
        tensor.to(at::kFloat) + alpha / rank * at::matmul(b.to(at::kFloat), a.to(at::kFloat));
  }
  recipe.write(merged, merged_tensors);
  recipe.set(
      {"lora={r: 4, lora_alpha: 8, lora_dropout: 0.01, task_type: CAUSAL_LM, target_modules: "
       "[q_proj, down_proj]}",
       "torch_dtype=bfloat16"});
  recipe.write(with_lora, lora_tensors);
  const NemoBundle a = engine::load_nemo_bundle(with_lora.path()),
                   b = engine::load_nemo_bundle(merged.path());
  CHECK(a.config.lm.tie_text);
  const Said said_a = converse(a, test::golden_signal(), 1280),
             said_b = converse(b, test::golden_signal(), 1280);
  CHECK(said_a.text == said_b.text);
  CHECK(at::equal(said_a.codes, said_b.codes));
  test::expect_close(said_a.audio, said_b.audio, {2e-5, 0.0});
  // The adapters do something: without them the logits differ.
  at::InferenceMode inference;
  const at::Tensor user = a.perception->forward(test::golden_signal());
  recipe = Recipe();
  const support::TempDir plain;
  recipe.write(plain, tensors);
  const NemoBundle c = engine::load_nemo_bundle(plain.path());
  auto state_a = a.lm->initial_state(1), state_c = c.lm->initial_state(1);
  const auto first = user.narrow(1, 0, 1);
  CHECK((a.lm->step(first, a.lm->initial_tokens(1), state_a).text -
         c.lm->step(first, c.lm->initial_tokens(1), state_c).text)
            .abs()
            .max()
            .item<double>() > 1e-3);
}

TEST_CASE("bundles that are not whole say what is wrong, all of it", "[unit]") {
  const support::TempDir folder;
  const Recipe recipe;
  const models::TensorMap good = recipe.tensors();
  SECTION("tensors") {
    models::TensorMap tensors = good;
    tensors.erase("perception.proj.bias");
    tensors["perception.encoder.layers.0.norm_out.weight"] = at::ones({31});
    tensors["llm.norm.weight"] = at::full({48}, std::numeric_limits<float>::infinity());
    tensors["surprise"] = at::zeros({2});
    recipe.write(folder, tensors);
    const std::string error = load_error(folder);
    CHECK_THAT(error, Catch::Contains("perception.proj.bias: expected [48], found nothing"));
    CHECK_THAT(
        error,
        Catch::Contains("perception.encoder.layers.0.norm_out.weight: expected [32], found [31]"));
    CHECK_THAT(error, Catch::Contains("llm.norm.weight: expected finite values"));
    CHECK_THAT(error, Catch::Contains("surprise: expected no such tensor, found [2]"));
    CHECK_THAT(error, Catch::Contains("model.safetensors"));
  }
  SECTION("a codec of another size") {
    models::TensorMap tensors = good;
    tensors["_control_codes"] = at::tensor({4032, 4033, 4034}, at::kLong);
    recipe.write(folder, tensors);
    CHECK_THAT(load_error(folder),
               Catch::Contains("_control_codes: expected 60 and the two ids after it"));
  }
  SECTION("files") {
    recipe.write(folder, good);
    for (const char* name :
         {"config.json", "llm_config.json", "codec_config.yaml", "model.safetensors"}) {
      const std::string text = support::TempDir::read(folder.file(name));
      std::filesystem::remove(folder.file(name));
      CHECK_THAT(load_error(folder),
                 Catch::Contains(std::string(name) + ": expected a file, found nothing"));
      folder.write(name, text);
    }
    CHECK(load_error(folder) == "loaded");
    CHECK_THAT(load_error(folder, {.context = {}, .has_codec_of_nemo_file = true}),
               Catch::Contains("codec.nemo: expected a file"));
  }
  SECTION("an unknown key") {
    Recipe other;
    other.set({"perception.encoder.n_lyers=2"});
    other.write(folder, good);
    CHECK_THAT(load_error(folder), Catch::Contains("n_lyers"));
  }
}

TEST_CASE("bundles are told from other folders", "[unit]") {
  const support::TempDir folder;
  CHECK_FALSE(engine::is_nemo_bundle(folder.path()));
  folder.write("config.json", R"({"format_version": 1, "perception": {}})");
  CHECK_FALSE(engine::is_nemo_bundle(folder.path()));
  folder.write("config.json", "{");
  CHECK_FALSE(engine::is_nemo_bundle(folder.path()));
  folder.write("config.json", R"({"perception": {}})");
  CHECK(engine::is_nemo_bundle(folder.path()));
}
