#include "models/sampler.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

#include "runtime/core/error.h"

using duet::models::ControlCodes;
using duet::models::Sampler;
using duet::models::SamplerConfig;

TEST_CASE("greedy takes the largest, the lowest index among equals", "[unit]") {
  const Sampler sampler({});
  Sampler::State state = sampler.initial_state();
  const std::vector<float> tie = {-1.0F, 2.0F, 0.5F, 2.0F};
  CHECK(sampler.sample_code(tie, state) == 1);
  CHECK(sampler.sample_text(tie, state) == 1);
  const std::vector<float> all_but_one(5, -std::numeric_limits<float>::infinity());
  CHECK_THROWS_WITH(sampler.sample_code(all_but_one, state), "no finite logit among 5");
  CHECK_THROWS_WITH(sampler.sample_code(std::vector<float>{1.0F, NAN}, state), "logit 1 is NaN");
}

TEST_CASE("a temperature draws by the softmax and the seed repeats it", "[unit]") {
  const std::vector<float> logits = {0.0F, 1.0F, -2.0F, 0.5F};
  const double temperature = 0.7;
  const Sampler sampler({.temperature = temperature, .seed = 7});
  Sampler::State state = sampler.initial_state();
  const int draws = 20000;
  std::vector<double> counts(4, 0.0);
  std::vector<int64_t> first;
  for (int i = 0; i < draws; ++i) {
    const int64_t code = sampler.sample_code(logits, state);
    counts[static_cast<size_t>(code)] += 1.0 / draws;
    if (i < 50) first.push_back(code);
  }
  double total = 0.0;
  for (const float logit : logits) total += std::exp(static_cast<double>(logit) / temperature);
  for (size_t i = 0; i < 4; ++i) {
    const double p = std::exp(static_cast<double>(logits[i]) / temperature) / total;
    CHECK(counts[i] ==
          Approx(p).margin(4.0 * std::sqrt(p * (1 - p) / draws)));  // 4 standard deviations
  }
  Sampler::State again = sampler.initial_state();
  for (const int64_t code : first) CHECK(sampler.sample_code(logits, again) == code);
  const Sampler other({.temperature = temperature, .seed = 8});
  Sampler::State different = other.initial_state();
  std::vector<int64_t> second;
  for (int i = 0; i < 50; ++i) second.push_back(other.sample_code(logits, different));
  CHECK(first != second);
}

TEST_CASE("interruptibility leans on the end and the silence of an open turn only", "[unit]") {
  // ids: 0 pad, 1 bos, 2 eos, 3 a word
  const Sampler sampler({.interruptibility = 2.0});
  Sampler::State state = sampler.initial_state();
  const std::vector<float> word_first = {2.5F, -9.0F, 1.5F, 3.0F},
                           pad_first = {3.0F, -9.0F, 2.5F, 0.0F};
  CHECK(sampler.sample_text(word_first, state) == 3);
  CHECK(sampler.sample_text(pad_first, state) == 0);
  CHECK(sampler.sample_text(std::vector<float>{0.0F, 1.0F, 0.5F, 0.0F}, state) == 1);
  CHECK(state.in_turn);
  CHECK(sampler.sample_text(std::vector<float>{2.1F, -9.0F, 0.5F, 3.0F}, state) == 0);
  CHECK(sampler.sample_text(pad_first, state) == 2);  // after the text too
  CHECK_FALSE(state.in_turn);
  CHECK(sampler.sample_text(word_first, state) == 3);
}

TEST_CASE("eagerness leans on the begin of a turn, and only while none is open", "[unit]") {
  // ids: 0 pad, 1 bos, 2 eos, 3 a word
  const std::vector<float> begin_first = {1.0F, 2.0F, 0.0F, 0.0F},
                           pad_first = {2.0F, 1.0F, 0.0F, 0.0F};
  const Sampler patient({.eagerness = -1.5}), eager({.eagerness = 1.5});
  Sampler::State waiting = patient.initial_state(), beginning = eager.initial_state();
  CHECK(patient.sample_text(begin_first, waiting) == 0);
  CHECK(eager.sample_text(pad_first, beginning) == 1);
  REQUIRE(beginning.in_turn);
  CHECK(eager.sample_text(pad_first, beginning) == 0);  // Inside a turn nothing is added.
  waiting.in_turn = true;
  CHECK(patient.sample_text(begin_first, waiting) == 1);
  CHECK_THROWS_AS(Sampler({.eagerness = NAN}), duet::core::ConfigError);
}

TEST_CASE("control codes become the first frame, as the reference does", "[golden]") {
  const std::vector<std::vector<int64_t>> said = {{8, 17}, {17, 0}, {52, 61}, {62, 45}};
  const std::vector<std::vector<int64_t>> want = {{8, 17}, {17, 0}, {52, 17}, {8, 45}};
  const ControlCodes control(60);
  ControlCodes::State state;
  for (size_t t = 0; t < said.size(); ++t) {
    std::vector<int64_t> codes = said[t];
    control.replace(codes, state);
    CHECK(codes == want[t]);
  }
  ControlCodes::State other;
  std::vector<int64_t> first = {60, 5}, later = {61, 62};
  control.replace(first, other);
  control.replace(later, other);
  CHECK(first == std::vector<int64_t>{60, 5});
  CHECK(later == std::vector<int64_t>{60, 5});
}

TEST_CASE("control codes become the model's silence where its config has one", "[unit]") {
  const ControlCodes control(60, {11, 12});
  ControlCodes::State state;
  std::vector<int64_t> codes = {62, 7};
  control.replace(codes, state);
  CHECK(codes == std::vector<int64_t>{11, 7});
  CHECK_THROWS_WITH(ControlCodes(60, {60, 1}), "silence_codes: expected codes below 60, found 60");
}

TEST_CASE("a sampler refuses ids that coincide", "[unit]") {
  CHECK_THROWS_AS(Sampler({.text_pad = 2}), duet::core::ConfigError);
  CHECK_THROWS_AS(Sampler({.temperature = -1.0}), duet::core::ConfigError);
}
