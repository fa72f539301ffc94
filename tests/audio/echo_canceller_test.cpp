#include "audio/echo_canceller.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <memory>
#include <numeric>
#include <random>

#include "audio/room.h"
#include "runtime/core/error.h"
#include "tests/support/allocation_trap.h"

using namespace duet;
using audio::EchoConfig;
constexpr std::size_t kBlock = audio::kEchoBlockSamples;
constexpr std::size_t kRate = audio::kEchoRateHz;

namespace {

/// Noise in syllables: 150 ms on, 100 ms off, low-passed, each of another level.
std::vector<float> babble(std::size_t size, unsigned seed, float gain) {
  std::mt19937 random(seed);
  std::vector<float> samples(size);
  float low = 0.0F;
  float level = 1.0F;
  for (std::size_t i = 0; i < size; ++i) {
    if (i % 4000 == 0) level = 0.3F + static_cast<float>(random() % 1000) / 1000.0F;
    const float x = static_cast<float>(random() % 2001) / 1000.0F - 1.0F;
    low += 0.4F * (x - low);
    samples[i] = i % 4000 < 2400 ? gain * level * low : 0.0F;
  }
  return samples;
}

struct Scene {
  std::vector<float> far, mic, echo, near;
};

Scene make_scene(const audio::RoomConfig& config, std::size_t size, std::size_t talk_begin,
                 std::size_t talk_end) {
  Scene scene;
  scene.far = babble(size, 1, 0.5F);
  std::vector<float> talk = babble(size, 2, 0.25F);
  for (std::size_t i = 0; i < size; ++i)
    if (i < talk_begin || i >= talk_end) talk[i] = 0.0F;
  for (auto* signal : {&scene.mic, &scene.echo, &scene.near}) signal->resize(size);
  audio::Room(config).process(scene.far, talk, scene.mic, {.echo = scene.echo, .near = scene.near});
  return scene;
}

/// out[i] is the sample of time i, the latency taken off.
std::vector<float> run(audio::EchoCanceller& canceller, const Scene& scene) {
  const std::size_t latency = canceller.latency_samples();
  std::vector<float> out(scene.mic.size() + latency);
  for (std::size_t at = 0; at < scene.mic.size(); at += kBlock)
    canceller.process(std::span(scene.mic).subspan(at, kBlock),
                      std::span(scene.far).subspan(at, kBlock), std::span(out).subspan(at, kBlock));
  out.erase(out.begin(), out.begin() + std::ptrdiff_t(latency));
  return out;
}

double energy(const std::vector<float>& x, std::size_t begin, std::size_t end) {
  return std::inner_product(x.begin() + std::ptrdiff_t(begin), x.begin() + std::ptrdiff_t(end),
                            x.begin() + std::ptrdiff_t(begin), 0.0);
}

audio::RoomConfig drifting_room() {
  audio::RoomConfig config;
  config.rt60_s = 0.3;
  config.delay_ms = 180.0;
  config.drift_ppm = 100.0;
  config.thd = 0.03;
  return config;
}

}  // namespace

TEST_CASE("the chain finds delay and drift and removes the echo", "[dsp]") {
  const Scene scene = make_scene(drifting_room(), 10 * kRate, 0, 0);
  const auto canceller = audio::make_echo_canceller();
  CHECK_FALSE(canceller->report().is_delay_known);
  const auto out = run(*canceller, scene);
  const audio::EchoReport report = canceller->report();
  CHECK(report.is_delay_known);
  CHECK(report.delay_confidence > 0.5);
  // 180 ms, 0.4 m of air, less 10 s of 100 ppm.
  CHECK(report.delay_ms == Approx(180.0 + 1.17 - 1.0).margin(0.5));
  CHECK(report.drift_ppm == Approx(100.0).margin(15.0));
  CHECK_FALSE(report.is_bypassed);
  const double erle_db = 10.0 * std::log10(energy(scene.echo, 5 * kRate, 10 * kRate) /
                                           energy(out, 5 * kRate, 10 * kRate));
  INFO("ERLE " << erle_db << " dB");
  CHECK(erle_db > 20.0);
  CHECK(report.erle_db > 20.0);
}

