// Streams that are stepped together, each at another place, give what each gives alone.

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <catch2/catch.hpp>

#include "codecs/neural/convnext_codec.h"
#include "models/duplex_lm.h"
#include "models/whisper_speech_encoder.h"
#include "tests/support/seeded_reader.h"

using namespace duet;

namespace {

at::Tensor noise(at::IntArrayRef shape, uint64_t seed) {
  return at::randn(shape, at::detail::createCPUGenerator(seed)) * 0.1;
}

double worst(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

constexpr double kTolerance = 2e-6;  // convolutions and transforms may sum in another order
constexpr int64_t kStreams = 3;

}  // namespace

TEST_CASE("LM: streams stepped together are each what they are alone", "[property]") {
  const c10::InferenceMode inference;
  models::DuplexLmConfig config;
  config.llm.hidden = 16;
  config.llm.layers = 2;
  config.llm.heads = 4;
  config.llm.kv_heads = 2;
  config.llm.head_dim = 8;
  config.llm.intermediate = 24;
  config.llm.window = 5;
  config.llm.sinks = GENERATE(0, 2);
  config.text_vocab = 7;
  config.num_codebooks = 2;
  config.code_vocab = 9;
  config.user_width = 6;
  test::SeededReader reader(11);
  const models::DuplexLm lm(config, models::WeightScope(reader));
  std::vector<models::DuplexLm::State> alone, together;
  std::vector<models::DuplexLm::State*> pointers;
  for (int64_t s = 0; s < kStreams; ++s) {
    alone.push_back(lm.initial_state(1));
    together.push_back(lm.initial_state(1));
  }
  for (auto& state : together) pointers.push_back(&state);
  const auto heard = [&](int64_t s, int64_t t) {
    return models::DuplexLm::Tokens{at::full({1}, (s + t) % 7, at::kLong),
                                    at::full({1, 2}, (3 * s + t) % 9, at::kLong)};
  };
  const auto user = [&](int64_t s, int64_t t) {
    return noise({1, 1, 6}, static_cast<uint64_t>(100 * s + t));
  };
  for (int64_t s = 0; s < kStreams; ++s)  // stream s is s steps ahead: stream 0 begins
    for (int64_t t = 0; t < 3 * s; ++t) {
      (void)lm.step(user(s, t), heard(s, t), alone[static_cast<size_t>(s)]);
      (void)lm.step(user(s, t), heard(s, t), together[static_cast<size_t>(s)]);
    }
  for (int64_t t = 0; t < 12; ++t) {
    std::vector<at::Tensor> users, texts, codes;
    std::vector<models::DuplexLm::Logits> expected;
    for (int64_t s = 0; s < kStreams; ++s) {
      const int64_t at = t + 3 * s;
      users.push_back(user(s, at));
      texts.push_back(heard(s, at).text);
      codes.push_back(heard(s, at).codes);
      expected.push_back(lm.step(user(s, at), heard(s, at), alone[static_cast<size_t>(s)]));
    }
    const auto logits =
        lm.step_together(at::cat(users, 0), {at::cat(texts, 0), at::cat(codes, 0)}, pointers);
    for (int64_t s = 0; s < kStreams; ++s) {
      const auto& own = expected[static_cast<size_t>(s)];
      CHECK(at::equal(logits.text.narrow(0, s, 1), own.text));
      CHECK(at::equal(logits.audio.narrow(0, s, 1), own.audio));
    }
  }
}

TEST_CASE("encoder: streams stepped together are each what they are alone", "[property]") {
  const c10::InferenceMode inference;
  models::WhisperEncoder::Config config;
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
  test::SeededReader reader(11);
  const models::WhisperSpeechEncoder encoder(config, true, models::WeightScope(reader));
  std::vector<std::unique_ptr<models::SpeechEncoder::State>> states;
  std::vector<models::SpeechEncoder::State*> pointers;
  std::vector<at::Tensor> pcm, whole;
  for (int64_t s = 0; s < kStreams; ++s) {
    pcm.push_back(noise({1, 1280 * 20}, static_cast<uint64_t>(s)));
    whole.push_back(encoder.forward(pcm.back()));
    states.push_back(encoder.initial_state(1));
    pointers.push_back(states.back().get());
    for (int64_t t = 0; t < 2 * s; ++t)
      (void)encoder.step(pcm.back().narrow(1, 1280 * t, 1280), *states.back());
  }
  for (int64_t t = 0; t < 14; ++t) {
    std::vector<at::Tensor> blocks;
    for (int64_t s = 0; s < kStreams; ++s)
      blocks.push_back(pcm[static_cast<size_t>(s)].narrow(1, 1280 * (t + 2 * s), 1280));
    const std::vector<at::Tensor> frames = encoder.step_together(at::cat(blocks, 0), pointers);
    REQUIRE(frames.size() == kStreams);
    for (int64_t s = 0; s < kStreams; ++s)
      CHECK(worst(frames[static_cast<size_t>(s)],
                  whole[static_cast<size_t>(s)].narrow(1, t + 2 * s, 1)) < 2e-5);
  }
}

TEST_CASE("encoder: a stream with samples pending is stepped by itself", "[unit]") {
  const c10::InferenceMode inference;
  models::WhisperEncoder::Config config;
  config.width = 24;
  config.heads = 2;
  config.layers = 1;
  config.left_frames = 8;
  config.top_width = 16;
  config.top_heads = 2;
  config.top_layers = 1;
  config.ctc_pieces = 5;
  test::SeededReader reader(11);
  const models::WhisperSpeechEncoder encoder(config, false, models::WeightScope(reader));
  const at::Tensor pcm = noise({1, 1280 * 3 + 100}, 1);
  const auto a = encoder.initial_state(1), b = encoder.initial_state(1);
  (void)encoder.step(pcm.narrow(1, 0, 100), *a);
  models::SpeechEncoder::State* const pointers[] = {a.get(), b.get()};
  const auto frames = encoder.step_together(
      at::cat({pcm.narrow(1, 100, 1280), pcm.narrow(1, 0, 1280)}, 0), pointers);
  CHECK(worst(frames[0], encoder.forward(pcm).narrow(1, 0, 1)) < 2e-5);
  CHECK(worst(frames[1], encoder.forward(pcm).narrow(1, 0, 1)) < 2e-5);
}

TEST_CASE("codec: streams stepped together are each what they are alone", "[property]") {
  const c10::InferenceMode inference;
  codecs::ConvNextCodecConfig config;
  config.decoder_width = 16;
  config.decoder_frame_blocks = 1;
  config.decoder_hop_blocks = 2;
  test::SeededReader reader(11);
  const codecs::ConvNextDecoder codec(config, models::WeightScope(reader));
  const auto codes = [&](int64_t s, int64_t t) {
    return at::full({1, config.num_groups, 1}, (17 * s + 5 * t) % codec.codebook_size(), at::kLong);
  };
  std::vector<std::unique_ptr<codecs::CodecDecoder::State>> alone, together;
  std::vector<codecs::CodecDecoder::State*> pointers;
  for (int64_t s = 0; s < kStreams; ++s) {
    alone.push_back(codec.initial_state(1));
    together.push_back(codec.initial_state(1));
    pointers.push_back(together.back().get());
    for (int64_t t = 0; t < s; ++t) {
      (void)codec.step(codes(s, t), *alone.back());
      (void)codec.step(codes(s, t), *together.back());
    }
  }
  for (int64_t t = 0; t < 6; ++t) {
    std::vector<at::Tensor> all;
    for (int64_t s = 0; s < kStreams; ++s) all.push_back(codes(s, t + s));
    const at::Tensor pcm = codec.step_together(at::cat(all, 0), pointers);
    for (int64_t s = 0; s < kStreams; ++s)
      CHECK(worst(pcm.narrow(0, s, 1),
                  codec.step(codes(s, t + s), *alone[static_cast<size_t>(s)])) < kTolerance);
  }
}
