#include "codecs/neural/nano_codec.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>

#include "runtime/core/error.h"
#include "tests/support/golden_weights.h"
#include "tests/support/streaming_laws.h"

using namespace duet;
using codecs::NanoActivation;
using codecs::NanoCodecConfig;

namespace {

constexpr test::Tolerance kAudioTolerance{2e-5,
                                          0.0};  // reference values are printed with six decimals

NanoCodecConfig golden_config() {
  NanoCodecConfig config;
  config.num_groups = 2;
  config.levels = {5, 4, 3};
  config.decoder.rates = {5, 3};
  config.decoder.base_channels = 24;
  config.decoder.kernels = {3, 7};
  config.decoder.dilations = {1, 3};
  config.decoder.activation = NanoActivation::kHalfSnake;
  config.clamps_output = true;
  config.is_grouped = true;
  return config;
}

NanoCodecConfig with_encoder(bool is_causal, codecs::NanoPadding padding) {
  NanoCodecConfig config = golden_config();
  config.encoder = config.decoder;
  config.encoder.rates = {3, 5};
  config.encoder.base_channels = 4;
  config.encoder.out_kernel = 7;
  config.encoder.activation = NanoActivation::kLeakyRelu;
  config.is_encoder_causal = is_causal;
  config.encoder_padding = padding;
  return config;
}

models::WeightScope codec_scope(test::GoldenWeightReader& reader) {
  return models::WeightScope(reader).sub("audio_codec");
}

at::Tensor codes_of(const std::vector<std::pair<int64_t, int64_t>>& frames) {
  at::Tensor codes = at::empty({1, 2, static_cast<int64_t>(frames.size())}, at::kLong);
  for (size_t t = 0; t < frames.size(); ++t) {
    codes[0][0][static_cast<int64_t>(t)] = frames[t].first;
    codes[0][1][static_cast<int64_t>(t)] = frames[t].second;
  }
  return codes;
}

at::Tensor ramp_codes(int64_t frames) {
  const at::Tensor t = at::arange(frames, at::kLong) * 7,
                   k = at::arange(2, at::kLong).view({2, 1}) * 13;
  return at::remainder(t + k, 60).unsqueeze(0);
}

}  // namespace

TEST_CASE("NanoCodec decoder gives the reference's samples", "[golden]") {
  test::GoldenWeightReader reader;
  const codecs::NanoDecoder decoder(golden_config(), codec_scope(reader));
  const at::Tensor codes = codes_of({{8, 17},
                                     {17, 0},
                                     {0, 9},
                                     {52, 17},
                                     {35, 44},
                                     {44, 7},
                                     {8, 45},
                                     {25, 34},
                                     {34, 43},
                                     {43, 26},
                                     {26, 35}});
  const at::Tensor pcm = decoder.forward(codes).squeeze(0);
  REQUIRE(pcm.numel() == 165);
  CHECK(pcm.abs().sum().item<double>() == Approx(11.80705).margin(2e-4));
  const auto expect = [&](int64_t from, std::vector<float> want) {
    test::expect_close(pcm.narrow(0, from, static_cast<int64_t>(want.size())), at::tensor(want),
                       kAudioTolerance);
  };
  expect(0, {-0.045569F, -0.081531F, -0.082339F, -0.053997F, -0.051262F});
  expect(60, {-0.077514F, -0.080280F, -0.066610F, -0.057553F, -0.065394F});
  expect(160, {-0.076779F, -0.073685F, -0.062534F, -0.066465F, -0.070850F});
}

TEST_CASE("NanoCodec decoder gives the reference's latents and samples for a ramp of codes",
          "[golden]") {
  test::GoldenWeightReader reader;
  const codecs::NanoDecoder decoder(golden_config(), codec_scope(reader));
  const at::Tensor codes = ramp_codes(6);
  const at::Tensor latents = decoder.fsq().decode(codes);
  CHECK(at::equal(latents[0].select(1, 0), at::tensor({-1.0F, -1.0F, -1.0F, 0.5F, 0.0F, -1.0F})));
  CHECK(at::equal(latents[0].select(1, 1), at::tensor({0.0F, -0.5F, -1.0F, -1.0F, -1.0F, 0.0F})));
  const at::Tensor pcm = decoder.forward(codes).squeeze(0);
  REQUIRE(pcm.numel() == 90);
  CHECK(pcm.abs().sum().item<double>() == Approx(6.26487).margin(2e-4));
  test::expect_close(pcm.narrow(0, 0, 4), at::tensor({-0.04679F, -0.08970F, -0.09703F, -0.06542F}),
                     {2.5e-5, 0.0});
  CHECK(pcm[89].item<double>() == Approx(-0.09346).margin(2.5e-5));
}

