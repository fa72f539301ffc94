#pragma once
// What a test mixes into the user's channel beside the user: steady noise, a cafe's voices, one
// more speaker, the agent's own sound through a poor echo canceller.

#include <cstdint>
#include <optional>
#include <random>
#include <span>
#include <vector>

#include "audio/resampler.h"

namespace duet::runtime {

/// Levels [dB] are those of sound against the sound of the user's turn, pauses of neither counted.
struct Disturbance {
  std::optional<double> noise_snr_db = std::nullopt;   ///< Pink noise, so far below the user.
  std::optional<double> babble_snr_db = std::nullopt;  ///< kBabbleVoices people at once.
  std::optional<double> speaker_db = std::nullopt;     ///< One more speaker; negative: quieter.
  /// The agent's own sound comes back so much quieter than it was played (negative).
  std::optional<double> echo_db = std::nullopt;
  double echo_delay_ms = 100.0;  ///< >= 10.

  bool has_voices() const noexcept { return babble_snr_db || speaker_db; }
  /// Throws core::ConfigError: a level that is not finite or beyond +-100 dB, a delay below 10 ms.
  void validate() const;
};

inline constexpr int kBabbleVoices = 6;

/// RMS of the audible parts of `samples`; 0 when nothing is.
double audible_rms(std::span<const float> samples, int rate_hz);

/// The same arguments and calls give the same samples. One thread.
class Disturber {
 public:
  /// `voices`: recordings of other people at `user_rate_hz`, the first for the one more speaker,
  /// the next kBabbleVoices for babble (fewer are used again). They repeat, with a pause.
  Disturber(const Disturbance& disturbance, const std::vector<std::vector<float>>& voices,
            int user_rate_hz, int agent_rate_hz, std::uint64_t seed);

  /// RMS that the levels count from; before it nothing but the echo is added.
  void set_user_level(double rms) { user_rms_ = rms; }
  /// The next samples of the user's channel, in place.
  void process(std::span<float> user);
  /// What the agent's channel plays at the same time, as long as the user's.
  void hear_agent(std::span<const float> pcm);

 private:
  struct Voice {
    std::vector<float> samples;  // Of audible RMS 1.
    std::size_t at = 0;
    float next();
  };
  float pink();
  float others();

  Disturbance disturbance_;
  std::vector<Voice> speaker_, babble_;
  double user_rms_ = 0.0;
  std::mt19937_64 random_;
  float pink_state_[3] = {};
  audio::Resampler to_user_rate_;
  std::vector<float> agent_;  // At the user's rate, from the start.
  std::size_t num_samples_ = 0;
  int user_rate_hz_;
};

}  // namespace duet::runtime
