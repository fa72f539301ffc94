#pragma once
// A made-up voice: syllables of a gliding pulse train through three formants, with pauses. Not
// speech, but it has speech's bands, onsets and silences, which is what codecs react to.

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace duet::test {

inline std::vector<float> speech_like(size_t num_samples, int rate_hz, uint32_t seed = 1) {
  constexpr double kPi = 3.14159265358979323846;
  std::vector<float> samples(num_samples);
  double phase = 0.0;
  uint32_t noise = seed * 2654435761u + 1u;
  for (size_t i = 0; i < num_samples; ++i) {
    const double t = static_cast<double>(i) / rate_hz;
    const double syllable = std::fmod(t, 0.25) / 0.25;
    const auto word = static_cast<uint32_t>(t / 0.25) + seed;
    const bool pause = word % 7 == 3;
    const double envelope = pause ? 0.0 : std::pow(std::sin(kPi * syllable), 2.0);
    const double pitch_hz = 110.0 + 30.0 * std::sin(2.0 * kPi * 0.7 * t) + 5.0 * (word % 5);
    phase += pitch_hz / rate_hz;
    double value = 0.0;
    for (int harmonic = 1; harmonic <= 20; ++harmonic) {
      const double hz = pitch_hz * harmonic;
      double gain = 0.0;
      for (const double formant : {400.0 + 60.0 * (word % 4), 1200.0 + 150.0 * (word % 3), 2500.0})
        gain += 1.0 / (1.0 + std::pow((hz - formant) / 120.0, 2.0));
      value += gain * std::sin(2.0 * kPi * phase * harmonic);
    }
    noise = noise * 1664525u + 1013904223u;
    const double hiss = (static_cast<double>(noise >> 8) / 8388608.0 - 1.0) * 0.001;
    samples[i] = static_cast<float>(0.12 * envelope * value + hiss);
  }
  return samples;
}

/// Correlation coefficient of a[lag..] and b, over what both have.
inline double correlation(const std::vector<float>& a, const std::vector<float>& b, int lag = 0) {
  double ab = 0.0, aa = 0.0, bb = 0.0;
  for (size_t i = 0; i < b.size(); ++i) {
    const auto j = static_cast<std::ptrdiff_t>(i) + lag;
    if (j < 0 || j >= static_cast<std::ptrdiff_t>(a.size())) continue;
    const double x = static_cast<double>(a[static_cast<size_t>(j)]);
    const double y = static_cast<double>(b[i]);
    ab += x * y, aa += x * x, bb += y * y;
  }
  return aa > 0.0 && bb > 0.0 ? ab / std::sqrt(aa * bb) : 0.0;
}

inline double energy(const std::vector<float>& samples) {
  double sum = 0.0;
  for (const float sample : samples)
    sum += static_cast<double>(sample) * static_cast<double>(sample);
  return sum;
}

}  // namespace duet::test
