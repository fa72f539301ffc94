#include "tools/train/heard_utterances.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <set>

#include "tools/train/dialogue.h"

using namespace duet::train;

namespace {

Utterance tone(double seconds) {
  Utterance out;
  for (int64_t i = 0; i < static_cast<int64_t>(seconds * 16000.0); ++i)
    out.samples.push_back(static_cast<int16_t>(8000.0 * std::sin(0.2 * static_cast<double>(i))));
  return out;
}

AugmentConfig plain() {
  AugmentConfig config;
  config.speed_probability = config.reverb_probability = config.noise_probability = 0.0;
  config.speaker_probability = config.band_limit_probability = config.clip_probability = 0.0;
  return config;
}

double energy(const std::vector<float>& samples, int64_t from, int64_t to) {
  double sum = 0.0;
  for (int64_t i = from; i < to; ++i) {
    const auto v = static_cast<double>(samples[static_cast<size_t>(i)]);
    sum += v * v;
  }
  return sum;
}

}  // namespace

TEST_CASE("an utterance lies in the steps that it says, silence around it", "[unit]") {
  Random random(3);
  std::set<int64_t> firsts;
  for (int round = 0; round < 20; ++round) {
    const UtteranceSound sound = place_utterance(tone(1.0), plain(), 8, 12, random);
    const auto steps = static_cast<int64_t>(sound.samples.size()) / kStepSamples;
    CHECK(static_cast<int64_t>(sound.samples.size()) == steps * kStepSamples);
    CHECK(steps % 12 == 0);
    CHECK(sound.last_step + 8 < steps);
    CHECK(energy(sound.samples, 0, sound.first_step * kStepSamples) == 0.0);
    CHECK(energy(sound.samples, (sound.last_step + 1) * kStepSamples, steps * kStepSamples) == 0.0);
    for (int64_t step : {sound.first_step, sound.last_step})
      CHECK(energy(sound.samples, step * kStepSamples, (step + 1) * kStepSamples) > 0.0);
    firsts.insert(sound.first_step);
  }
  CHECK(firsts.size() > 1);
}

TEST_CASE("takes are found by their text; the newest replace the oldest of their utterance",
          "[unit]") {
  HeardUtterances heard(2);
  Random random(1);
  CHECK(heard.find("hello", random).id == -1);
  const auto take = [](float value, int64_t frames) { return at::full({frames, 3}, value); };
  heard.add("hello", 7, take(1, 4), 2);
  heard.add("hello", 7, take(2, 5), 3);
  heard.add("hello", 7, take(3, 6), 4);  // takes the place of the first
  heard.add("hello", 8, take(4, 7), 5);
  heard.add("bye", 9, take(5, 8), 6);
  CHECK(heard.num_texts() == 2);
  std::set<float> values;
  for (int i = 0; i < 100; ++i) {
    const HeardSegment found = heard.find("hello", random);
    REQUIRE(found.id >= 0);
    const at::Tensor& frames = heard.frames(found.id);
    const float value = frames[0][0].item<float>();
    values.insert(value);
    CHECK(found.num_frames == frames.size(0));
    CHECK(found.num_frames == static_cast<int64_t>(value) + 3);
    CHECK(found.last_frame == static_cast<int64_t>(value) + 1);
  }
  CHECK(values == std::set<float>{2, 3, 4});
}
