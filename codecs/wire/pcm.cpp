#include "codecs/wire/pcm.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace duet::wire {
namespace {

float pcm16_to_float(int value) { return static_cast<float>(value) / 32768.0f; }

// 256 values each: decoding is a look-up.
template <typename Decode>
std::array<float, 256> make_table(Decode decode) {
  std::array<float, 256> table{};
  for (int code = 0; code < 256; ++code)
    table[static_cast<size_t>(code)] = pcm16_to_float(decode(static_cast<uint8_t>(code)));
  return table;
}

}  // namespace

// Table 2: segment e (0 to 7), step m (0 to 15), 14-bit value (2m + 33) 2^e - 33.
int16_t mulaw_decode(uint8_t code) noexcept {
  const int bits = ~code & 0xff;
  const int segment = bits >> 4 & 7, step = bits & 15;
  const int magnitude = (((2 * step + 33) << segment) - 33) * 4;
  return static_cast<int16_t>((bits & 0x80) != 0 ? -magnitude : magnitude);
}

// Its decision values are (2m + 32) 2^e - 33 at 14 bits; with 33 added, the segment is the place of
// the highest bit and the step the four bits below it. At 16 bits: 132 is 33 * 4.
uint8_t mulaw_encode(int16_t value) noexcept {
  constexpr int kClip = 8158 * 4 + 3;  // The last decision value is 8159.
  const int magnitude = std::min(value < 0 ? -int{value} : int{value}, kClip) + 132;
  const int segment = static_cast<int>(std::bit_width(static_cast<unsigned>(magnitude))) - 8;
  const int step = magnitude >> (segment + 3) & 15;
  return static_cast<uint8_t>(~((value < 0 ? 0x80 : 0) | segment << 4 | step));
}

// Table 1: 12-bit magnitude 2m + 1 in segment 0, (2m + 33) 2^(e-1) above; times 8 is 16 bits. The
// sign bit is 1 for positive values; 0x55 are the inverted even bits.
int16_t alaw_decode(uint8_t code) noexcept {
  const int bits = code ^ 0x55;
  const int segment = bits >> 4 & 7, step = bits & 15;
  const int magnitude = (segment == 0 ? 2 * step + 1 : (2 * step + 33) << (segment - 1)) * 8;
  return static_cast<int16_t>((bits & 0x80) != 0 ? magnitude : -magnitude);
}

uint8_t alaw_encode(int16_t value) noexcept {
  // Intervals of a negative value are those of its mirror image: -1 lies where 0 does.
  const int magnitude = (value < 0 ? -1 - int{value} : int{value}) >> 4;  // 11 bits.
  const int segment =
      std::max(0, static_cast<int>(std::bit_width(static_cast<unsigned>(magnitude))) - 4);
  const int step = (segment == 0 ? magnitude : magnitude >> (segment - 1)) & 15;
  return static_cast<uint8_t>(((value < 0 ? 0 : 0x80) | segment << 4 | step) ^ 0x55);
}

int16_t to_pcm16(float sample) noexcept {
  if (std::isnan(sample)) return 0;
  return static_cast<int16_t>(std::lrintf(std::clamp(sample * 32768.0f, -32768.0f, 32767.0f)));
}

int rate_hz(AudioFormat format) noexcept { return format == AudioFormat::kPcm16 ? 24000 : 8000; }

size_t bytes_per_sample(AudioFormat format) noexcept {
  return format == AudioFormat::kPcm16 ? 2 : 1;
}

void PcmReader::read(std::span<const uint8_t> bytes, std::vector<float>& samples) {
  static const std::array<float, 256> mulaw = make_table(mulaw_decode);
  static const std::array<float, 256> alaw = make_table(alaw_decode);
  if (format_ != AudioFormat::kPcm16) {
    const auto& table = format_ == AudioFormat::kMulaw ? mulaw : alaw;
    for (const uint8_t byte : bytes) samples.push_back(table[byte]);
    return;
  }
  for (const uint8_t byte : bytes) {
    if (has_half_) samples.push_back(pcm16_to_float(static_cast<int16_t>(half_ | byte << 8)));
    half_ = byte;
    has_half_ = !has_half_;
  }
}

void PcmReader::finish() {
  const bool was_half = has_half_;
  has_half_ = false;
  if (was_half)
    throw WireError({.subject = "PCM16 audio",
                     .expected = "an even number of bytes",
                     .found = "an odd one",
                     .hint = "16-bit samples, little endian"});
}

void write_pcm(AudioFormat format, std::span<const float> samples, std::vector<uint8_t>& bytes) {
  for (const float sample : samples) {
    const int16_t value = to_pcm16(sample);
    if (format == AudioFormat::kMulaw) {
      bytes.push_back(mulaw_encode(value));
    } else if (format == AudioFormat::kAlaw) {
      bytes.push_back(alaw_encode(value));
    } else {
      bytes.push_back(static_cast<uint8_t>(value));
      bytes.push_back(static_cast<uint8_t>(value >> 8));
    }
  }
}

}  // namespace duet::wire
