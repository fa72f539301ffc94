#pragma once
// What rooms, microphones, telephones and other people do to a voice, for training: each effect
// alone, and a random chain of them. Pure functions of (samples, parameters, generator): the same
// seed gives the same samples on one machine. Noise levels are relative to the level of the
// *speech*: RMS over the 10 ms frames within 30 dB of the loudest frame, so that pauses do not
// count. No tensors here.

#include <cstdint>
#include <random>
#include <vector>

namespace duet::train {

using Random = std::mt19937_64;

/// Uniform in [low, high). Written out because std distributions differ between standard libraries.
double uniform(Random& random, double low, double high);
/// Uniform in {0, ..., count - 1}; count > 0.
int64_t uniform_index(Random& random, int64_t count);
/// True with probability p.
bool chance(Random& random, double p);
/// Standard normal (sum of 12 uniforms less 6: cheap, tails to 6, plenty for noise).
float normal(Random& random);

/// RMS of the loud part of a signal (see above); 0 for silence.
double speech_level(const std::vector<float>& samples, int sample_rate_hz = 16000);

/// Plays faster (rate > 1) or slower, pitch moving along: cubic interpolation. Length n/rate.
std::vector<float> change_speed(const std::vector<float>& samples, double rate);

/// Amplitude ratio of a level in dB.
double from_db(double db);

/// In place.
void scale(std::vector<float>& samples, double gain);

/// A synthetic room: direct path 1 at tap 0, a handful of early reflections (2-40 ms) and
/// exponentially decaying noise reaching -60 dB after `rt60_s`; `wet` sets the energy of all but
/// the direct path relative to it (linear amplitude).
std::vector<float> make_room_response(Random& random, double rt60_s, double wet,
                                      int sample_rate_hz = 16000);

/// x * h, cut to the length of x (FFT by blocks; the tail beyond the last sample is dropped).
std::vector<float> convolve(const std::vector<float>& samples, const std::vector<float>& response);

enum class NoiseColour { kWhite, kPink, kBrown, kHum, kBabbleLike };
/// `count` samples at RMS 1 of the given colour; kHum is 50/60 Hz with harmonics plus hiss;
/// kBabbleLike is pink noise with speech-shaped spectrum and a slow, syllabic envelope.
std::vector<float> make_noise(Random& random, NoiseColour colour, int64_t count,
                              int sample_rate_hz = 16000);

/// samples += noise at `snr_db` under speech_level(samples) (of `reference_level` if > 0). The
/// noise is repeated as needed.
void add_noise(std::vector<float>& samples, const std::vector<float>& noise, double snr_db,
               double reference_level = 0.0, int sample_rate_hz = 16000);

/// Telephone: second-order high-pass at `low_hz` and fourth-order low-pass at `high_hz`.
void band_limit(std::vector<float>& samples, double low_hz, double high_hz,
                int sample_rate_hz = 16000);

/// Hard clipping at `limit` times the peak. limit in (0, 1].
void clip(std::vector<float>& samples, double limit);

/// How often each effect of the random chain is applied, and how strongly.
struct AugmentConfig {
  double speed_probability = 0.7, speed_low = 0.88, speed_high = 1.14;
  double level_low_db = -44.0,
         level_high_db = -14.0;  ///< Speech level after the chain, dB re full scale (30 dB range).
  double reverb_probability = 0.5, rt60_low_s = 0.1, rt60_high_s = 0.7;
  double noise_probability = 0.6, snr_low_db = 5.0, snr_high_db = 40.0;
  double speaker_probability = 0.15, speaker_low_db = -25.0, speaker_high_db = -12.0;
  double band_limit_probability = 0.15;
  double clip_probability = 0.05;

  void validate() const;  ///< Throws core::ConfigError.
};

/// Speed, then the channel (room, noise, second speaker `other` if not empty, band limit, clipping,
/// level), as the configuration's dice fall. Speech level of the result lies in the configured
/// range; never beyond [-1, 1].
std::vector<float> augment(const std::vector<float>& speech, const std::vector<float>& other,
                           const AugmentConfig& config, Random& random);

/// The chain without speed change, in place, for a channel that is already mixed and timed.
void augment_channel(std::vector<float>& samples, const std::vector<float>& other,
                     const AugmentConfig& config, Random& random);

}  // namespace duet::train
