#include "audio/room.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <numeric>
#include <random>

#include "runtime/core/error.h"

using namespace duet;
using audio::Room;
using audio::RoomConfig;

namespace {

std::vector<float> noise(std::size_t size, unsigned seed, float gain = 0.1F) {
  std::mt19937 random(seed);
  std::vector<float> samples(size);
  for (float& x : samples) x = gain * (static_cast<float>(random() % 2001) / 1000.0F - 1.0F);
  return samples;
}

double energy(const std::vector<float>& samples) {
  return std::inner_product(samples.begin(), samples.end(), samples.begin(), 0.0);
}

/// Seconds from -5 to -25 dB of Schroeder's backward integral, times three.
double measured_rt60(const std::vector<float>& response, int rate_hz) {
  double left = energy(response);
  const double all = left;
  double first = 0.0;
  for (std::size_t i = 0; i < response.size(); ++i) {
    const double db = 10.0 * std::log10(left / all);
    if (db > -5.0) first = static_cast<double>(i);
    if (db < -25.0) return 3.0 * (static_cast<double>(i) - first) / rate_hz;
    left -= static_cast<double>(response[i]) * static_cast<double>(response[i]);
  }
  return 0.0;
}

/// Lag of the strongest correlation of mic with far.
std::size_t best_lag(const std::vector<float>& far, const std::vector<float>& mic, std::size_t from,
                     std::size_t size, std::size_t max_lag) {
  double best = 0.0;
  std::size_t lag = 0;
  for (std::size_t k = 0; k < max_lag; ++k) {
    const double sum = std::inner_product(mic.begin() + std::ptrdiff_t(from),
                                          mic.begin() + std::ptrdiff_t(from + size),
                                          far.begin() + std::ptrdiff_t(from - k), 0.0);
    if (std::abs(sum) > best) {
      best = std::abs(sum);
      lag = k;
    }
  }
  return lag;
}

}  // namespace

TEST_CASE("the impulse response has the asked-for decay, unit energy and direct sound", "[dsp]") {
  for (const double rt60_s : {0.2, 0.4, 0.6}) {
    for (std::uint64_t seed = 1; seed <= 4; ++seed) {
      RoomConfig config;
      config.seed = seed;
      config.rt60_s = rt60_s;
      INFO("rt60 " << rt60_s << " s, seed " << seed);
      const auto response = audio::make_echo_response(config);
      CHECK(energy(response) == Approx(1.0).epsilon(1e-4));
      CHECK(measured_rt60(response, config.rate_hz) == Approx(rt60_s).epsilon(0.3));
      // 0.4 m / 343 m/s * 16 kHz = 18.7 samples; nothing is louder before it or long after it.
      const auto peak = std::max_element(response.begin(), response.end()) - response.begin();
      CHECK(peak >= 18);
      CHECK(peak <= 60);
      CHECK(response != audio::make_near_response(config));
    }
  }
}

TEST_CASE("the loudspeaker has the distortion asked for", "[dsp]") {
  CHECK(audio::Loudspeaker(0.0).shape(0.37F) == 0.37F);
  for (const double thd : {0.01, 0.03, 0.1, 0.2}) {
    const audio::Loudspeaker loudspeaker(thd);
    CHECK(loudspeaker.thd() == Approx(thd).epsilon(1e-6));
    CHECK(loudspeaker.shape(0.0F) == 0.0F);
    CHECK(loudspeaker.shape(1e-3F) == Approx(1e-3F).epsilon(0.01));  // Unit slope.
  }
}

