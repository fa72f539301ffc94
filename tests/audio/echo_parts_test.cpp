// Delay estimator, tracker, aligner and filter by themselves; the whole in echo_canceller_test.cpp.

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <cmath>
#include <numeric>
#include <random>
#include <span>

#include "audio/delay_estimator.h"
#include "audio/echo_filter.h"
#include "audio/echo_suppressor.h"
#include "audio/far_aligner.h"

using namespace duet;

namespace {

std::vector<float> noise(std::size_t size, unsigned seed, float gain = 0.1F) {
  std::mt19937 random(seed);
  std::vector<float> samples(size);
  for (float& x : samples) x = gain * (static_cast<float>(random() % 2001) / 1000.0F - 1.0F);
  return samples;
}

}  // namespace

TEST_CASE("the delay estimator finds a delay anywhere in its range, and silence gives none",
          "[dsp]") {
  for (const std::size_t delay : {3U, 800U, 4001U, 8000U}) {
    INFO("delay " << delay);
    audio::DelayEstimator estimator;
    const auto far = noise(32000, 1);
    auto near = noise(32000, 2, 0.05F);  // Another talker, 6 dB below.
    for (std::size_t i = delay; i < near.size(); ++i) near[i] += far[i - delay];
    CHECK(estimator.process(near, far));
    CHECK(estimator.estimate().delay_samples == Approx(double(delay)).margin(0.6));
    CHECK(estimator.estimate().confidence > 0.9);
    estimator.reset();
    CHECK(estimator.estimate().confidence == 0.0);
    CHECK_FALSE(estimator.process(near, std::vector<float>(near.size(), 0.0F)));
  }
}

TEST_CASE("without an echo the delay estimator is not confident", "[dsp]") {
  audio::DelayEstimator estimator;
  CHECK(estimator.process(noise(48000, 1), noise(48000, 2)));
  CHECK(estimator.estimate().confidence < 0.3);
}

TEST_CASE("the delay estimator looks no further than 500 ms", "[dsp]") {
  const auto near = noise(16000 * 20, 1);
  const auto far = noise(16000 * 20, 2);
  audio::DelayEstimator estimator;
  for (std::size_t at = 0; at < near.size(); at += 2048) {
    const std::size_t size = std::min<std::size_t>(2048, near.size() - at);
    estimator.process(std::span(near).subspan(at, size), std::span(far).subspan(at, size));
    REQUIRE(estimator.estimate().delay_samples <= 8001.0);
  }
}

TEST_CASE("after a silence the delay estimator hears where the echo is now", "[dsp]") {
  audio::DelayEstimator estimator;
  const auto far = noise(32000, 1);
  const std::vector<float> silence(40000, 0.0F);  // 2.5 s
  const auto hear = [&](std::size_t delay, std::size_t size) {
    std::vector<float> near(size, 0.0F);
    for (std::size_t i = delay; i < size; ++i) near[i] = far[i - delay];
    CHECK(estimator.process(near, std::span(far).first(size)));
  };
  hear(2000, 32000);
  CHECK(estimator.estimate().delay_samples == Approx(2000.0).margin(0.6));
  estimator.process(silence, silence);
  hear(1988, 6000);  // 100 ppm of 7.5 s on; a third of a second is enough.
  CHECK(estimator.estimate().delay_samples == Approx(1988.0).margin(0.6));
}

TEST_CASE("the delay estimator gives the same whatever the pieces", "[property]") {
  const auto far = noise(20000, 1);
  auto near = far;
  std::rotate(near.begin(), near.end() - 777, near.end());
  audio::DelayEstimator whole;
  whole.process(near, far);
  audio::DelayEstimator pieces;
  std::mt19937 random(4);
  for (std::size_t at = 0; at < far.size();) {
    const std::size_t size = std::min<std::size_t>(random() % 500, far.size() - at);
    pieces.process(std::span(near).subspan(at, size), std::span(far).subspan(at, size));
    at += size;
  }
  CHECK(pieces.estimate().delay_samples == whole.estimate().delay_samples);
  CHECK(pieces.estimate().confidence == whole.estimate().confidence);
}

