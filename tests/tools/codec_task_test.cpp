#include "tools/train/codec_task.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <cmath>

#include "runtime/core/error.h"
#include "tests/support/streaming_laws.h"
#include "tools/train/encode_codes.h"

using namespace duet;
using train::CodecTask;

namespace {

CodecTask::Config tiny_config() {
  CodecTask::Config config;
  config.codec.sample_rate_hz = 8000;
  config.codec.hop_samples = 64;
  config.codec.window_samples = 256;
  config.codec.hops_per_frame = 4;
  config.codec.num_groups = 2;
  config.codec.levels = {5, 4, 3};
  config.codec.num_mels = 20;
  config.codec.encoder_width = 16;
  config.codec.encoder_blocks = 1;
  config.codec.decoder_width = 24;
  config.codec.decoder_frame_blocks = 1;
  config.codec.decoder_hop_blocks = 1;
  config.optimizer.learning_rate = 5e-3;
  config.discriminator_channels = 4;
  config.batch_size = 2;
  config.segment_frames = 16;     // 4096 samples
  config.adversarial_frames = 8;  // 2048
  config.bf16 = false;
  return config;
}

std::vector<train::Utterance> tones() {
  std::vector<train::Utterance> out(2);
  for (size_t i = 0; i < out.size(); ++i) {
    out[i].id = "tone" + std::to_string(i);
    for (int n = 0; n < 9000; ++n)
      out[i].samples.push_back(
          static_cast<int16_t>(8000.0 * std::sin(0.05 * (1.0 + static_cast<double>(i)) * n)));
  }
  return out;
}

}  // namespace

TEST_CASE("spectral loss is zero for equal sounds and grows with the difference", "[unit]") {
  at::manual_seed(1);
  const train::SpectralLoss loss(8000);
  const at::Tensor x = at::randn({2, 4096}) * 0.1;
  CHECK(loss(x, x).mel.item<float>() == 0.0F);
  CHECK(loss(x, x).magnitude.item<float>() == 0.0F);
  // Twice as loud: every log mel differs by ln 2, but where the floor cuts.
  CHECK(loss(x * 2.0, x).mel.item<double>() == Approx(std::log(2.0)).epsilon(1e-3));
  CHECK(loss(x * 2.0, x).magnitude.item<float>() > loss(x * 1.5, x).magnitude.item<float>());
}

TEST_CASE(
    "discriminators: hinge losses at a score of zero, no gradient into the decoder from their own "
    "loss",
    "[unit]") {
  at::manual_seed(2);
  train::ParameterStore store(1);
  const train::CodecDiscriminators discriminators(4, models::WeightScope(store));
  at::Tensor decoded = (at::randn({1, 2048}) * 0.1).set_requires_grad(true);
  const at::Tensor original = at::randn({1, 2048}) * 0.1;
  for (const auto& [name, parameter] : store.parameters()) {
    at::Tensor leaf = parameter;
    if (name.find(".layers.4.") != std::string::npos && name.ends_with("gain"))
      leaf.data().zero_();  // score = bias = 0
  }
  const at::Tensor loss = discriminators.discriminator_loss(decoded, original);
  CHECK(loss.item<double>() == Approx(2.0));
  loss.backward();
  CHECK_FALSE(decoded.grad().defined());
  const auto judged = discriminators.generator_loss(decoded, original);
  CHECK(judged.adversarial.item<double>() == Approx(0.0).margin(1e-7));
  judged.feature_matching.backward();
  CHECK(decoded.grad().abs().max().item<float>() > 0.0F);
}

