#include "models/whisper_encoder.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>

#include "tests/support/seeded_reader.h"

using namespace duet::models;

namespace {

WhisperEncoder make_tiny() {
  WhisperEncoder::Config config;
  config.width = 24;
  config.heads = 2;
  config.layers = 2;
  config.left_frames = 8;
  config.positions = 30;
  config.top_width = 16;
  config.top_heads = 2;
  config.top_layers = 2;
  config.top_left = 3;
  config.ctc_pieces = 5;
  duet::test::SeededReader reader(7);
  return {config, WeightScope(reader)};
}

at::Tensor noise(int64_t batch, int64_t samples) {
  return at::randn({batch, samples}, at::detail::createCPUGenerator(3)) * 0.1;
}

double worst(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

constexpr double kTolerance = 2e-5;  // fp32, sums in another order

}  // namespace

TEST_CASE("Whisper encoder: any chunking equals the whole", "[property]") {
  const at::InferenceMode inference;
  const WhisperEncoder encoder = make_tiny();
  const at::Tensor pcm = noise(2, 1280 * 23 + 77);  // past the left context of both kinds of layer
  const auto whole = encoder.forward(pcm);
  REQUIRE(whole.features.size(1) == 23);
  for (const int64_t chunk : {1280L, 40L, 123L, 4000L, 1L << 20}) {
    if (chunk == 40 && pcm.size(1) > 40000) continue;
    auto state = encoder.initial_state(2);
    std::vector<at::Tensor> features, ctc;
    for (int64_t at = 0; at < pcm.size(1); at += chunk) {
      const auto part = encoder.step(pcm.narrow(1, at, std::min(chunk, pcm.size(1) - at)), state);
      features.push_back(part.features);
      ctc.push_back(part.ctc);
    }
    CAPTURE(chunk);
    REQUIRE(at::cat(features, 1).size(1) == 23);
    CHECK(worst(at::cat(features, 1), whole.features) < kTolerance);
    CHECK(worst(at::cat(ctc, 1), whole.ctc) < kTolerance);
  }
}

TEST_CASE(
    "Whisper encoder: a frame depends on nothing after its block, and on the block's last sample",
    "[property]") {
  const at::InferenceMode inference;
  const WhisperEncoder encoder = make_tiny();
  const at::Tensor pcm = noise(1, 1280 * 6);
  const at::Tensor before = encoder.forward(pcm).features;
  at::Tensor later = pcm.clone();
  later.narrow(1, 1280 * 4, 1280).add_(0.5);
  CHECK(at::equal(encoder.forward(later).features.narrow(1, 0, 4), before.narrow(1, 0, 4)));
  CHECK(worst(encoder.forward(later).features.narrow(1, 4, 1), before.narrow(1, 4, 1)) > 1e-3);
}

TEST_CASE("Whisper encoder: reset equals fresh, a clone goes on alone, rows of a batch do not mix",
          "[property]") {
  const at::InferenceMode inference;
  const WhisperEncoder encoder = make_tiny();
  const at::Tensor pcm = noise(2, 1280 * 16);
  const at::Tensor reference = encoder.forward(pcm).features;
  auto state = encoder.initial_state(2);
  encoder.step(noise(2, 5000) * 3, state);
  encoder.reset(state);
  const at::Tensor head = encoder.step(pcm.narrow(1, 0, 1280 * 7 + 500), state).features;
  CHECK(worst(head, reference.narrow(1, 0, 7)) < kTolerance);
  auto copy = state.clone();
  encoder.step(noise(2, 3000) * 5, state);  // scribble over the original
  const at::Tensor rest =
      encoder.step(pcm.narrow(1, 1280 * 7 + 500, 1280 * 9 - 500), copy).features;
  CHECK(worst(rest, reference.narrow(1, 7, 9)) < kTolerance);
  const at::Tensor alone = encoder.forward(pcm.narrow(0, 1, 1)).features;
  CHECK(worst(alone, reference.narrow(0, 1, 1)) < kTolerance);
}

TEST_CASE("Whisper encoder: long inputs (local attention) equal the stream", "[property]") {
  const at::InferenceMode inference;
  const WhisperEncoder encoder = make_tiny();
  const at::Tensor pcm = noise(1, 1280 * 40 + 3);
  auto state = encoder.initial_state(1);
  CHECK(worst(encoder.step(pcm, state).features, encoder.forward(pcm).features) < kTolerance);
  CHECK(state.layers[0].keys.size(2) == 12);  // bounded: left + chunk
}

TEST_CASE("Whisper encoder: a bad config says which key", "[unit]") {
  WhisperEncoder::Config config;
  config.left_frames = 190;
  CHECK_THROWS_WITH(config.validate(),
                    "encoder.left_frames: expected a positive multiple of 4, found 190");
}
