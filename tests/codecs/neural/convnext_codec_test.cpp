#include "codecs/neural/convnext_codec.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <catch2/catch.hpp>

#include "runtime/core/error.h"
#include "tests/support/golden_weights.h"
#include "tests/support/streaming_laws.h"

using namespace duet;

namespace {

codecs::ConvNextCodecConfig tiny_config() {
  codecs::ConvNextCodecConfig config;
  config.sample_rate_hz = 8000;
  config.hop_samples = 10;
  config.window_samples = 40;
  config.hops_per_frame = 4;
  config.num_groups = 2;
  config.levels = {5, 4, 3};
  config.kernel = 5;
  config.num_mels = 6;
  config.encoder_width = 8;
  config.encoder_blocks = 1;
  config.decoder_width = 12;
  config.decoder_frame_blocks = 1;
  config.decoder_hop_blocks = 2;
  return config;
}

at::Tensor some_codes(int64_t batch, int64_t frames) {
  return at::randint(0, 60, {batch, 2, frames}, at::kLong);
}

}  // namespace

TEST_CASE("ConvNeXt decoder obeys the streaming laws", "[property]") {
  at::manual_seed(1);
  test::GoldenWeightReader weights;
  const codecs::ConvNextDecoder decoder(tiny_config(), models::WeightScope(weights).sub("decoder"));
  const at::Tensor codes = some_codes(3, 13);
  REQUIRE(decoder.forward(codes).sizes() == at::IntArrayRef({3, 13 * 40}));
  REQUIRE(decoder.forward(codes).abs().max().item<float>() > 1e-3F);
  const test::StreamSubject subject =
      test::make_subject(static_cast<const codecs::CodecDecoder&>(decoder));
  test::check_all_laws(subject, codes, {1, 2, 5});
  at::Tensor unused = codes;
  test::check_causality(subject, unused, 6, 6 * 40);
}

TEST_CASE("a code frame is heard until the overlap and the convolutions have passed",
          "[property]") {
  at::manual_seed(2);
  codecs::ConvNextCodecConfig config = tiny_config();
  config.decoder_frame_blocks = 0;
  config.decoder_hop_blocks = 0;
  test::GoldenWeightReader weights;
  const codecs::ConvNextDecoder decoder(config, models::WeightScope(weights));
  REQUIRE(decoder.overlap_samples() == 30);
  const at::Tensor codes = some_codes(1, 8);
  at::Tensor changed = codes.clone();
  changed.select(2, 3).copy_((codes.select(2, 3) + 17) % 60);
  const at::Tensor difference =
      (decoder.forward(codes) - decoder.forward(changed)).abs().squeeze(0);
  CHECK(difference.narrow(0, 0, 3 * 40).max().item<float>() == 0.0F);
  CHECK(difference.narrow(0, 3 * 40, 40 + 29).max().item<float>() > 0.0F);
  // Without blocks only the synthesis window reaches on; its last sample is the smallest but not
  // zero.
  CHECK(difference.narrow(0, 4 * 40 + 30, 4 * 40 - 30).max().item<float>() == 0.0F);
}

TEST_CASE("ConvNeXt encoder: whole frames, zero padded, finite at silence", "[unit]") {
  at::manual_seed(3);
  test::GoldenWeightReader weights;
  const codecs::ConvNextEncoder encoder(tiny_config(), models::WeightScope(weights).sub("encoder"));
  const at::Tensor pcm = at::randn({2, 200}) * 0.1;
  CHECK(encoder.forward(pcm).sizes() == at::IntArrayRef({2, 2, 5}));
  CHECK(encoder.forward(pcm.narrow(1, 0, 161)).size(2) == 5);
  CHECK(encoder.forward(pcm.narrow(1, 0, 160)).size(2) == 4);
  const at::Tensor padded = at::constant_pad_nd(pcm.narrow(1, 0, 161), {0, 39});
  CHECK(at::equal(encoder.forward(padded), encoder.forward(pcm.narrow(1, 0, 161))));
  CHECK(at::isfinite(encoder.latents(at::zeros({1, 80}))).all().item<bool>());
}

TEST_CASE("gradients reach every parameter of the ConvNeXt codec", "[unit]") {
  at::manual_seed(4);
  struct LeafReader : test::GoldenWeightReader {
    std::vector<at::Tensor> leaves;
    at::Tensor parameter(const std::string& name, at::IntArrayRef shape,
                         models::Init init) override {
      leaves.push_back(GoldenWeightReader::parameter(name, shape, init).set_requires_grad(true));
      return leaves.back();
    }
  } weights;
  const models::WeightScope scope(weights);
  const codecs::ConvNextEncoder encoder(tiny_config(), scope.sub("encoder"));
  const codecs::ConvNextDecoder decoder(tiny_config(), scope.sub("decoder"));
  const at::Tensor pcm = at::randn({1, 320}) * 0.1;
  const at::Tensor decoded = decoder.forward_latents(encoder.fsq().quantize(encoder.latents(pcm)));
  const auto grads = torch::autograd::grad({(decoded - pcm).pow(2).sum()}, weights.leaves);
  for (size_t i = 0; i < grads.size(); ++i) {
    INFO("parameter " << i << " of shape " << weights.leaves[i].sizes());
    CHECK(grads[i].abs().max().item<float>() > 0.0F);
  }
}

TEST_CASE("ConvNeXt codec configs that cannot work are refused", "[unit]") {
  codecs::ConvNextCodecConfig config = tiny_config();
  config.hops_per_frame = 6;
  CHECK_THROWS_WITH(config.validate(),
                    Catch::Contains("codec.hops_per_frame: expected a power of two, found 6"));
  config = tiny_config();
  config.window_samples = 30;
  CHECK_THROWS_AS(config.validate(), core::ConfigError);
  config = tiny_config();
  config.kernel = 4;
  CHECK_THROWS_AS(config.validate(), core::ConfigError);
}

TEST_CASE("ConvNeXt codec config is read from its map", "[unit]") {
  const core::ConfigReader reader = core::ConfigReader::parse(
      "{sample_rate_hz: 8000, hop_samples: 10, window_samples: 40, hops_per_frame: 4, num_groups: "
      "2, levels: [5, 4, 3],\n"
      " decoder_width: 12}\n",
      "config.yaml");
  const auto config = codecs::ConvNextCodecConfig::parse(reader);
  reader.finish();
  CHECK(config.samples_per_frame() == 40);
  CHECK(config.levels == std::vector<int64_t>{5, 4, 3});
  CHECK(config.decoder_width == 12);
  CHECK(config.encoder_width == codecs::ConvNextCodecConfig{}.encoder_width);
  CHECK_THROWS_AS(codecs::ConvNextCodecConfig::parse(
                      core::ConfigReader::parse("{hops_per_frame: 3}", "c.yaml")),
                  core::ConfigError);
}