TEST_CASE("an interruption over the echo comes through at its level", "[dsp]") {
  const Scene scene = make_scene(drifting_room(), 9 * kRate, 6 * kRate, 8 * kRate);
  const auto canceller = audio::make_echo_canceller();
  const auto out = run(*canceller, scene);
  const std::size_t begin = 6 * kRate;
  const std::size_t end = 8 * kRate;
  const double common = std::inner_product(scene.near.begin() + std::ptrdiff_t(begin),
                                           scene.near.begin() + std::ptrdiff_t(end),
                                           out.begin() + std::ptrdiff_t(begin), 0.0);
  const double kept_db = 20.0 * std::log10(common / energy(scene.near, begin, end));
  INFO("near-end 6 dB below what is played: " << kept_db << " dB");
  CHECK(std::abs(kept_db) < 1.5);
}

TEST_CASE("while nothing plays the microphone passes untouched, late by the latency", "[unit]") {
  Scene scene;
  scene.mic = babble(3 * kRate / kBlock * kBlock, 3, 0.3F);
  scene.far.assign(scene.mic.size(), 0.0F);
  for (const auto backend : {EchoConfig::Backend::kKalman, EchoConfig::Backend::kSpeex}) {
    const auto canceller = audio::make_echo_canceller({.backend = backend});
    const auto out = run(*canceller, scene);
    CHECK(canceller->report().is_bypassed);
    const std::size_t whole = scene.mic.size() - canceller->latency_samples();
    CHECK(std::equal(out.begin(), out.begin() + std::ptrdiff_t(whole), scene.mic.begin()));
  }
}

TEST_CASE("after a jump of the delay the chain finds the echo again", "[dsp]") {
  audio::RoomConfig config = drifting_room();
  const std::size_t size = 10 * kRate;
  Scene scene;
  scene.far = babble(size, 1, 0.5F);
  scene.mic.resize(size);
  scene.echo.resize(size);
  const std::vector<float> silence(size, 0.0F);
  audio::Room room(config);
  const auto part = [&](std::size_t begin, std::size_t count) {
    room.process(std::span(scene.far).subspan(begin, count), std::span(silence).first(count),
                 std::span(scene.mic).subspan(begin, count),
                 {.echo = std::span(scene.echo).subspan(begin, count)});
  };
  part(0, 5 * kRate);
  room.change_path(77, 300.0);
  part(5 * kRate, 5 * kRate);
  const auto canceller = audio::make_echo_canceller();
  const auto out = run(*canceller, scene);
  CHECK(canceller->report().delay_ms == Approx(300.0 + 1.17 - 0.5).margin(1.0));
  CHECK(canceller->report().num_path_changes >= 1);
  CHECK(10.0 * std::log10(energy(scene.echo, 7 * kRate, 10 * kRate) /
                          energy(out, 7 * kRate, 10 * kRate)) >
        15.0);
}

TEST_CASE("an answer after the user's turn begins as if the turn had not been", "[dsp]") {
  // 12 s of far end, 5 s of silence in which the user speaks for 3 s, far end again.
  const std::size_t begin = 12 * kRate;
  const std::size_t end = 17 * kRate;
  Scene scene = make_scene(drifting_room(), 19 * kRate, begin + kRate, end - kRate);
  std::fill(scene.far.begin() + begin, scene.far.begin() + end, 0.0F);
  std::vector<float> talk = babble(scene.far.size(), 2, 0.25F);
  for (std::size_t i = 0; i < talk.size(); ++i)
    if (i < begin + kRate || i >= end - kRate) talk[i] = 0.0F;
  audio::Room(drifting_room()).process(scene.far, talk, scene.mic, {.echo = scene.echo});
  const auto canceller = audio::make_echo_canceller();
  const auto out = run(*canceller, scene);
  const std::size_t onset = end + kRate / 5;  // The device's delay.
  const double erle_db = 10.0 * std::log10(energy(scene.echo, onset, onset + kRate / 2) /
                                           energy(out, onset, onset + kRate / 2));
  INFO("ERLE of the first half second " << erle_db << " dB");
  CHECK(erle_db > 15.0);
  CHECK(canceller->report().num_path_changes <= 2);  // Of the first second.
}

TEST_CASE("an answer after a long turn begins clean though the drift is hardly known", "[dsp]") {
  // 3 s of far end tell the drift to 30 ppm; in 9 s of silence that is 4 samples.
  Scene scene = make_scene(drifting_room(), 15 * kRate, 0, 0);
  std::fill(scene.far.begin() + 3 * kRate, scene.far.begin() + 12 * kRate, 0.0F);
  const std::vector<float> silence(scene.far.size(), 0.0F);
  audio::Room(drifting_room()).process(scene.far, silence, scene.mic, {.echo = scene.echo});
  const auto canceller = audio::make_echo_canceller();
  const auto out = run(*canceller, scene);
  const std::size_t begin = 12 * kRate + kRate / 2;
  const double erle_db = 10.0 * std::log10(energy(scene.echo, begin, begin + kRate) /
                                           energy(out, begin, begin + kRate));
  INFO("ERLE from 0.5 to 1.5 s of the answer: " << erle_db << " dB");
  CHECK(erle_db > 30.0);
}

