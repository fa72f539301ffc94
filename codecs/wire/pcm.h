#pragma once
// PCM and G.711 bytes to samples and back: the three audio formats of the OpenAI Realtime protocol.
// G.711: ITU-T Recommendation G.711 (1988), tables 1a/1b (A-law) and 2a/2b (mu-law), with the bit
// inversions that are transmitted (A-law: even bits; mu-law: all). Samples are float, 1.0 is full
// scale (32768 as PCM16).

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "codecs/wire/wire_error.h"

namespace duet::wire {

/// One mu-law byte as a 16-bit linear value: the table's 14-bit value times 4, +-32124 at most.
int16_t mulaw_decode(uint8_t code) noexcept;
/// The code of the interval that the 16-bit value lies in; values beyond the last are clipped.
uint8_t mulaw_encode(int16_t value) noexcept;
/// One A-law byte as a 16-bit linear value: the table's 13-bit value times 8, +-32256 at most.
int16_t alaw_decode(uint8_t code) noexcept;
uint8_t alaw_encode(int16_t value) noexcept;

/// Rounds to the nearest, clips, NaN is 0.
int16_t to_pcm16(float sample) noexcept;

/// How audio travels, with its rate.
enum class AudioFormat {
  kPcm16,  ///< Little endian, 24000 Hz.
  kMulaw,  ///< 8000 Hz.
  kAlaw,   ///< 8000 Hz.
};
int rate_hz(AudioFormat format) noexcept;
size_t bytes_per_sample(AudioFormat format) noexcept;

/// Samples from bytes cut anywhere: an odd byte of PCM16 waits for its other half. One thread.
class PcmReader {
 public:
  explicit PcmReader(AudioFormat format) noexcept : format_(format) {}
  AudioFormat format() const noexcept { return format_; }
  /// Appends one sample for every whole one in `bytes`, at rate_hz(format()).
  void read(std::span<const uint8_t> bytes, std::vector<float>& samples);
  bool has_half_sample() const noexcept { return has_half_; }
  /// End of input; throws WireError when half a sample is left. The next stream starts clean.
  void finish();
  void reset() noexcept { has_half_ = false; }

 private:
  AudioFormat format_;
  bool has_half_ = false;
  uint8_t half_ = 0;
};

/// Appends the bytes of `samples`, which are at rate_hz(format).
void write_pcm(AudioFormat format, std::span<const float> samples, std::vector<uint8_t>& bytes);

}  // namespace duet::wire