TEST_CASE("a room gives the same samples to the bit, whatever the pieces", "[property]") {
  RoomConfig config;
  config.thd = 0.1;
  config.drift_ppm = 80.0;
  config.rt60_s = 0.2;
  const auto far = noise(9001, 1);
  const auto near = noise(9001, 2);
  std::vector<float> offline(far.size());
  Room(config).process(far, near, offline);
  std::vector<float> other(far.size());
  config.seed = 2;
  Room(config).process(far, near, other);
  CHECK(offline != other);
  config.seed = 1;
  std::mt19937 random(5);
  for (const std::size_t largest : {1U, 160U, 3000U}) {
    INFO("pieces up to " << largest);
    Room room(config);
    std::vector<float> streamed(far.size());
    for (std::size_t at = 0; at < far.size();) {
      const std::size_t size = std::min<std::size_t>(1 + random() % largest, far.size() - at);
      room.process(std::span(far).subspan(at, size), std::span(near).subspan(at, size),
                   std::span(streamed).subspan(at, size));
      at += size;
    }
    CHECK(streamed == offline);
  }
}

TEST_CASE("the microphone is echo, near-end and noise at their levels", "[dsp]") {
  RoomConfig config;
  config.rt60_s = 0.3;
  config.echo_gain_db = -6.0;
  config.noise_dbfs = -60.0;
  const auto far = noise(32000, 1);
  const auto near = noise(32000, 2);
  std::vector<float> mic(far.size());
  std::vector<float> echo(far.size());
  std::vector<float> talk(far.size());
  Room(config).process(far, near, mic, {.echo = echo, .near = talk});
  // White noise, less what the 100 Hz high-pass takes and what has not arrived yet.
  CHECK(10.0 * std::log10(energy(echo) / energy(far)) == Approx(-6.0).margin(0.7));
  CHECK(10.0 * std::log10(energy(talk) / energy(near)) == Approx(0.0).margin(0.7));
  std::vector<float> rest(mic.size());
  for (std::size_t i = 0; i < rest.size(); ++i) rest[i] = mic[i] - echo[i] - talk[i];
  CHECK(10.0 * std::log10(energy(rest) / double(rest.size())) == Approx(-60.0).margin(0.2));
}

TEST_CASE("device delay, drift, slip and a new path are where they say they are", "[dsp]") {
  RoomConfig config;
  config.rt60_s = 0.2;
  config.delay_ms = 40.0;
  config.drift_ppm = -400.0;  // A slower loudspeaker: the delay grows by 6.4 samples a second.
  config.slip_ms = 1.0;       // 16 samples: a slip every 2.5 s.
  config.noise_dbfs = -200.0;
  Room room(config);
  const auto far = noise(16000 * 4, 1);
  const std::vector<float> near(far.size(), 0.0F);
  std::vector<float> mic(far.size());
  const std::span<const float> played(far);
  CHECK(room.delay_samples() == Approx(640.0 + 18.66).margin(0.1));
  room.process(played.first(32000), std::span(near).first(32000), std::span(mic).first(32000));
  CHECK(room.delay_samples() == Approx(640.0 + 12.8 + 18.66).margin(0.1));
  CHECK(double(best_lag(far, mic, 30000, 2000, 1000)) == Approx(room.delay_samples()).margin(1.5));
  CHECK(room.num_slips() == 0);
  room.process(played.subspan(32000, 16000), std::span(near).first(16000),
               std::span(mic).subspan(32000, 16000));
  CHECK(room.num_slips() == 1);
  room.change_path(9, 20.0);
  CHECK(room.delay_samples() == Approx(320.0 + 18.66).margin(0.1));
  room.process(played.subspan(48000, 4000), std::span(near).first(4000),
               std::span(mic).subspan(48000, 4000));
  const double after_change = room.delay_samples();
  CHECK(after_change == Approx(320.0 + 1.6 + 18.66).margin(0.1));
  room.process(played.subspan(52000, 2000), std::span(near).first(2000),
               std::span(mic).subspan(52000, 2000));
  CHECK(double(best_lag(far, mic, 52000, 2000, 1000)) == Approx(after_change).margin(1.5));
}

TEST_CASE("impossible rooms are refused with the range", "[unit]") {
  RoomConfig config;
  config.delay_ms = 501.0;
  CHECK_THROWS_AS(Room(config), core::ConfigError);
  CHECK_THROWS_WITH(Room(config),
                    Catch::Contains("room.delay_ms: expected 1.0") && Catch::Contains("to 500.0"));
}
