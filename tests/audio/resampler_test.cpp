#include "audio/resampler.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <random>

#include "runtime/core/error.h"

using namespace duet;
using audio::Resampler;

namespace {

std::vector<float> sine(double hz, int rate_hz, std::size_t size) {
  std::vector<float> samples(size);
  for (std::size_t i = 0; i < size; ++i) {
    samples[i] = static_cast<float>(
        0.5 * std::sin(2.0 * M_PI * hz * static_cast<double>(i) / rate_hz + 0.3));
  }
  return samples;
}

/// dB of the sine that should have come out over what differs from it; the ends, where the filter
/// sees zeros, left out.
double snr_db(const std::vector<float>& got, const std::vector<float>& want, std::size_t margin) {
  double signal = 0.0;
  double error = 0.0;
  for (std::size_t i = margin; i + margin < want.size(); ++i) {
    const double difference = static_cast<double>(got.at(i)) - static_cast<double>(want[i]);
    signal += static_cast<double>(want[i]) * static_cast<double>(want[i]);
    error += difference * difference;
  }
  return 10.0 * std::log10(signal / (error + 1e-30));
}

double rms_db(const std::vector<float>& samples, std::size_t margin) {
  double sum = 0.0;
  for (std::size_t i = margin; i + margin < samples.size(); ++i) {
    sum += static_cast<double>(samples[i]) * static_cast<double>(samples[i]);
  }
  return 10.0 * std::log10(sum / static_cast<double>(samples.size() - 2 * margin) + 1e-30);
}

struct Rates {
  int in;
  int out;
};
// 44099 -> 16000 has 16000 phases and takes the interpolated path.
constexpr Rates kRates[] = {{8000, 16000},  {11025, 16000}, {16000, 24000}, {22050, 16000},
                            {24000, 16000}, {24000, 48000}, {44100, 16000}, {44099, 16000},
                            {48000, 16000}, {44100, 48000}, {96000, 16000}, {16000, 8000},
                            {384000, 16000}};

}  // namespace

TEST_CASE("a sine comes out as that sine, in time, at 80 dB", "[dsp]") {
  for (const Rates& rates : kRates) {
    const double nyquist_hz = std::min(rates.in, rates.out) / 2.0;
    for (const double part : {0.02, 0.3, 0.6, 0.82}) {
      const double hz = part * nyquist_hz;
      INFO(rates.in << " -> " << rates.out << " Hz, sine " << hz << " Hz");
      const auto got = audio::resample(sine(hz, rates.in, static_cast<std::size_t>(rates.in) / 2),
                                       rates.in, rates.out);
      const auto want = sine(hz, rates.out, static_cast<std::size_t>(rates.out) / 2);
      REQUIRE(got.size() ==
              (static_cast<std::size_t>(rates.in / 2) * rates.out + rates.in - 1) / rates.in);
      // 80 dB in the flat part; the skirt begins at 0.83 of Nyquist.
      CHECK(snr_db(got, want, 500) > (part < 0.8 ? 80.0 : 60.0));
    }
  }
}

TEST_CASE("what lies above the new Nyquist frequency does not fold back", "[dsp]") {
  for (const Rates& rates : kRates) {
    if (rates.in <= rates.out) continue;
    const double hz = std::min(1.05 * rates.out / 2.0, 0.49 * rates.in);
    INFO(rates.in << " -> " << rates.out << " Hz, sine " << hz << " Hz");
    const auto got = audio::resample(sine(hz, rates.in, static_cast<std::size_t>(rates.in) / 2),
                                     rates.in, rates.out);
    CHECK(rms_db(got, 500) < -70.0);
  }
}

