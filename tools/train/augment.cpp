#include "tools/train/augment.h"

#include <algorithm>
#include <cmath>
#include <complex>
#include <numbers>

#include "runtime/core/error.h"

namespace duet::train {
namespace {

using Complex = std::complex<float>;

// In-place radix-2 transform; size a power of two. Inverse without the 1/n.
void transform(std::vector<Complex>& x, bool inverse) {
  const size_t n = x.size();
  for (size_t i = 1, j = 0; i < n; ++i) {
    size_t bit = n >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) std::swap(x[i], x[j]);
  }
  for (size_t length = 2; length <= n; length <<= 1) {
    const double angle = (inverse ? 2.0 : -2.0) * std::numbers::pi / static_cast<double>(length);
    const size_t half = length / 2;
    std::vector<Complex> twiddle(half);
    for (size_t k = 0; k < half; ++k) {
      twiddle[k] = Complex(static_cast<float>(std::cos(angle * static_cast<double>(k))),
                           static_cast<float>(std::sin(angle * static_cast<double>(k))));
    }
    for (size_t start = 0; start < n; start += length) {
      for (size_t k = 0; k < half; ++k) {
        const Complex a = x[start + k], t = x[start + k + half], w = twiddle[k];
        const Complex b(t.real() * w.real() - t.imag() * w.imag(),
                        t.real() * w.imag() + t.imag() * w.real());
        x[start + k] = a + b;
        x[start + k + half] = a - b;
      }
    }
  }
}

struct Biquad {
  double b0, b1, b2, a1, a2;
  void run(std::vector<float>& x) const {
    double s1 = 0.0, s2 = 0.0;  // transposed direct form II
    for (float& sample : x) {
      const double in = static_cast<double>(sample), out = b0 * in + s1;
      s1 = b1 * in - a1 * out + s2;
      s2 = b2 * in - a2 * out;
      sample = static_cast<float>(out);
    }
  }
};

// Audio EQ Cookbook (R. Bristow-Johnson), low- and high-pass.
Biquad make_biquad(bool high_pass, double hz, double q, int sample_rate_hz) {
  const double w = 2.0 * std::numbers::pi * hz / sample_rate_hz, c = std::cos(w),
               alpha = std::sin(w) / (2.0 * q);
  const double a0 = 1.0 + alpha, side = (high_pass ? 1.0 + c : 1.0 - c) / 2.0;
  return {side / a0, (high_pass ? -2.0 : 2.0) * side / a0, side / a0, -2.0 * c / a0,
          (1.0 - alpha) / a0};
}

void normalise_rms(std::vector<float>& x) {
  double energy = 0.0;
  for (float v : x) energy += static_cast<double>(v) * static_cast<double>(v);
  if (energy > 0.0) scale(x, 1.0 / std::sqrt(energy / static_cast<double>(x.size())));
}

void check_range(const char* name, double low, double high) {
  if (!(low <= high))
    throw core::ConfigError({.subject = name,
                             .expected = "low <= high",
                             .found = std::to_string(low) + " and " + std::to_string(high)});
}

}  // namespace

double uniform(Random& random, double low, double high) {
  return low + (high - low) * static_cast<double>(random() >> 11) * 0x1.0p-53;
}

int64_t uniform_index(Random& random, int64_t count) {
  DUET_CHECK(count > 0);
  return std::min(count - 1,
                  static_cast<int64_t>(uniform(random, 0.0, static_cast<double>(count))));
}

bool chance(Random& random, double p) { return uniform(random, 0.0, 1.0) < p; }

float normal(Random& random) {
  // Three draws of 64 bits hold twelve 16-bit uniforms; their sum has mean 6 and variance 1.
  uint32_t sum = 0;
  for (int i = 0; i < 3; ++i) {
    const uint64_t bits = random();
    sum += static_cast<uint32_t>(bits & 0xffff) + static_cast<uint32_t>((bits >> 16) & 0xffff) +
           static_cast<uint32_t>((bits >> 32) & 0xffff) + static_cast<uint32_t>(bits >> 48);
  }
  return static_cast<float>(sum) / 65536.0f - 6.0f;
}