TEST_CASE("NanoCodec decoder obeys the streaming laws in every variant", "[property]") {
  at::manual_seed(5);
  NanoCodecConfig config = golden_config();
  SECTION("as published: half snake, grouped, clamp") {}
  SECTION("snake, ungrouped, tanh") {
    config.decoder.activation = NanoActivation::kSnake;
    config.is_grouped = config.clamps_output = false;
  }
  SECTION("leaky relu, ungrouped, up [2,2]") {
    config.decoder.activation = NanoActivation::kLeakyRelu;
    config.decoder.rates = {2, 2};
    config.is_grouped = config.clamps_output = false;
  }
  SECTION("elu") { config.decoder.activation = NanoActivation::kElu; }
  test::GoldenWeightReader reader;
  const codecs::NanoDecoder decoder(config, codec_scope(reader));
  const at::Tensor codes = at::randint(0, 60, {3, 2, 14}, at::kLong);
  const auto subject = test::make_subject(static_cast<const codecs::CodecDecoder&>(decoder));
  test::check_all_laws(subject, codes, {1, 2, 5});
  test::check_causality(subject, codes, 6, 6 * decoder.samples_per_frame());
}

TEST_CASE("a NanoCodec frame is heard for a bounded time", "[property]") {
  // Frames reach through pre_conv (6 columns), then per stage one column of the transposed
  // convolution and the longest residual chain: sum over dilations of (k - 1)(d + 1) = 6 * (2 + 4)
  // = 36 samples; post_conv 2 samples.
  test::GoldenWeightReader reader;
  const codecs::NanoDecoder decoder(golden_config(), codec_scope(reader));
  const at::Tensor codes = ramp_codes(40);
  at::Tensor changed = codes.clone();
  changed.select(2, 4).copy_(at::remainder(codes.select(2, 4) + 31, 60));
  const at::Tensor difference =
      (decoder.forward(codes) - decoder.forward(changed)).abs().squeeze(0);
  const int64_t first_stage = (4 + 6 + 1) * 5 + 4 + 36,
                second_stage = (first_stage + 1) * 3 + 2 + 36;
  const int64_t last_changed = second_stage + 2;
  CHECK(difference.narrow(0, 0, 4 * 15).max().item<float>() == 0.0F);
  CHECK(difference.narrow(0, last_changed + 1, 40 * 15 - last_changed - 1).max().item<float>() ==
        0.0F);
  CHECK(difference.narrow(0, 4 * 15, 15).max().item<float>() > 0.0F);
}

TEST_CASE("both spellings of weight norm and folded weights decode alike", "[unit]") {
  test::GoldenWeightReader reader;
  const codecs::NanoDecoder decoder(golden_config(), codec_scope(reader));
  const at::Tensor want = decoder.forward(ramp_codes(5));
  models::TensorMap old_names, folded;
  for (const auto& [name, tensor] : reader.tensors()) {
    const std::string g = "parametrizations.weight.original0",
                      v = "parametrizations.weight.original1";
    if (name.ends_with(g)) {
      const std::string stem = name.substr(0, name.size() - g.size());
      const at::Tensor direction = reader.tensors().at(stem + v);
      old_names[stem + "weight_g"] = tensor;
      old_names[stem + "weight_v"] = direction;
      folded[stem + "weight"] =
          direction * tensor / direction.flatten(1).norm(2, 1).view({-1, 1, 1});
    } else if (!name.ends_with(v)) {
      old_names[name] = folded[name] = tensor;
    }
  }
  for (const models::TensorMap& map : {old_names, folded}) {
    models::TensorMapReader other(map, "memory");
    const codecs::NanoDecoder again(golden_config(), models::WeightScope(other).sub("audio_codec"));
    other.finish();
    test::expect_close(again.forward(ramp_codes(5)), want, {1e-6, 1e-6});
  }
}

TEST_CASE("stored FSQ tables must be those of the config", "[unit]") {
  test::GoldenWeightReader reader;
  const codecs::NanoDecoder decoder(golden_config(), codec_scope(reader));
  models::TensorMap map = reader.tensors();
  map["audio_codec.vector_quantizer.fsqs.1.num_levels"] =
      at::tensor({5, 4, 4}, at::kInt).view({1, 3, 1});
  models::TensorMapReader other(map, "memory");
  CHECK_THROWS_WITH(
      codecs::NanoDecoder(golden_config(), models::WeightScope(other).sub("audio_codec")),
      Catch::Contains("audio_codec.vector_quantizer.fsqs.1.num_levels: expected the levels"));
}

