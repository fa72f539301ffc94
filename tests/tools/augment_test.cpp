#include "tools/train/augment.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <numbers>

using namespace duet::train;

namespace {

std::vector<float> sine(double hz, int64_t count, double amplitude = 0.5) {
  std::vector<float> x(static_cast<size_t>(count));
  for (size_t i = 0; i < x.size(); ++i)
    x[i] = static_cast<float>(
        amplitude * std::sin(2.0 * std::numbers::pi * hz * static_cast<double>(i) / 16000.0));
  return x;
}

double rms(const std::vector<float>& x, size_t from = 0) {
  double sum = 0.0;
  for (size_t i = from; i < x.size(); ++i)
    sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  return std::sqrt(sum / static_cast<double>(x.size() - from));
}

double db(double ratio) { return 20.0 * std::log10(ratio); }

}  // namespace

TEST_CASE("the level of speech does not count pauses", "[unit]") {
  std::vector<float> speech = sine(440, 16000);
  const double alone = speech_level(speech);
  CHECK(alone == Approx(0.5 / std::sqrt(2.0)).epsilon(0.01));
  speech.resize(64000, 0.0f);
  CHECK(speech_level(speech) == Approx(alone).epsilon(0.01));
  CHECK(speech_level(std::vector<float>(1000, 0.0f)) == 0.0);
}

TEST_CASE("noise lies at the asked signal-to-noise ratio, whatever its colour", "[unit]") {
  Random random(3);
  for (int colour = 0; colour < 5; ++colour) {
    const std::vector<float> clean = sine(440, 32000);
    std::vector<float> noisy = clean;
    add_noise(noisy, make_noise(random, static_cast<NoiseColour>(colour), 32000), 12.0);
    std::vector<float> rest(noisy.size());
    for (size_t i = 0; i < rest.size(); ++i) rest[i] = noisy[i] - clean[i];
    INFO("colour " << colour);
    CHECK(db(rms(clean) / rms(rest)) == Approx(12.0).margin(0.2));
  }
}

TEST_CASE("changing speed changes length and pitch together", "[unit]") {
  const std::vector<float> fast = change_speed(sine(500, 16000), 1.25);
  REQUIRE(fast.size() == 12800);
  const std::vector<float> want = sine(625, 12800);
  double error = 0.0;
  for (size_t i = 8; i + 8 < fast.size(); ++i)
    error = std::max(error, std::abs(static_cast<double>(fast[i] - want[i])));
  CHECK(error < 2e-3);
}

TEST_CASE("block convolution equals the definition", "[unit]") {
  Random random(5);
  std::vector<float> x(5000), h(700);
  for (float& v : x) v = normal(random);
  for (float& v : h) v = normal(random);
  const std::vector<float> got = convolve(x, h);
  REQUIRE(got.size() == x.size());
  double worst = 0.0;
  for (size_t i = 0; i < x.size(); ++i) {
    double want = 0.0;
    for (size_t k = 0; k < h.size() && k <= i; ++k)
      want += static_cast<double>(h[k]) * static_cast<double>(x[i - k]);
    worst = std::max(worst, std::abs(want - static_cast<double>(got[i])));
  }
  CHECK(worst < 1e-3);  // values are of size 26; fp32 transforms of 2048 points
}

TEST_CASE("a room keeps the direct path first and decays by 60 dB", "[unit]") {
  Random random(9);
  const std::vector<float> room = make_room_response(random, 0.4, 0.5);
  REQUIRE(room.size() == 6400);
  CHECK(room[0] == 1.0f);
  const auto part = [&](size_t from, size_t to) {
    return rms({room.begin() + static_cast<long>(from), room.begin() + static_cast<long>(to)});
  };
  CHECK(db(part(800, 1200) / part(5600, 6000)) == Approx(60.0 * 4800 / 6400).margin(3.0));
  double energy = 0.0;
  for (size_t i = 1; i < room.size(); ++i)
    energy += static_cast<double>(room[i]) * static_cast<double>(room[i]);
  CHECK(std::sqrt(energy) == Approx(0.5).epsilon(1e-3));
}

TEST_CASE("a telephone passes 1 kHz and stops 60 Hz and 7 kHz", "[unit]") {
  const auto gain_db = [](double hz) {
    std::vector<float> x = sine(hz, 16000);
    const double before = rms(x, 8000);
    band_limit(x, 300, 3400);
    return db(rms(x, 8000) / before);
  };
  CHECK(gain_db(1000) == Approx(0.0).margin(0.5));
  CHECK(gain_db(60) < -20.0);
  CHECK(gain_db(7000) < -30.0);
}

TEST_CASE("clipping bounds the peak and nothing under it", "[unit]") {
  std::vector<float> x = {0.1f, -0.8f, 0.5f, -0.2f};
  clip(x, 0.5);
  CHECK(x == std::vector<float>{0.1f, -0.4f, 0.4f, -0.2f});
}

TEST_CASE("the chain is a function of its seed and ends at the asked level", "[unit]") {
  AugmentConfig config;
  config.level_low_db = -30.0;
  config.level_high_db = -20.0;
  const std::vector<float> speech = sine(300, 24000), other = sine(900, 9000);
  bool any_differ = false;
  for (uint64_t seed = 0; seed < 30; ++seed) {
    Random a(seed), b(seed), c(seed + 1000);
    const auto x = augment(speech, other, config, a);
    CHECK(x == augment(speech, other, config, b));
    any_differ |= x != augment(speech, other, config, c);
    INFO("seed " << seed);
    CHECK(db(speech_level(x)) >= -30.1);
    CHECK(db(speech_level(x)) <= -19.9);
  }
  CHECK(any_differ);
}

TEST_CASE("ranges the wrong way round are refused", "[unit]") {
  AugmentConfig config;
  config.snr_low_db = 50.0;
  CHECK_THROWS_WITH(config.validate(), Catch::Contains("snr_low_db"));
}