TEST_CASE("the tracker learns a drift, ignores outliers and follows a jump", "[dsp]") {
  audio::DelayTracker tracker;
  std::mt19937 random(2);
  const double slope = -150e-6 * 16000.0;  // +150 ppm: the delay shrinks by 2.4 samples a second.
  double delay = 1600.0;
  const auto step = [&](double shift) {
    delay += slope * 0.128;
    const double error = 0.3 * (double(random() % 2001) / 1000.0 - 1.0);
    return tracker.update({.delay_samples = delay + shift + error, .confidence = 0.9}, 0.128);
  };
  CHECK_FALSE(tracker.is_known());
  CHECK_FALSE(step(0.0));
  CHECK(step(0.0));
  CHECK(tracker.is_known());
  CHECK(tracker.drift_ppm() == 0.0);  // Not known yet.
  for (int i = 0; i < 80; ++i) step(i % 10 == 5 ? 200.0 + i : 0.0);
  CHECK(tracker.num_jumps() == 0);
  CHECK(tracker.drift_ppm() == Approx(150.0).margin(10.0));
  CHECK(tracker.drift_error_ppm() < 10.0);
  CHECK(tracker.delay_samples() == Approx(delay).margin(0.5));
  // Nothing to hear for 10 s: the clocks go on.
  delay += slope * 10.0;
  tracker.advance(10.0);
  CHECK(tracker.delay_samples() == Approx(delay).margin(2.0));
  // How far that may have gone wrong is known, until the next estimate.
  CHECK(tracker.unseen_shift_samples() > 0.1);
  CHECK(tracker.unseen_shift_samples() < 2.0);
  step(0.0);
  CHECK(tracker.unseen_shift_samples() == 0.0);
  // Doubtful estimates change nothing.
  const double before = tracker.delay_samples();
  tracker.update({.delay_samples = 99.0, .confidence = 0.4}, 0.0);
  CHECK(tracker.delay_samples() == before);
  delay += 300.0;
  CHECK_FALSE(step(0.0));
  CHECK_FALSE(step(0.0));
  CHECK(step(0.0));
  CHECK(tracker.num_jumps() == 1);
  CHECK(tracker.delay_samples() == Approx(delay).margin(1.0));
  CHECK(tracker.drift_ppm() == Approx(150.0).margin(10.0));  // The clocks are the same.
}

TEST_CASE("the aligner delays by fractions, follows a drift and slews to its target", "[dsp]") {
  constexpr std::size_t kBlock = 128;
  const auto tone = [](double place) { return 0.5 * std::sin(0.3 * place); };  // 764 Hz
  audio::FarAligner aligner;
  aligner.jump(100.25);
  double delay = 100.25;
  std::vector<float> far(kBlock);
  std::vector<float> out(kBlock);
  double worst = 0.0;
  for (std::size_t at = 0; at < 64000; at += kBlock) {
    for (std::size_t i = 0; i < kBlock; ++i) far[i] = static_cast<float>(tone(double(at + i)));
    delay -= 200e-6 * kBlock;  // +200 ppm
    aligner.process(far, out, delay, 200.0);
    CHECK(aligner.delay_samples() == Approx(delay).margin(1e-6));
    for (std::size_t i = 0; i < kBlock && at > 1000; ++i) {
      const double place = double(at + i) - (delay + 200e-6 * double(kBlock - 1 - i));
      worst = std::max(worst, std::abs(double(out[i]) - tone(place)));
    }
  }
  CHECK(worst < 5e-4);  // 60 dB under the tone.
  // 4 samples away at 2000 ppm: 0.256 samples a block, never more.
  aligner.process(far, out, delay + 4.0, 0.0);
  CHECK(aligner.delay_samples() == Approx(delay + 0.256).margin(1e-6));
  aligner.jump(1e9);
  CHECK(aligner.delay_samples() == audio::FarAligner::kMaxDelay);
}