TEST_CASE("NanoCodec encoders make one code per frame of samples", "[unit]") {
  at::manual_seed(6);
  const at::Tensor pcm = at::randn({2, 150}) * 0.3;
  SECTION("HiFiGANEncoder, odd strides, replicated edges") {
    test::GoldenWeightReader reader;
    const codecs::NanoEncoder encoder(with_encoder(false, codecs::NanoPadding::kReplicate),
                                      codec_scope(reader));
    CHECK(encoder.latents(pcm).sizes() == at::IntArrayRef({2, 6, 10}));
    CHECK(encoder.forward(pcm.narrow(1, 0, 136)).sizes() == at::IntArrayRef({2, 2, 10}));
    CHECK(encoder.forward(pcm.narrow(1, 0, 135)).sizes() == at::IntArrayRef({2, 2, 9}));
  }
  SECTION("CausalHiFiGANEncoder sees no sample after its frame") {
    test::GoldenWeightReader reader;
    const codecs::NanoEncoder encoder(with_encoder(true, codecs::NanoPadding::kZeros),
                                      codec_scope(reader));
    at::Tensor changed = pcm.clone();
    changed.narrow(1, 75, 75).add_(0.5);
    const at::Tensor a = encoder.latents(pcm), b = encoder.latents(changed);
    REQUIRE(a.sizes() == at::IntArrayRef({2, 6, 10}));
    CHECK(at::equal(a.narrow(2, 0, 5), b.narrow(2, 0, 5)));
    CHECK((a.select(2, 5) - b.select(2, 5)).abs().max().item<float>() > 0.0F);
  }
}

namespace {

std::string codec_yaml(const std::string& decoder_class, const std::string& extra = "") {
  return "sample_rate: 22050\ntrain_ds: {batch: 3}\n"
         "audio_encoder: {_target_: nemo.tts.HiFiGANEncoder, down_sample_rates: [2, 3, 6, 7, 7], "
         "encoded_dim: 16,\n"
         "  base_channels: 24, activation: lrelu, pad_mode: replicate}\n"
         "audio_decoder: {_target_: nemo.tts." +
         decoder_class +
         ", up_sample_rates: [7, 7, 6, 3, 2], input_dim: 16, base_channels: 864,\n"
         "  activation: half_snake, output_activation: clamp, pad_mode: zeros, "
         "n_groups_equal_to_out_channels: true" +
         extra +
         "}\n"
         "vector_quantizer: {_target_: nemo.tts.GroupFiniteScalarQuantizer, num_groups: 4, "
         "num_levels_per_group: [9, 8, 8, "
         "7]}\n";
}

}  // namespace

TEST_CASE("NeMo's codec config is read", "[unit]") {
  const core::ConfigReader reader =
      core::ConfigReader::parse(codec_yaml("CausalHiFiGANDecoder"), "model_config.yaml");
  const NanoCodecConfig config = NanoCodecConfig::parse(reader);
  CHECK(config.samples_per_frame() == 1764);
  CHECK(config.num_groups == 4);
  CHECK(config.levels == std::vector<int64_t>{9, 8, 8, 7});
  CHECK(config.decoder.activation == NanoActivation::kHalfSnake);
  CHECK(config.clamps_output);
  CHECK(config.is_grouped);
  CHECK(config.decoder.in_kernel == 7);
  CHECK(config.decoder.out_kernel == 3);
  CHECK(config.encoder.out_kernel == 7);
  CHECK_FALSE(config.is_encoder_causal);
  CHECK(config.encoder_padding == codecs::NanoPadding::kReplicate);
  CHECK(config.encoder.base_channels == 24);
}

TEST_CASE("codec configs that cannot speak live are refused with a reason", "[unit]") {
  const auto parse = [](const std::string& text) {
    return NanoCodecConfig::parse(core::ConfigReader::parse(text, "model_config.yaml"));
  };
  CHECK_THROWS_WITH(parse(codec_yaml("HiFiGANDecoder")),
                    Catch::Contains("expected CausalHiFiGANDecoder, found HiFiGANDecoder") &&
                        Catch::Contains("not causal"));
  CHECK_THROWS_WITH(parse(codec_yaml("CausalHiFiGANDecoder", ", resblock_dilation_sizes: []")),
                    Catch::Contains("at least one"));
  std::string text = codec_yaml("CausalHiFiGANDecoder");
  text.replace(text.find("input_dim: 16"), 13, "input_dim: 12");
  CHECK_THROWS_WITH(parse(text), Catch::Contains("input_dim") && Catch::Contains("16"));
}