TEST_CASE("codec training lowers its loss, with and without discriminators", "[unit]") {
  for (const double adversarial_from : {2.0, 0.0}) {
    CodecTask::Config config = tiny_config();
    config.adversarial_from = adversarial_from;
    train::ParameterStore store(3);
    CodecTask task(config, store, tones(), tones());
    std::mt19937_64 rng(7);
    const double before = task.evaluate().at("heldout_mel");
    for (int64_t i = 0; i < 40; ++i) {
      const train::Metrics metrics =
          task.step({.step = i, .progress = static_cast<double>(i) / 40.0, .lr_factor = 1.0}, rng);
      CHECK(std::isfinite(metrics.at("loss")));
      CHECK(metrics.count("discriminator") == (adversarial_from == 0.0 ? 1U : 0U));
    }
    CHECK(task.evaluate().at("heldout_mel") < 0.6 * before);
  }
}

TEST_CASE("decoder_only leaves the encoder as it was", "[unit]") {
  CodecTask::Config config = tiny_config();
  config.decoder_only = true;
  config.adversarial_from = 0.0;
  train::ParameterStore store(3);
  CodecTask task(config, store, tones(), {});
  const auto before = store.tensors();
  std::mt19937_64 rng(7);
  task.step({.step = 0, .progress = 0.0, .lr_factor = 1.0}, rng);
  for (const auto& [name, tensor] : store.tensors()) {
    INFO(name);
    if (name.starts_with("encoder.")) CHECK(at::equal(tensor, before.at(name)));
    if (name == "decoder.head.weight" || name == "discriminators.0.layers.0.direction")
      CHECK_FALSE(at::equal(tensor, before.at(name)));
  }
}

TEST_CASE("codec training continues exactly from its saved state", "[unit]") {
  const auto run = [](train::ParameterStore& store, CodecTask& task, int64_t from, int64_t to,
                      std::mt19937_64& rng) {
    for (int64_t i = from; i < to; ++i)
      task.step({.step = i, .progress = 0.9, .lr_factor = 1.0}, rng);
    return store.tensors();
  };
  train::ParameterStore first(3), second(4);
  CodecTask one(tiny_config(), first, tones(), {}), two(tiny_config(), second, tones(), {});
  std::mt19937_64 rng(7);
  run(first, one, 0, 2, rng);
  models::TensorMap saved;
  one.save(saved);
  for (auto& [name, tensor] : saved) tensor = tensor.clone();
  second.assign(first.tensors(), "memory");
  two.load(saved);
  std::mt19937_64 same = rng;
  const auto want = run(first, one, 2, 4, rng), got = run(second, two, 2, 4, same);
  for (const auto& [name, tensor] : want) {
    INFO(name);
    CHECK(at::equal(tensor, got.at(name)));
  }
}

TEST_CASE("segments that the losses cannot cut are refused", "[unit]") {
  CodecTask::Config config = tiny_config();
  train::ParameterStore store(3);
  config.segment_frames = 17;  // 4352 samples: no multiple of 512
  CHECK_THROWS_AS(CodecTask(config, store, tones(), {}), core::ConfigError);
  train::ParameterStore other(3);
  CHECK_THROWS_WITH(CodecTask(tiny_config(), other, {}, {}), Catch::Contains("data.train"));
}

TEST_CASE("codes of a set: one a frame, silence named, double ids refused", "[unit]") {
  train::ParameterStore store(3);
  const auto config = tiny_config().codec;
  const codecs::ConvNextEncoder encoder(config, models::WeightScope(store).sub("encoder"));
  auto set = tones();
  const auto codes = train::encode_codes(encoder, config.samples_per_frame(), set);
  REQUIRE(codes.at("tone0").sizes() == at::IntArrayRef({2, 36}));  // ceil(9000 / 256)
  CHECK(codes.at("silence").sizes() == at::IntArrayRef({2}));
  CHECK(codes.at("tone0").scalar_type() == at::kShort);
  CHECK_FALSE(at::equal(codes.at("tone0"), codes.at("tone1")));
  set[1].id = "tone0";
  CHECK_THROWS_WITH(train::encode_codes(encoder, config.samples_per_frame(), set),
                    Catch::Contains("tone0 again"));
}
