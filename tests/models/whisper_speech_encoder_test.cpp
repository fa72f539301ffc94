#include "models/whisper_speech_encoder.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <catch2/catch.hpp>

#include "tests/support/golden_weights.h"
#include "tests/support/nemo_golden.h"
#include "tests/support/streaming_laws.h"

using namespace duet;

namespace {

models::WhisperEncoder::Config tiny() {
  models::WhisperEncoder::Config config;
  config.mel_bins = 80;
  config.width = 24;
  config.heads = 2;
  config.layers = 1;
  config.left_frames = 8;
  config.positions = 40;
  config.top_width = 16;
  config.top_heads = 2;
  config.top_layers = 1;
  config.top_left = 3;
  config.ctc_pieces = 6;
  return config;
}

}  // namespace

TEST_CASE("the Whisper encoder behind the seam obeys the streaming laws", "[property]") {
  const bool has_posterior = GENERATE(false, true);
  test::GoldenWeightReader reader;
  const models::WhisperSpeechEncoder encoder(tiny(), has_posterior, models::WeightScope(reader));
  const c10::InferenceMode inference;
  const auto subject = test::make_subject(encoder, {.output_time_axis = 1, .has_empty_step = true});
  test::check_all_laws(subject, test::noise({2, 1280 * 9 + 300}, 5), {1280, 400, 3000});
}

TEST_CASE("the posterior stands beside the features, and the heads read the features", "[unit]") {
  test::GoldenWeightReader reader;
  const models::WhisperSpeechEncoder plain(tiny(), false, models::WeightScope(reader));
  const models::WhisperSpeechEncoder rich(tiny(), true, models::WeightScope(reader));
  const models::WhisperEncoder encoder(tiny(), models::WeightScope(reader));
  const c10::InferenceMode inference;
  const at::Tensor pcm = test::noise({1, 1280 * 4}, 6);
  const at::Tensor frames = rich.forward(pcm);
  const models::WhisperEncoder::Output want = encoder.forward(pcm);
  CHECK(plain.width() == 16);
  CHECK(rich.width() == 16 + 7);
  CHECK(at::equal(plain.forward(pcm), want.features));
  CHECK(at::equal(frames.narrow(-1, 0, 16), want.features));
  CHECK(at::allclose(frames.narrow(-1, 16, 7), at::softmax(want.ctc, -1) * 8.0));
  CHECK(at::allclose(rich.ctc_logits(frames), want.ctc));
  CHECK(at::allclose(rich.speaking_logit(frames), want.speaking));
}
