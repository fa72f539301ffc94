#include "codecs/wire/pcm.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <random>

using namespace duet;
using wire::AudioFormat;

namespace {

// The recommendation's tables, built from their definition: per sign, 8 segments of 16 intervals;
// the decision values between them, and the value at the middle of each.
struct Interval {
  int low, high, value;  // low <= |x| < high, at the table's own bits.
};

std::vector<Interval> mulaw_table() {         // Table 2: 14 bits, steps 2, 4, ... 256.
  std::vector<Interval> table = {{0, 1, 0}};  // The first is half as wide and stands for 0.
  int low = 1;
  for (int segment = 0; segment < 8; ++segment)
    for (int i = segment == 0 ? 1 : 0; i < 16; ++i) {
      const int width = 2 << segment;
      table.push_back({low, low + width, low + width / 2});
      low += width;
    }
  return table;
}

std::vector<Interval> alaw_table() {  // Table 1: 12 bits of magnitude, steps 2, 2, 4, ... 128.
  std::vector<Interval> table;
  int low = 0;
  for (int segment = 0; segment < 8; ++segment)
    for (int i = 0; i < 16; ++i) {
      const int width = segment < 2 ? 2 : 1 << segment;
      table.push_back({low, low + width, low + width / 2});
      low += width;
    }
  return table;
}

}  // namespace

TEST_CASE("G.711 decodes to the tables of the recommendation", "[unit]") {
  const auto mulaw = mulaw_table(), alaw = alaw_table();
  REQUIRE(mulaw.size() == 128);
  REQUIRE(alaw.size() == 128);
  CHECK(mulaw.back().high == 8159);  // As printed in table 2a, and 4096 in 1a.
  CHECK(alaw.back().high == 4096);
  for (int i = 0; i < 128; ++i) {
    const auto at = static_cast<size_t>(i);
    CHECK(wire::mulaw_decode(static_cast<uint8_t>(0xff - i)) == mulaw[at].value * 4);
    CHECK(wire::mulaw_decode(static_cast<uint8_t>(0x7f - i)) == -mulaw[at].value * 4);
    CHECK(wire::alaw_decode(static_cast<uint8_t>((0x80 | i) ^ 0x55)) == alaw[at].value * 8);
    CHECK(wire::alaw_decode(static_cast<uint8_t>(i ^ 0x55)) == -alaw[at].value * 8);
  }
}

TEST_CASE("G.711 encodes every 16-bit value to the interval it lies in", "[unit]") {
  const auto mulaw = mulaw_table(), alaw = alaw_table();
  int wrong = 0;
  for (int value = -32768; value <= 32767; ++value) {
    const auto sample = static_cast<int16_t>(value);
    const int mu = ~wire::mulaw_encode(sample) & 0xff;
    const Interval& m = mulaw[static_cast<size_t>(mu & 127)];
    const bool mu_clipped = (mu & 127) == 127 && std::abs(value) >= m.low * 4;
    if (((mu & 128) != 0) != (value < 0) ||
        (!mu_clipped && (std::abs(value) < m.low * 4 || std::abs(value) >= m.high * 4)))
      ++wrong;
    const int a = wire::alaw_encode(sample) ^ 0x55;
    const Interval& l = alaw[static_cast<size_t>(a & 127)];
    // A negative value on a decision value belongs to the smaller one's interval: mirrored at -1/2.
    const double magnitude = std::abs(value + 0.5);
    if (((a & 128) != 0) != (value >= 0) || magnitude < l.low * 8 || magnitude >= l.high * 8)
      ++wrong;
  }
  CHECK(wrong == 0);
}

TEST_CASE("G.711 decoded and encoded again is the same code", "[property]") {
  for (int code = 0; code < 256; ++code) {
    const auto byte = static_cast<uint8_t>(code);
    CHECK(wire::alaw_encode(wire::alaw_decode(byte)) == byte);
    if (byte != 0x7f)  // Minus zero comes back as plus zero.
      CHECK(wire::mulaw_encode(wire::mulaw_decode(byte)) == byte);
  }
}

TEST_CASE("PCM16 bytes are little endian, an odd one waits for its other half", "[unit]") {
  wire::PcmReader reader(AudioFormat::kPcm16);
  std::vector<float> samples;
  const std::vector<uint8_t> bytes = {0x00, 0x80, 0xff, 0x7f, 0x01, 0x00, 0xff, 0xff};
  const std::vector<float> expected = {-1.0f, 32767.0f / 32768, 1.0f / 32768, -1.0f / 32768};
  for (size_t i = 0; i < bytes.size(); ++i) {
    reader.read(std::span(bytes).subspan(i, 1), samples);
    CHECK(samples.size() == (i + 1) / 2);
    CHECK(reader.has_half_sample() == (i % 2 == 0));
  }
  CHECK(samples == expected);
  CHECK_NOTHROW(reader.finish());
  reader.read(std::span(bytes).first(3), samples);
  CHECK_THROWS_WITH(
      reader.finish(),
      "PCM16 audio: expected an even number of bytes, found an odd one (16-bit samples, little "
      "endian)");
  samples.clear();
  reader.read(bytes, samples);  // The half was dropped.
  CHECK(samples == expected);
}

TEST_CASE("any cut of the bytes gives the same samples, written samples come back", "[property]") {
  std::mt19937 random(11);
  std::vector<float> samples(3000);
  for (float& sample : samples) sample = static_cast<float>(random() % 65536) / 32768.0f - 1.0f;
  for (const AudioFormat format : {AudioFormat::kPcm16, AudioFormat::kMulaw, AudioFormat::kAlaw}) {
    std::vector<uint8_t> bytes;
    wire::write_pcm(format, samples, bytes);
    CHECK(bytes.size() == samples.size() * wire::bytes_per_sample(format));
    wire::PcmReader whole(format), cut(format);
    std::vector<float> expected, got;
    whole.read(bytes, expected);
    for (size_t at = 0; at < bytes.size();) {
      const size_t piece = std::min(bytes.size() - at, size_t{random() % 17});
      cut.read(std::span(bytes).subspan(at, piece), got);
      at += piece;
    }
    CHECK(got == expected);
    // G.711: half an interval of the outermost segment, and its clipping, at most.
    const float limit = format == AudioFormat::kPcm16 ? 0.0f : 0.02f;
    float worst = 0.0f;
    for (size_t i = 0; i < samples.size(); ++i)
      worst = std::max(worst, std::abs(expected[i] - samples[i]));
    CHECK(worst <= limit);
  }
}

TEST_CASE("samples that are no audio become silence or full scale", "[unit]") {
  CHECK(wire::to_pcm16(std::nanf("")) == 0);
  CHECK(wire::to_pcm16(1.0f) == 32767);
  CHECK(wire::to_pcm16(-1.0f) == -32768);
  CHECK(wire::to_pcm16(std::numeric_limits<float>::infinity()) == 32767);
  CHECK(wire::to_pcm16(-1e30f) == -32768);
  CHECK(wire::rate_hz(AudioFormat::kPcm16) == 24000);
  CHECK(wire::rate_hz(AudioFormat::kAlaw) == 8000);
}