TEST_CASE("the filter learns a path, and does not lose it to a second talker", "[dsp]") {
  constexpr std::size_t kBlock = audio::EchoFilter::kBlock;
  audio::EchoFilter filter(8);
  auto response = noise(900, 9, 1.0F);
  for (std::size_t i = 0; i < response.size(); ++i)
    response[i] *= 0.2F * std::exp(-static_cast<float>(i) / 150.0F);
  const auto far = noise(16000 * 6, 1);
  const auto talk = noise(16000 * 6, 2, 0.1F);
  std::vector<float> near(kBlock), error(kBlock), echo(kBlock);
  double echo_energy = 0.0;
  double left = 0.0;
  for (std::size_t at = 1024; at + kBlock <= far.size(); at += kBlock) {
    const bool is_double_talk = at > 16000 * 3 && at < 16000 * 5;
    double all = 0.0;
    double wrong = 0.0;
    for (std::size_t i = 0; i < kBlock; ++i) {
      float sum = 0.0F;
      for (std::size_t k = 0; k < response.size(); ++k) sum += response[k] * far[at + i - k];
      near[i] = sum + (is_double_talk ? talk[at + i] : 0.0F);
      echo[i] = sum;
      all += double(sum * sum);
    }
    const auto true_echo = echo;
    filter.process(near, std::span(far).subspan(at, kBlock), true, error, echo);
    for (std::size_t i = 0; i < kBlock; ++i)
      wrong += double((echo[i] - true_echo[i]) * (echo[i] - true_echo[i]));
    // From 2 s on, double-talk included.
    if (at < 16000 * 2) continue;
    echo_energy += all;
    left += wrong;
    if (is_double_talk) CHECK(wrong < 0.1 * all + 1e-4);
  }
  CHECK(10.0 * std::log10(echo_energy / left) > 15.0);  // 18.3; its steady state forgets on.
  CHECK(filter.num_failures() == 0);
}

namespace {

/// Most energy of a block that the filter leaves of `far`, heard at half and 100 samples late
/// beside `others`: in the third second, and in the four blocks from `resumed` on.
std::array<double, 2> most_left(std::span<const float> far, std::span<const float> others,
                                std::size_t resumed) {
  constexpr std::size_t kBlock = audio::EchoFilter::kBlock;
  audio::EchoFilter filter(8);
  std::vector<float> near(kBlock), error(kBlock), echo(kBlock);
  double before = 0.0, after = 0.0;
  for (std::size_t at = kBlock; at < far.size(); at += kBlock) {
    for (std::size_t i = 0; i < kBlock; ++i) near[i] = 0.5F * far[at + i - 100] + others[at + i];
    filter.process(near, far.subspan(at, kBlock), true, error, echo);
    const double left = std::inner_product(error.begin(), error.end(), error.begin(), 0.0);
    if (at > 16000 * 2 && at < 16000 * 3 - kBlock) before = std::max(before, left);
    if (at > resumed && at < resumed + 4 * kBlock) after = std::max(after, left);
  }
  return {before, after};
}

}  // namespace

TEST_CASE("the filter forgets nothing while nothing plays", "[dsp]") {
  constexpr std::size_t kBlock = audio::EchoFilter::kBlock;
  auto far = noise(16000 * 10 / kBlock * kBlock, 1);
  std::fill(far.begin() + 16000 * 3, far.begin() + 16000 * 8, 0.0F);
  auto talk = noise(far.size(), 2);  // The user's turn.
  std::fill(talk.begin(), talk.begin() + 16000 * 4 + kBlock, 0.0F);
  std::fill(talk.begin() + 16000 * 7, talk.end(), 0.0F);
  const auto [before, after] = most_left(far, talk, 16000 * 8);
  CHECK(after < 1.5 * before);
}

TEST_CASE("the filter learns nothing from a far end that hides under the noise", "[dsp]") {
  constexpr std::size_t kBlock = audio::EchoFilter::kBlock;
  // 3 s of sound; 3 s in which a codec leaves 40 dB less, and the room's noise is all there is.
  auto far = noise(16000 * 7 / kBlock * kBlock, 1);
  for (std::size_t i = 16000 * 3; i < 16000 * 6; ++i) far[i] *= 0.01F;
  const auto [before, after] = most_left(far, noise(far.size(), 2, 0.003F), 16000 * 6);
  CHECK(after < 1.5 * before);
}

TEST_CASE("the suppressor passes what is no echo, in time", "[dsp]") {
  constexpr std::size_t kBlock = audio::EchoSuppressor::kBlock;
  audio::EchoSuppressor suppressor;
  const auto talk = noise(kBlock * 40, 2);
  const std::vector<float> silence(kBlock, 0.0F);
  const std::vector<float> sure(audio::EchoFilter::kBins, 0.0F);
  std::vector<float> out(talk.size());
  for (std::size_t at = 0; at < talk.size(); at += kBlock)
    suppressor.process(std::span(talk).subspan(at, kBlock), silence, sure, 0.0F,
                       std::span(out).subspan(at, kBlock));
  for (std::size_t i = audio::EchoSuppressor::kLatency; i < out.size(); ++i)
    REQUIRE(out[i] == Approx(talk[i - audio::EchoSuppressor::kLatency]).margin(1e-5));
}

