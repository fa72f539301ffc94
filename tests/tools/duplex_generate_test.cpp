#include "tools/train/duplex_generate.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <catch2/catch.hpp>
#include <cmath>

#include "tools/train/parameter_store.h"

using namespace duet;
using namespace duet::train;

namespace {

models::DuplexLmConfig tiny_config() {
  models::DuplexLmConfig config;
  config.llm = {.hidden = 16,
                .layers = 2,
                .heads = 2,
                .kv_heads = 1,
                .head_dim = 8,
                .intermediate = 24,
                .window = 32};
  config.text_vocab = 11;
  config.num_codebooks = 2;
  config.code_vocab = 9;
  return config;
}

/// Two rows, K = 2, 12 steps: all text pad (0) and silence (codes 4 and 5).
Generated silent() {
  Generated out{at::zeros({2, 12}, at::kLong), at::empty({2, 2, 12}, at::kLong)};
  out.codes.select(1, 0).fill_(4);
  out.codes.select(1, 1).fill_(5);
  return out;
}

std::vector<GeneratedTurn> turns_of(const Generated& generated, int64_t b) {
  return parse_turns(generated, b, /*text_pad=*/0, /*text_bos=*/1, /*text_eos=*/2,
                     /*codebook_size=*/6, {4, 5});
}

Utterance tone(int64_t samples, double amplitude) {
  Utterance out;
  for (int64_t i = 0; i < samples; ++i)
    out.samples.push_back(
        static_cast<int16_t>(32767.0 * amplitude * std::sin(0.3 * static_cast<double>(i))));
  return out;
}

double rms(const at::Tensor& x) { return x.square().mean().sqrt().item<double>(); }

}  // namespace

TEST_CASE("generation says what the model says when it is told what it said", "[unit]") {
  const c10::InferenceMode inference;
  ParameterStore store(7);
  const models::DuplexLm lm(tiny_config(), models::WeightScope(store));
  const at::Tensor user = at::sin(at::arange(2 * 10 * 16, at::kFloat)).view({2, 10, 16}) * 3.0;
  const Generated out = generate(lm, user);
  REQUIRE(out.text.sizes() == at::IntArrayRef({2, 10}));
  REQUIRE(out.codes.sizes() == at::IntArrayRef({2, 2, 10}));

  // The oracle: one teacher-forced pass over what was said, delayed by a step.
  const auto first = lm.initial_tokens(2);
  const at::Tensor text_in = at::cat({first.text.unsqueeze(1), out.text.narrow(1, 0, 9)}, 1);
  const at::Tensor codes_in = at::cat({first.codes.unsqueeze(2), out.codes.narrow(2, 0, 9)}, 2);
  const auto logits = lm.forward(user, text_in, codes_in);
  CHECK(at::equal(logits.text.argmax(-1), out.text));
  CHECK(at::equal(logits.audio.argmax(-1), out.codes.transpose(1, 2)));
  // Said different things, or the oracle would show little.
  CHECK_FALSE(at::equal(out.text[0], out.text[1]));

  const Generated alone = generate(lm, user.narrow(0, 1, 1));
  CHECK(at::equal(alone.text[0], out.text[1]));
  CHECK(at::equal(alone.codes[0], out.codes[1]));
}

TEST_CASE("turns are found in generated tokens", "[unit]") {
  Generated said = silent();
  CHECK(turns_of(said, 0).empty());
  // Row 1: bos at 2, words at 3 and 5, sound 4..6, eos at 6; a second turn from 9 that never ends
  // and never sounds.
  said.text[1][2] = 1;
  said.text[1][3] = 7;
  said.text[1][5] = 8;
  said.text[1][6] = 2;
  said.text[1][9] = 1;
  said.text[1][11] = 9;
  for (int64_t t = 4; t <= 6; ++t) said.codes[1][0][t] = 3;
  const auto turns = turns_of(said, 1);
  REQUIRE(turns.size() == 2);
  CHECK(turns[0].bos_step == 2);
  CHECK(turns[0].first_code_step == 4);
  CHECK(turns[0].last_code_step == 6);
  CHECK(turns[0].has_ended);
  CHECK(turns[0].tokens == std::vector<int64_t>{7, 8});
  CHECK(turns[1].bos_step == 9);
  CHECK(turns[1].first_code_step == -1);
  CHECK(turns[1].last_code_step == -1);
  CHECK_FALSE(turns[1].has_ended);
  CHECK(turns[1].tokens == std::vector<int64_t>{9});
  CHECK(turns_of(said, 0).empty());  // the rows do not touch
}

TEST_CASE("what is no turn and what is no sound", "[unit]") {
  Generated said = silent();
  said.text[0][1] = 7;      // a word before any bos belongs to nobody
  said.text[0][2] = 2;      // so does an eos
  said.codes[0][1][3] = 0;  // and sound
  CHECK(turns_of(said, 0).empty());
  said.text[0][4] = 1;
  said.text[0][5] = 2;
  said.text[0][6] = 8;      // after the eos: not a word of the turn
  said.codes[0][0][5] = 6;  // a control id (>= the codebook's size) stands for silence
  said.codes[0][1][8] = 0;  // one codebook off silence is sound, also after the eos
  const auto turns = turns_of(said, 0);
  REQUIRE(turns.size() == 1);
  CHECK(turns[0].has_ended);
  CHECK(turns[0].tokens.empty());
  CHECK(turns[0].first_code_step == 8);
  CHECK(turns[0].last_code_step == 8);
}

TEST_CASE("questions stand side by side at one level", "[unit]") {
  const Utterance loud = tone(16000, 0.9), quiet = tone(4000, 0.01);
  Utterance silence;
  silence.samples.assign(800, 0);
  std::vector<int64_t> ends{1, 2};
  const at::Tensor pcm = batch_questions({&loud, &quiet, &silence}, 0.5, 1.0, -26.0, ends);
  // 8000 + 16000 + 16000 samples are 31.25 steps of 1280.
  REQUIRE(pcm.sizes() == at::IntArrayRef({3, 32 * 1280}));
  CHECK(ends == std::vector<int64_t>{24000, 12000, 8800});
  const double wanted = std::pow(10.0, -26.0 / 20.0);
  CHECK(rms(pcm[0].narrow(0, 8000, 16000)) == Approx(wanted).epsilon(0.01));
  CHECK(rms(pcm[1].narrow(0, 8000, 4000)) == Approx(wanted).epsilon(0.02));
  CHECK(pcm.narrow(1, 0, 8000).abs().max().item<float>() == 0.0F);
  CHECK(pcm[0].narrow(0, 24000, 32 * 1280 - 24000).abs().max().item<float>() == 0.0F);
  CHECK(pcm[1].narrow(0, 12000, 32 * 1280 - 12000).abs().max().item<float>() == 0.0F);
  CHECK(pcm[2].abs().max().item<float>() == 0.0F);  // no level to scale by, and no NaN
}
