#include <algorithm>
#include <cmath>
#include <random>

#include "runtime/activity.h"
#include "runtime/bench/make_suite.h"

namespace duet::runtime::bench {

namespace {

constexpr double kPi = 3.14159265358979323846;

/// Uniform in [-1, 1), the same everywhere.
double uniform(std::mt19937& random) { return static_cast<double>(random()) / 2147483648.0 - 1.0; }

/// One-pole low-pass.
class LowPass {
 public:
  LowPass(double hz, int rate_hz) : keep_(std::exp(-2.0 * kPi * hz / rate_hz)) {}
  double operator()(double x) { return state_ = keep_ * state_ + (1.0 - keep_) * x; }

 private:
  double keep_;
  double state_ = 0.0;
};

/// Two bursts of breath, the first hard.
double cough(double t, double noise, LowPass& low) {
  const auto burst = [&](double at, double decay) {
    return t < at ? 0.0 : std::min(1.0, (t - at) / 0.01) * std::exp(-(t - at) / decay);
  };
  return low(noise) * (burst(0.0, 0.07) + 0.7 * burst(0.28, 0.09));
}

/// A thump and its rattle.
double door(double t, double noise, LowPass& low) {
  return low(noise) * std::exp(-t / 0.12) +
         0.5 * std::sin(2.0 * kPi * 70.0 * t) * std::exp(-t / 0.08);
}

/// Four notes with overtones.
double music(double t) {
  constexpr double kNotes[] = {261.6, 329.6, 392.0, 523.3};
  const double hz = kNotes[static_cast<int>(t / 0.4) % 4];
  const double into = std::fmod(t, 0.4);
  return (std::sin(2.0 * kPi * hz * t) + 0.4 * std::sin(4.0 * kPi * hz * t)) *
         std::exp(-into / 0.3) * std::min(1.0, into / 0.01);
}

}  // namespace

std::vector<float> make_noise(const std::string& name, int rate_hz, std::uint64_t seed) {
  const double seconds = name == "music" ? 1.6 : (name == "door" ? 0.5 : 0.6);
  std::mt19937 random(static_cast<std::uint32_t>(seed));
  LowPass low(name == "door" ? 500.0 : 3000.0, rate_hz);
  std::vector<double> samples(static_cast<std::size_t>(seconds * rate_hz));
  double peak = 0.0;
  for (std::size_t i = 0; i < samples.size(); ++i) {
    const double t = static_cast<double>(i) / rate_hz;
    const double noise = uniform(random);
    samples[i] =
        name == "music" ? music(t) : (name == "door" ? door(t, noise, low) : cough(t, noise, low));
    peak = std::max(peak, std::abs(samples[i]));
  }
  std::vector<float> scaled(samples.size());
  for (std::size_t i = 0; i < samples.size(); ++i)
    scaled[i] = static_cast<float>(0.5 * samples[i] / peak);
  return scaled;
}

std::size_t find_cut(const std::vector<float>& samples, int rate_hz) {
  constexpr std::size_t kWindow = 6;
  constexpr double kBelowLoudDb = 25.0;
  const std::vector<float> levels = measure_levels_db(samples, rate_hz);
  std::size_t best = 0;
  float best_db = 0.0F;
  for (std::size_t i = levels.size() / 3; i + kWindow <= 2 * levels.size() / 3; ++i) {
    const float loudest =
        *std::max_element(levels.begin() + static_cast<std::ptrdiff_t>(i),
                          levels.begin() + static_cast<std::ptrdiff_t>(i + kWindow));
    if (best == 0 || loudest < best_db) {
      best = i;
      best_db = loudest;
    }
  }
  const std::vector<double> sorted(levels.begin(), levels.end());
  if (best == 0 || static_cast<double>(best_db) > percentile(sorted, 0.95) - kBelowLoudDb) return 0;
  return (best + kWindow / 2) * static_cast<std::size_t>(rate_hz) / 100;
}

}  // namespace duet::runtime::bench