TEST_CASE("the filter learns nothing when it must not", "[dsp]") {
  constexpr std::size_t kBlock = audio::EchoFilter::kBlock;
  audio::EchoFilter filter(2);
  const auto far = noise(kBlock * 100, 1);
  std::vector<float> error(kBlock), echo(kBlock);
  for (std::size_t at = 0; at < far.size(); at += kBlock) {
    const auto block = std::span(far).subspan(at, kBlock);
    filter.process(block, block, false, error, echo);
    REQUIRE(std::equal(error.begin(), error.end(), block.begin()));
  }
}

namespace {

constexpr std::size_t kSuppressed = audio::EchoSuppressor::kBlock;

/// Blocks of `error` and `echo`, each noise at these amplitudes; the last output's peak.
float suppress(audio::EchoSuppressor& suppressor, std::size_t num_blocks, float error, float echo,
               float doubt = 0.0F, float shift_samples = 0.0F) {
  const std::vector<float> doubts(audio::EchoFilter::kBins, doubt);
  std::vector<float> out(kSuppressed);
  float peak = 0.0F;
  for (std::size_t i = 0; i < num_blocks; ++i) {
    const auto seed = static_cast<unsigned>(i);
    suppressor.process(noise(kSuppressed, 2 * seed, error), noise(kSuppressed, 2 * seed + 1, echo),
                       doubts, shift_samples, out);
    for (const float x : out) peak = std::max(peak, std::abs(x));
  }
  return peak;
}

}  // namespace

TEST_CASE("a pause of the far end is no talk, and its next phrase begins suppressed", "[dsp]") {
  audio::EchoSuppressor suppressor;
  suppress(suppressor, 400, 0.002F, 0.1F);  // What the filter leaves lies 34 dB under the echo.
  CHECK_FALSE(suppressor.is_double_talk());
  suppress(suppressor, 200, 0.001F, 1e-5F);  // The room's noise is left.
  CHECK_FALSE(suppressor.is_double_talk());
  suppress(suppressor, 10, 0.003F, 0.1F);  // 1.5 times its usual.
  CHECK_FALSE(suppressor.is_double_talk());
  CHECK(suppress(suppressor, 10, 0.002F, 0.1F) < 0.0006F);
  suppress(suppressor, 4, 0.05F, 0.1F);  // A talker 6 dB under the echo.
  CHECK(suppressor.is_double_talk());
  CHECK(suppress(suppressor, 4, 0.05F, 0.1F) > 0.03F);
}

TEST_CASE("what the filter doubts is no talk", "[dsp]") {
  for (const bool is_shift : {false, true}) {
    audio::EchoSuppressor suppressor;
    suppress(suppressor, 400, 0.002F, 0.1F);
    // An error as loud as the doubt: 128 samples of power 0.03^2 / 3 a bin; a turn by 1.5 samples
    // leaves more than that above 1 kHz.
    suppress(suppressor, 10, 0.03F, 0.1F, is_shift ? 0.0F : 0.04F, is_shift ? 1.5F : 0.0F);
    CHECK_FALSE(suppressor.is_double_talk());
    suppress(suppressor, 10, 0.03F, 0.1F);
    CHECK(suppressor.is_double_talk());
  }
}

TEST_CASE("a filter gone wrong does not make the output louder than the microphone", "[dsp]") {
  // The microphone hears faint noise; the filter takes away an echo that is not there.
  audio::EchoSuppressor suppressor;
  const std::vector<float> sure(audio::EchoFilter::kBins, 0.0F);
  std::vector<float> error(kSuppressed), out(kSuppressed);
  double in_energy = 0.0, out_energy = 0.0;
  for (unsigned i = 0; i < 200; ++i) {
    const auto mic = noise(kSuppressed, 1000 + i, 0.001F);
    const auto echo = noise(kSuppressed, i, 0.1F);
    for (std::size_t k = 0; k < kSuppressed; ++k) error[k] = mic[k] - echo[k];
    suppressor.process(error, echo, sure, 0.0F, out);
    if (i < 5) continue;  // Powers are smoothed over 22 ms.
    in_energy += std::inner_product(mic.begin(), mic.end(), mic.begin(), 0.0);
    out_energy += std::inner_product(out.begin(), out.end(), out.begin(), 0.0);
  }
  CHECK(out_energy < 2.0 * in_energy);
}