TEST_CASE("before the delay is known the echo is kept out, but not for long", "[dsp]") {
  const Scene scene = make_scene(drifting_room(), 5 * kRate, 0, 0);
  auto canceller = audio::make_echo_canceller();
  const auto out = run(*canceller, scene);
  CHECK(energy(out, 0, kRate) < 1e-2 * energy(scene.echo, 0, kRate));
  // With headphones there is no delay to be known: 2 s of playback, then the user is heard.
  const auto talk = babble(5 * kRate, 2, 0.25F);
  canceller = audio::make_echo_canceller();
  const auto heard = run(*canceller, {.far = scene.far, .mic = talk, .echo = {}, .near = {}});
  CHECK(energy(heard, 0, kRate) < 1e-2 * energy(talk, 0, kRate));
  CHECK(energy(heard, 4 * kRate, 5 * kRate) > 0.4 * energy(talk, 4 * kRate, 5 * kRate));
}

TEST_CASE("with headphones nothing of the far end is added to the microphone", "[dsp]") {
  audio::RoomConfig config = drifting_room();
  config.echo_gain_db = -80.0;
  config.noise_dbfs = -70.0;
  Scene scene = make_scene(config, 12 * kRate, 0, 0);
  // What a codec leaves in a pause, as loud as the room's noise.
  const auto floor = babble(scene.far.size(), 7, 1e-3F);
  for (std::size_t i = 0; i < floor.size(); ++i) scene.far[i] += floor[floor.size() - 1 - i];
  const auto canceller = audio::make_echo_canceller();
  const auto out = run(*canceller, scene);
  for (std::size_t at = 3 * kRate; at + kRate / 10 < out.size(); at += kRate / 10)
    CHECK(energy(out, at, at + kRate / 10) < 4.0 * energy(scene.mic, at, at + kRate / 10));
}

TEST_CASE("headphones plugged in later: after 3 s without an echo the user is heard", "[dsp]") {
  // The estimator forgets in 2 s; of the rest 60 % are sound.
  constexpr std::size_t kPlugged = 6 * kRate;
  Scene scene = make_scene(drifting_room(), 16 * kRate, 0, 0);
  const auto talk = babble(scene.mic.size(), 2, 0.25F);
  std::copy(talk.begin() + kPlugged, talk.end(), scene.mic.begin() + kPlugged);
  const auto canceller = audio::make_echo_canceller();
  const auto out = run(*canceller, scene);
  CHECK(canceller->report().is_delay_known);
  CHECK(canceller->report().is_bypassed);
  for (std::size_t i = 15 * kRate; i < 16 * kRate - canceller->latency_samples(); ++i)
    REQUIRE(out[i] == talk[i]);
}

TEST_CASE("reset is as new, and nothing is allocated while processing", "[property]") {
  const Scene scene = make_scene(drifting_room(), 2 * kRate, kRate, 2 * kRate);
  for (const auto backend : {EchoConfig::Backend::kKalman, EchoConfig::Backend::kSpeex}) {
    const auto canceller = audio::make_echo_canceller({.backend = backend});
    const auto first = run(*canceller, scene);
    canceller->reset();
    CHECK(run(*canceller, scene) == first);
    std::vector<float> out(kBlock);
    const support::AllocationTrap trap;
    for (std::size_t at = 0; at < scene.mic.size(); at += kBlock)
      canceller->process(std::span(scene.mic).subspan(at, kBlock),
                         std::span(scene.far).subspan(at, kBlock), out);
    CHECK(trap.count() == 0);
    // The trap can count.
    const auto memory = std::make_unique<std::vector<int>>(3);
    if (support::kHasAllocationTrap) CHECK(trap.count() > 0);
  }
}

TEST_CASE("no canceller is the microphone; impossible settings are refused", "[unit]") {
  const auto none = audio::make_echo_canceller({.backend = EchoConfig::Backend::kNone});
  const auto mic = babble(kBlock, 1, 0.5F);
  std::vector<float> out(kBlock);
  none->process(mic, mic, out);
  CHECK(out == mic);
  CHECK(none->latency_samples() == 0);
  CHECK_THROWS_WITH(audio::make_echo_canceller({.tail_ms = 10.0}),
                    Catch::Contains("echo.tail_ms: expected 32.0"));
}
