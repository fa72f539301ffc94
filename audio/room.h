#pragma once
// A virtual room: what a microphone hears while a loudspeaker plays and a person talks. For tests
// of the echo path and for `duet bench echo`; deterministic by seed.
//
// Path of the echo: device delay, clock drift -> loudspeaker (memoryless non-linearity, then a
// 100 Hz high-pass) -> room impulse response. The response is the image-source method of a shoe box
// (Allen & Berkley 1979) for its first 50 ms; after that, where images are too dense to matter one
// by one, Gaussian noise that decays with the reverberation time. Not modelled: directivity,
// moving people, loudspeakers with memory, automatic gain control of the device.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace duet::audio {

struct RoomConfig {
  int rate_hz = 16000;        ///< 8000 to 96000.
  std::uint64_t seed = 1;     ///< Size of the room, places, tail and noise.
  double rt60_s = 0.4;        ///< Reverberation time, 0.05 to 1.0.
  double echo_gain_db = 0.0;  ///< Energy of the impulse response: level of the echo of white noise.
  double thd = 0.0;           ///< Total harmonic distortion of a -6 dBFS sine, 0 to 0.3.
  double delay_ms = 100.0;    ///< Playback and capture buffers of the device, 1 to 500.
  double drift_ppm = 0.0;     ///< Playback clock over capture clock, -500 to 500.
  double slip_ms = 50.0;      ///< A drift that adds up to this much makes the device slip back.
  double noise_dbfs = -75.0;  ///< Level (RMS) of the noise at the microphone; -150 and below: none.
  double speaker_distance_m = 0.4;  ///< Loudspeaker to microphone, 0.2 to 1.5.
  double user_distance_m = 0.7;     ///< Person to microphone, 0.2 to 1.5.

  void validate() const;  ///< Throws core::ConfigError.
};

/// A memoryless curve with a given harmonic distortion: root of the summed powers of harmonics 2 to
/// 10 over the fundamental, for a sine of peak 0.5.
class Loudspeaker {
 public:
  /// The asymmetric soft clipper, of unit slope at 0, that has this THD. 0 is the identity.
  explicit Loudspeaker(double thd);
  float shape(float x) const noexcept;
  double thd() const;  ///< Measured again from the curve.

 private:
  double drive_ = 0.0;
};

/// Impulse response of the room from the loudspeaker, of unit energy. Its direct sound lies at
/// speaker_distance_m / 343 m/s.
std::vector<float> make_echo_response(const RoomConfig& config);
/// The same from the person's mouth.
std::vector<float> make_near_response(const RoomConfig& config);

/// The pieces a microphone signal is made of, for measuring: same lengths, mic = echo + near +
/// noise. Empty spans are not filled.
struct RoomParts {
  std::span<float> echo = {};
  std::span<float> near = {};
};

/// Streaming; any chunking gives the same samples to the bit. One thread. `process` does not
/// allocate.
class Room {
 public:
  explicit Room(const RoomConfig& config);  ///< Throws core::ConfigError.
  ~Room();
  Room(Room&&) noexcept;
  Room& operator=(Room&&) noexcept;

  /// `far`: what is handed to the loudspeaker; `near`: what the person says (as loud as it shall be
  /// at the microphone); `mic`: what is captured. All the same length; `mic` overlaps neither.
  void process(std::span<const float> far, std::span<const float> near, std::span<float> mic,
               RoomParts parts = {});
  /// From the next sample on, loudspeaker and microphone stand elsewhere in the same room (places
  /// by `seed`), and the device delay is `delay_ms`. Sound already under way is lost. Allocates.
  void change_path(std::uint64_t seed, double delay_ms);

  /// Device delay now plus the way of the direct sound [samples].
  double delay_samples() const noexcept;
  /// How often drift made the device slip back to its first delay.
  int num_slips() const noexcept;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace duet::audio