double speech_level(const std::vector<float>& samples, int sample_rate_hz) {
  const size_t frame = static_cast<size_t>(std::max(1, sample_rate_hz / 100));
  std::vector<double> energies;
  double loudest = 0.0;
  for (size_t start = 0; start < samples.size(); start += frame) {
    const size_t end = std::min(samples.size(), start + frame);
    double energy = 0.0;
    for (size_t i = start; i < end; ++i)
      energy += static_cast<double>(samples[i]) * static_cast<double>(samples[i]);
    energies.push_back(energy / static_cast<double>(end - start));
    loudest = std::max(loudest, energies.back());
  }
  double sum = 0.0;
  int64_t count = 0;
  for (double energy : energies) {
    if (energy > loudest * 1e-3) sum += energy, ++count;
  }
  return count > 0 ? std::sqrt(sum / static_cast<double>(count)) : 0.0;
}

std::vector<float> change_speed(const std::vector<float>& samples, double rate) {
  DUET_CHECK(rate > 0.1 && rate < 10.0);
  if (samples.empty()) return {};
  const auto count = static_cast<size_t>(static_cast<double>(samples.size()) / rate);
  std::vector<float> result(count);
  const auto at = [&](int64_t i) {
    return i >= 0 && i < static_cast<int64_t>(samples.size()) ? samples[static_cast<size_t>(i)]
                                                              : 0.0f;
  };
  for (size_t i = 0; i < count; ++i) {  // Catmull-Rom: flat to well above the speech band
    const double position = static_cast<double>(i) * rate;
    const auto whole = static_cast<int64_t>(position);
    const auto t = static_cast<float>(position - static_cast<double>(whole));
    const float a = at(whole - 1), b = at(whole), c = at(whole + 1), d = at(whole + 2);
    result[i] =
        b + 0.5f * t *
                (c - a + t * (2.0f * a - 5.0f * b + 4.0f * c - d + t * (3.0f * (b - c) + d - a)));
  }
  return result;
}

double from_db(double db) { return std::pow(10.0, db / 20.0); }

void scale(std::vector<float>& samples, double gain) {
  for (float& sample : samples) sample *= static_cast<float>(gain);
}

std::vector<float> make_room_response(Random& random, double rt60_s, double wet,
                                      int sample_rate_hz) {
  const auto length = static_cast<size_t>(std::max(1.0, rt60_s * sample_rate_hz));
  std::vector<float> response(length, 0.0f);
  const double decay =
      std::log(1000.0) / static_cast<double>(length);  // amplitude 1e-3 = -60 dB at the end
  const auto start = static_cast<size_t>(0.008 * sample_rate_hz);
  for (size_t i = start; i < length; ++i)
    response[i] =
        normal(random) * static_cast<float>(std::exp(-decay * static_cast<double>(i)) * 0.08);
  for (int tap = 0; tap < 8; ++tap) {  // walls, table, floor: distance falls off like 1/r
    const double seconds = uniform(random, 0.002, 0.040);
    const auto i = static_cast<size_t>(seconds * sample_rate_hz);
    if (i < length)
      response[i] +=
          static_cast<float>((chance(random, 0.5) ? 1 : -1) * 0.6 / (1.0 + 150.0 * seconds));
  }
  response[0] = 0.0f;
  double energy = 0.0;
  for (float v : response) energy += static_cast<double>(v) * static_cast<double>(v);
  if (energy > 0.0) scale(response, wet / std::sqrt(energy));
  response[0] = 1.0f;
  return response;
}

