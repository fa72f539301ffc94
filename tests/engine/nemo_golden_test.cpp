// The golden tiny model from samples to samples: perception, duplex LM, control codes, codec.
// Reference values: an independent implementation (tools/golden/nemo_tiny_reference.py prints the
// same); its perception and codec parts are NeMo's own.
#include <ATen/ATen.h>

#include <catch2/catch.hpp>

#include "codecs/neural/nano_codec.h"
#include "models/duplex_lm.h"
#include "models/nemo_duplex.h"
#include "models/sampler.h"
#include "tests/support/golden_weights.h"
#include "tests/support/nemo_golden.h"
#include "tests/support/nemo_tiny.h"
#include "tests/support/streaming_laws.h"

using namespace duet;

namespace {

constexpr test::Tolerance kAudioTolerance{2e-5, 0.0};

const std::vector<int64_t> kText{17, 3, 35, 18, 24, 10, 25, 37, 23, 6, 12};
const std::vector<std::vector<int64_t>> kCodes{{8, 17},  {17, 0},  {0, 9},   {52, 61},
                                               {35, 44}, {44, 7},  {62, 45}, {25, 34},
                                               {34, 43}, {43, 26}, {26, 35}};

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
};

}  // namespace

TEST_CASE("the golden tiny model speaks the reference's tokens and samples", "[golden]") {
  at::InferenceMode inference;
  const Tiny tiny;
  // As it would live: packets of 80 ms, then the end of the stream.
  auto hearing = tiny.perception.initial_state(1);
  auto thinking = tiny.lm.initial_state(1);
  auto voice = tiny.codec.initial_state(1);
  const models::ControlCodes control(60);
  models::ControlCodes::State control_state;
  models::DuplexLm::Tokens heard = tiny.lm.initial_tokens(1);
  std::vector<at::Tensor> pcm;
  size_t t = 0;
  const auto say = [&](const at::Tensor& frames) {
    for (int64_t i = 0; i < frames.size(1); ++i, ++t) {
      INFO("step " << t);
      REQUIRE(t < kText.size());
      const auto logits = tiny.lm.step(frames.narrow(1, i, 1), heard, thinking);
      if (t == 0) {
        test::expect_close(logits.text[0].narrow(0, 0, 4),
                           at::tensor({1.96756, -1.89438, 0.21306, 1.64912}),
                           test::kGoldenTolerance, "text logits");
        test::expect_close(
            logits.audio[0].narrow(1, 0, 3),
            at::tensor({0.58118, -2.02278, 1.75571, 1.72434, -2.11318, 0.68509}).reshape({2, 3}),
            test::kGoldenTolerance, "audio logits");
      }
      heard = {logits.text.argmax(-1), logits.audio.argmax(-1)};
      CHECK(heard.text[0].item<int64_t>() == kText[t]);
      std::vector<int64_t> codes{heard.codes[0][0].item<int64_t>(),
                                 heard.codes[0][1].item<int64_t>()};
      CHECK(codes == kCodes[t]);
      control.replace(codes, control_state);
      pcm.push_back(tiny.codec.step(at::tensor(codes, at::kLong).view({1, 2, 1}), *voice));
    }
  };
  const at::Tensor signal = test::golden_signal();
  for (int64_t start = 0; start < 12800; start += 1280)
    say(tiny.perception.step(signal.narrow(1, start, 1280), *hearing));
  say(tiny.perception.flush(*hearing));
  REQUIRE(t == 11);
  const at::Tensor samples = at::cat(pcm, 1)[0];
  REQUIRE(samples.numel() == 165);
  CHECK(samples.abs().sum().item<double>() == Approx(11.80705).margin(165 * 2e-5));
  test::expect_close(samples.narrow(0, 0, 5),
                     at::tensor({-0.045569, -0.081531, -0.082339, -0.053997, -0.051262}),
                     kAudioTolerance);
  test::expect_close(samples.narrow(0, 60, 5),
                     at::tensor({-0.077514, -0.080280, -0.066610, -0.057553, -0.065394}),
                     kAudioTolerance);
  test::expect_close(samples.narrow(0, 160, 5),
                     at::tensor({-0.076779, -0.073685, -0.062534, -0.066465, -0.070850}),
                     kAudioTolerance);
}

TEST_CASE("the golden tiny model's hidden state and teacher-forced tokens", "[golden]") {
  at::InferenceMode inference;
  const Tiny tiny;
  const at::Tensor user = tiny.perception.forward(test::golden_signal());
  at::Tensor text = at::zeros({1, 11}, at::kLong), codes = at::full({1, 2, 11}, 62, at::kLong);
  for (size_t t = 1; t < kText.size(); ++t) {
    const auto i = static_cast<int64_t>(t);
    text[0][i] = kText[t - 1];
    for (int64_t k = 0; k < 2; ++k) codes[0][k][i] = kCodes[t - 1][static_cast<size_t>(k)];
  }
  const at::Tensor hidden = tiny.lm.hidden(user, text, codes);
  test::expect_close(hidden[0][0].narrow(0, 0, 4),
                     at::tensor({-0.11895, -1.88169, 0.55294, -0.05366}), test::kGoldenTolerance);
  CHECK(at::equal(tiny.lm.text_logits(hidden)[0].argmax(-1), at::tensor(kText, at::kLong)));
}

TEST_CASE("control codes are replaced by the first frame's", "[golden]") {
  const models::ControlCodes control(60);
  models::ControlCodes::State state;
  std::vector<std::vector<int64_t>> frames{{8, 17}, {17, 0}, {52, 61}, {62, 45}};
  for (auto& frame : frames) control.replace(frame, state);
  CHECK(frames == std::vector<std::vector<int64_t>>{{8, 17}, {17, 0}, {52, 17}, {8, 45}});
  state = {};
  frames = {{60, 5}, {62, 7}, {3, 61}};
  for (auto& frame : frames) control.replace(frame, state);
  CHECK(frames == std::vector<std::vector<int64_t>>{{60, 5}, {60, 7}, {3, 5}});
}
