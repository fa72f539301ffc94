#include "runtime/disturbance.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <numbers>

#include "runtime/core/error.h"

using namespace duet;
using namespace duet::runtime;
using Catch::Contains;

namespace {

constexpr int kRate = 16000;

std::vector<float> tone(double seconds, double hz, double rms) {
  std::vector<float> samples(static_cast<std::size_t>(seconds * kRate));
  for (std::size_t i = 0; i < samples.size(); ++i)
    samples[i] =
        static_cast<float>(std::sqrt(2.0) * rms *
                           std::sin(2.0 * std::numbers::pi * hz * static_cast<double>(i) / kRate));
  return samples;
}

double rms_of(std::span<const float> samples) {
  double sum = 0.0;
  for (const float x : samples) sum += static_cast<double>(x) * static_cast<double>(x);
  return std::sqrt(sum / static_cast<double>(samples.size()));
}

/// What is added to silence of `seconds`, for a user of RMS 0.1.
std::vector<float> added(const Disturbance& disturbance, double seconds,
                         const std::vector<std::vector<float>>& voices = {}) {
  Disturber disturber(disturbance, voices, kRate, 24000, 1);
  disturber.set_user_level(0.1);
  std::vector<float> samples(static_cast<std::size_t>(seconds * kRate));
  disturber.process(samples);
  return samples;
}

double db(double ratio) { return 20.0 * std::log10(ratio); }

}  // namespace

TEST_CASE("the audible part of a recording has a level of its own", "[unit]") {
  std::vector<float> samples = tone(1.0, 300.0, 0.2);
  samples.resize(3 * samples.size());
  CHECK(audible_rms(samples, kRate) == Approx(0.2).epsilon(0.01));
  CHECK(audible_rms(std::vector<float>(1600), kRate) == 0.0);
}

TEST_CASE("noise is so far below the user, and falls by 3 dB an octave", "[unit]") {
  const auto noise = added({.noise_snr_db = 10.0}, 20.0);
  CHECK(db(rms_of(noise) / 0.1) == Approx(-10.0).margin(0.7));
  // First differences of white noise are sqrt(2) of it; of pink noise far less.
  std::vector<float> differences;
  for (std::size_t i = 1; i < noise.size(); ++i) differences.push_back(noise[i] - noise[i - 1]);
  CHECK(rms_of(differences) < rms_of(noise));
  CHECK(noise == added({.noise_snr_db = 10.0}, 20.0));
}

TEST_CASE("one more speaker and a cafe's voices have their level, and pauses", "[unit]") {
  std::vector<std::vector<float>> voices;
  for (int i = 0; i <= kBabbleVoices; ++i)
    voices.push_back(tone(2.0, 200.0 + 50.0 * i, i % 2 == 0 ? 0.3 : 0.01));
  const auto speaker = added({.speaker_db = -15.0}, 12.0, voices);
  CHECK(db(audible_rms(speaker, kRate) / 0.1) == Approx(-15.0).margin(0.3));
  CHECK(rms_of(speaker) < 0.9 * audible_rms(speaker, kRate));
  const auto babble = added({.babble_snr_db = 6.0}, 60.0, voices);
  // Each pauses a third of the time: 1.8 dB under their level.
  CHECK(db(rms_of(babble) / 0.1) == Approx(-7.8).margin(0.5));
}

TEST_CASE("the agent's own sound comes back quieter and later", "[unit]") {
  Disturber disturber({.echo_db = -20.0, .echo_delay_ms = 50.0}, {}, kRate, 24000, 1);
  std::vector<float> agent(24000);
  for (std::size_t i = 0; i < agent.size(); ++i)
    agent[i] = static_cast<float>(0.5 * std::sin(0.05 * static_cast<double>(i)));
  std::vector<float> user(kRate), heard;
  const std::size_t step = 1280, agent_step = 1920;
  for (std::size_t k = 0; k < 12; ++k) {
    disturber.hear_agent(std::span(agent).subspan(k * agent_step, agent_step));
    disturber.process(std::span(user).subspan(k * step, step));
  }
  CHECK(rms_of(std::span(user).subspan(0, 790)) < 1e-4);  // 50 ms are 800 samples.
  const std::size_t at = 8000, agent_at = (at - 800) * 3 / 2;
  CHECK(user[at] == Approx(0.1F * agent[agent_at]).margin(1e-3));
}

TEST_CASE("what cannot be is refused by name; nothing asked for changes nothing", "[unit]") {
  CHECK_THROWS_WITH(Disturbance{.noise_snr_db = NAN}.validate(), Contains("noise_snr_db"));
  CHECK_THROWS_WITH(Disturbance{.speaker_db = 200.0}.validate(), Contains("speaker_db"));
  CHECK_THROWS_WITH(Disturbance{.echo_delay_ms = 1.0}.validate(), Contains("echo_delay_ms"));
  CHECK(rms_of(added({}, 0.1)) == 0.0);
}