TEST_CASE("streaming equals offline to the bit, whatever the pieces", "[property]") {
  for (const Rates& rates : kRates) {
    std::mt19937 random(7);
    std::vector<float> input(20011);
    for (float& x : input) x = static_cast<float>(random() % 2000) / 1000.0F - 1.0F;
    const auto offline = audio::resample(input, rates.in, rates.out);
    for (const std::size_t largest : {1U, 37U, 1280U, 30000U}) {
      INFO(rates.in << " -> " << rates.out << " Hz, pieces up to " << largest);
      Resampler resampler(rates.in, rates.out);
      std::vector<float> streamed;
      for (std::size_t at = 0; at < input.size();) {
        const std::size_t size = std::min<std::size_t>(1 + random() % largest, input.size() - at);
        resampler.process(std::span(input).subspan(at, size), streamed);
        at += size;
      }
      resampler.flush(streamed);
      CHECK(streamed == offline);
      // Flushed is as new.
      std::vector<float> again;
      resampler.process(input, again);
      resampler.flush(again);
      CHECK(again == offline);
    }
  }
}

TEST_CASE("the declared look-ahead is what it waits for, and what it depends on", "[property]") {
  for (const Rates& rates : kRates) {
    INFO(rates.in << " -> " << rates.out << " Hz");
    Resampler resampler(rates.in, rates.out);
    const auto lookahead = static_cast<double>(resampler.lookahead_samples());
    CHECK(lookahead / rates.in <= 0.0041);  // 32 periods of the lower rate, 8 kHz here.
    std::vector<float> output;
    for (int n = 1; n <= 3000; ++n) {
      resampler.process(std::vector<float>{0.1F}, output);
      // Output m is at input position m * in / out and is there once sample floor(position) +
      // look-ahead is.
      const double last =
          std::floor((static_cast<double>(output.size()) - 1) * rates.in / rates.out) + lookahead;
      const double next =
          std::floor(static_cast<double>(output.size()) * rates.in / rates.out) + lookahead;
      if (!output.empty()) REQUIRE(last <= n - 1);
      REQUIRE(next > n - 1);
    }
  }
  // Causality: changing sample 500 leaves the outputs before position 500 - look-ahead as they
  // were.
  const auto base = sine(440.0, 48000, 2000);
  auto changed = base;
  changed[500] += 0.5F;
  const auto before = audio::resample(base, 48000, 16000);
  const auto after = audio::resample(changed, 48000, 16000);
  const std::size_t first = (500 - Resampler(48000, 16000).lookahead_samples()) / 3;
  for (std::size_t i = 0; i < first; ++i) REQUIRE(before[i] == after[i]);
  CHECK(before != after);
}

TEST_CASE("equal rates pass through, silence stays silence, DC keeps its level", "[unit]") {
  const auto samples = sine(440.0, 16000, 1000);
  CHECK(audio::resample(samples, 16000, 16000) == samples);
  CHECK(Resampler(16000, 16000).lookahead_samples() == 0);
  for (const float x : audio::resample(std::vector<float>(1000, 0.0F), 44100, 16000))
    REQUIRE(x == 0.0F);
  const auto constant = audio::resample(std::vector<float>(4000, 0.5F), 44100, 16000);
  for (std::size_t i = 100; i + 100 < constant.size(); ++i)
    REQUIRE(constant[i] == Approx(0.5F).epsilon(1e-5));
}

TEST_CASE("short inputs have the length the ratio says", "[unit]") {
  for (std::size_t size : {0U, 1U, 2U, 3U, 100U}) {
    CHECK(audio::resample(std::vector<float>(size, 0.1F), 48000, 16000).size() == (size + 2) / 3);
    CHECK(audio::resample(std::vector<float>(size, 0.1F), 16000, 24000).size() ==
          (size * 3 + 1) / 2);
  }
}

TEST_CASE("impossible rates are refused", "[unit]") {
  CHECK_THROWS_AS(Resampler(0, 16000), core::ConfigError);
  CHECK_THROWS_WITH(Resampler(16000, -1), "sample rate: expected 1 to 768000 Hz, found -1");
}