std::vector<float> convolve(const std::vector<float>& samples, const std::vector<float>& response) {
  if (samples.empty() || response.empty()) return std::vector<float>(samples.size(), 0.0f);
  size_t size = 1024;
  while (size < 2 * response.size()) size <<= 1;
  const size_t block = size - response.size() + 1;
  std::vector<Complex> spectrum(size), x(size);
  for (size_t i = 0; i < response.size(); ++i) spectrum[i] = response[i];
  transform(spectrum, false);
  std::vector<float> result(samples.size(), 0.0f);
  // Two real blocks ride in one complex transform: the response is real, so they stay apart.
  for (size_t start = 0; start < samples.size(); start += 2 * block) {
    std::fill(x.begin(), x.end(), Complex{});
    for (size_t i = 0; i < block; ++i) {
      const size_t first = start + i, second = first + block;
      x[i] = Complex(first < samples.size() ? samples[first] : 0.0f,
                     second < samples.size() ? samples[second] : 0.0f);
    }
    transform(x, false);
    for (size_t i = 0; i < size; ++i) {
      const Complex a = x[i], h = spectrum[i];
      x[i] = Complex(a.real() * h.real() - a.imag() * h.imag(),
                     a.real() * h.imag() + a.imag() * h.real());
    }
    transform(x, true);
    for (size_t i = 0; i < size; ++i) {
      const size_t first = start + i, second = first + block;
      if (first < result.size()) result[first] += x[i].real() / static_cast<float>(size);
      if (second < result.size()) result[second] += x[i].imag() / static_cast<float>(size);
    }
  }
  return result;
}

std::vector<float> make_noise(Random& random, NoiseColour colour, int64_t count,
                              int sample_rate_hz) {
  std::vector<float> noise(static_cast<size_t>(count));
  float b0 = 0, b1 = 0, b2 = 0, brown = 0;
  for (float& sample : noise) {
    const float white = normal(random);
    if (colour == NoiseColour::kWhite) {
      sample = white;
    } else if (colour == NoiseColour::kBrown) {
      brown = 0.995f * brown + white;
      sample = brown;
    } else {  // pink: P. Kellet's economy filter, within 0.5 dB
      b0 = 0.99765f * b0 + white * 0.0990460f;
      b1 = 0.96300f * b1 + white * 0.2965164f;
      b2 = 0.57000f * b2 + white * 1.0526913f;
      sample = b0 + b1 + b2 + white * 0.1848f;
    }
  }
  if (colour == NoiseColour::kHum) {
    normalise_rms(noise);
    const double base = chance(random, 0.5) ? 50.0 : 60.0;
    std::vector<float> amplitude(6), phase(6);
    for (auto& a : amplitude) a = static_cast<float>(uniform(random, 0.1, 1.0));
    for (auto& p : phase) p = static_cast<float>(uniform(random, 0.0, 6.28));
    for (size_t i = 0; i < noise.size(); ++i) {
      double sum = 0.3 * static_cast<double>(noise[i]);
      for (size_t h = 0; h < amplitude.size(); ++h)
        sum += static_cast<double>(amplitude[h]) *
               std::sin(2.0 * std::numbers::pi * base * static_cast<double>(h + 1) *
                            static_cast<double>(i) / sample_rate_hz +
                        static_cast<double>(phase[h]));
      noise[i] = static_cast<float>(sum);
    }
  }
  if (colour == NoiseColour::kBabbleLike) {
    band_limit(noise, 200.0, 2500.0, sample_rate_hz);
    float envelope = 1.0f, target = 1.0f;
    const auto smooth = static_cast<float>(1.0 / (0.05 * sample_rate_hz));
    const auto change = 4.0 / sample_rate_hz;  // four "syllables" a second
    for (float& sample : noise) {
      if (chance(random, change)) target = static_cast<float>(uniform(random, 0.2, 1.6));
      envelope += smooth * (target - envelope);
      sample *= envelope;
    }
  }
  normalise_rms(noise);
  return noise;
}

void add_noise(std::vector<float>& samples, const std::vector<float>& noise, double snr_db,
               double reference_level, int sample_rate_hz) {
  if (noise.empty()) return;
  const double reference =
      reference_level > 0.0 ? reference_level : speech_level(samples, sample_rate_hz);
  double energy = 0.0;
  for (float v : noise) energy += static_cast<double>(v) * static_cast<double>(v);
  const double rms = std::sqrt(energy / static_cast<double>(noise.size()));
  if (rms <= 0.0) return;
  const auto gain = static_cast<float>(reference * from_db(-snr_db) / rms);
  for (size_t i = 0, j = 0; i < samples.size(); ++i) {
    samples[i] += gain * noise[j];
    if (++j == noise.size()) j = 0;
  }
}

void band_limit(std::vector<float>& samples, double low_hz, double high_hz, int sample_rate_hz) {
  make_biquad(true, low_hz, 0.7071, sample_rate_hz).run(samples);
  make_biquad(false, high_hz, 0.5412, sample_rate_hz)
      .run(samples);  // the two Butterworth sections of order four
  make_biquad(false, high_hz, 1.3066, sample_rate_hz).run(samples);
}

void clip(std::vector<float>& samples, double limit) {
  float peak = 0.0f;
  for (float v : samples) peak = std::max(peak, std::abs(v));
  const float bound = peak * static_cast<float>(limit);
  for (float& v : samples) v = std::clamp(v, -bound, bound);
}

void AugmentConfig::validate() const {
  check_range("speed_low, speed_high", speed_low, speed_high);
  check_range("level_low_db, level_high_db", level_low_db, level_high_db);
  check_range("rt60_low_s, rt60_high_s", rt60_low_s, rt60_high_s);
  check_range("snr_low_db, snr_high_db", snr_low_db, snr_high_db);
  check_range("speaker_low_db, speaker_high_db", speaker_low_db, speaker_high_db);
  for (double p : {speed_probability, reverb_probability, noise_probability, speaker_probability,
                   band_limit_probability, clip_probability}) {
    if (p < 0.0 || p > 1.0)
      throw core::ConfigError({.subject = "augmentation probability",
                               .expected = "0 to 1",
                               .found = std::to_string(p)});
  }
}

void augment_channel(std::vector<float>& samples, const std::vector<float>& other,
                     const AugmentConfig& config, Random& random) {
  const double before = speech_level(samples);
  if (before > 0.0 && chance(random, config.reverb_probability)) {
    const double rt60 = uniform(random, config.rt60_low_s, config.rt60_high_s);
    samples = convolve(samples, make_room_response(random, rt60, uniform(random, 0.1, 0.9)));
  }
  const double level = speech_level(samples);
  if (level > 0.0 && !other.empty() && chance(random, config.speaker_probability)) {
    add_noise(samples, other, -uniform(random, config.speaker_low_db, config.speaker_high_db),
              level);
  }
  if (level > 0.0 && chance(random, config.noise_probability)) {
    const auto colour = static_cast<NoiseColour>(uniform_index(random, 5));
    const auto count = static_cast<int64_t>(std::min<size_t>(samples.size(), 16000 * 4));
    add_noise(samples, make_noise(random, colour, count),
              uniform(random, config.snr_low_db, config.snr_high_db), level);
  }
  if (chance(random, config.band_limit_probability))
    band_limit(samples, uniform(random, 100.0, 300.0), uniform(random, 3000.0, 3800.0));
  if (chance(random, config.clip_probability)) clip(samples, uniform(random, 0.2, 0.7));
  const double after = speech_level(samples);
  if (after > 0.0)
    scale(samples, from_db(uniform(random, config.level_low_db, config.level_high_db)) / after);
  for (float& v : samples) v = std::clamp(v, -1.0f, 1.0f);
}

std::vector<float> augment(const std::vector<float>& speech, const std::vector<float>& other,
                           const AugmentConfig& config, Random& random) {
  std::vector<float> result =
      chance(random, config.speed_probability)
          ? change_speed(speech, uniform(random, config.speed_low, config.speed_high))
          : speech;
  augment_channel(result, other, config, random);
  return result;
}

}  // namespace duet::train
