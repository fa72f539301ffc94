#include "audio/duplex_stream.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <vector>

#include "runtime/core/error.h"
#include "tests/support/allocation_trap.h"

using namespace duet;
using audio::DuplexStream;
using audio::SamplePair;

namespace {

std::vector<float> ramp(std::size_t size, float first = 0.0F) {
  std::vector<float> samples(size);
  for (std::size_t i = 0; i < size; ++i) samples[i] = first + 1e-4F * static_cast<float>(i);
  return samples;
}

}  // namespace

TEST_CASE("what is written is played, and paired with what was captured meanwhile", "[unit]") {
  DuplexStream stream({.rate_hz = 16000});
  const auto voice = ramp(700, 0.1F);
  CHECK(stream.write(voice) == 700);
  CHECK(stream.num_queued() == 700);
  std::vector<float> mic(2 * 300), out(2 * 300);
  for (std::size_t i = 0; i < 300; ++i) {
    mic[2 * i] = -1e-3F * static_cast<float>(i);
    mic[2 * i + 1] = 9.0F;  // The second channel does not count.
  }
  stream.process(mic.data(), 2, out.data(), 2, 300);
  std::vector<SamplePair> pairs(1000);
  REQUIRE(stream.read(pairs) == 300);
  for (const std::size_t i : {0U, 1U, 255U, 256U, 299U}) {
    CHECK(out[2 * i] == voice[i]);
    CHECK(out[2 * i + 1] == voice[i]);
    CHECK(pairs[i].far == voice[i]);
    CHECK(pairs[i].near == mic[2 * i]);
  }
  CHECK(stream.num_samples() == 300);
}

TEST_CASE("a late voice is one underrun and fades out; a late reader loses whole pairs", "[unit]") {
  DuplexStream stream({.rate_hz = 8000, .capture_seconds = 0.1});  // 800 pairs.
  std::vector<float> mic(200), out(200);
  stream.process(mic.data(), 1, out.data(), 1, 200);
  CHECK(stream.counters().num_underruns == 0);  // Nobody has spoken yet.
  const std::vector<float> voice(100, 0.5F);
  stream.write(voice);
  stream.process(mic.data(), 1, out.data(), 1, 200);
  CHECK(out[99] == 0.5F);
  CHECK(out[100] < 0.5F);
  CHECK(out[199] < 0.5F * out[100]);
  stream.process(mic.data(), 1, out.data(), 1, 200);
  CHECK(stream.counters().num_underruns == 1);
  CHECK(stream.counters().num_silence_samples == 300);
  stream.write(voice);
  for (int i = 0; i < 3; ++i) stream.process(nullptr, 0, out.data(), 1, 200, true);
  const audio::StreamCounters counters = stream.counters();
  CHECK(counters.num_underruns == 2);
  CHECK(counters.num_lost_samples == 6 * 200 - 800);
  CHECK(counters.num_overruns == 2);
  CHECK(counters.num_device_faults == 3);
  CHECK(stream.num_captured() == 800);
}

TEST_CASE("mute and volume fade; what is not finite is silence", "[unit]") {
  DuplexStream stream({.rate_hz = 16000});
  stream.set_muted(true);
  stream.set_volume(0.5F);
  stream.write(std::vector<float>(400, 0.8F));
  std::vector<float> mic(400, 0.4F), out(400);
  mic[300] = std::numeric_limits<float>::quiet_NaN();
  stream.process(mic.data(), 1, out.data(), 1, 400);
  std::vector<SamplePair> pairs(400);
  stream.read(pairs);
  CHECK(pairs[0].near > 0.39F);
  CHECK(pairs[80].near == Approx(0.2F).margin(0.01));  // Half of 10 ms.
  CHECK(pairs[200].near == 0.0F);
  CHECK(pairs[300].near == 0.0F);
  CHECK(out[40] == Approx(0.8F * 0.75F).margin(0.01));
  CHECK(out[399] == Approx(0.4F));
  CHECK(pairs[399].far == out[399]);
}

TEST_CASE("meters show peaks, level and clipping", "[unit]") {
  DuplexStream stream({.rate_hz = 16000});
  std::vector<float> mic(1600, 0.25F), out(1600);
  for (int i = 0; i < 5; ++i) stream.process(mic.data(), 1, out.data(), 1, 1600);
  audio::StreamMeters meters = stream.meters();
  CHECK(meters.near_peak == Approx(0.25F));
  CHECK(meters.near_rms == Approx(0.25F).epsilon(0.02));
  CHECK_FALSE(meters.is_near_clipped);
  mic[10] = 1.0F;  // A single full-scale sample may be just that.
  stream.process(mic.data(), 1, out.data(), 1, 1600);
  CHECK_FALSE(stream.meters().is_near_clipped);
  mic[11] = -1.0F;
  stream.process(mic.data(), 1, out.data(), 1, 1600);
  CHECK(stream.meters().is_near_clipped);
  CHECK(stream.counters().num_clips == 1);
  std::fill(mic.begin(), mic.end(), 0.0F);
  for (int i = 0; i < 12; ++i) stream.process(mic.data(), 1, out.data(), 1, 1600);
  meters = stream.meters();
  CHECK_FALSE(meters.is_near_clipped);
  CHECK(meters.near_peak < 0.1F);
}

TEST_CASE("ten minutes of callbacks allocate nothing", "[property]") {
  DuplexStream stream({.rate_hz = 48000});
  std::vector<float> mic(480, 0.1F), out(2 * 480);
  const std::vector<float> voice(480, 0.2F);
  std::vector<SamplePair> pairs(4800);
  const support::AllocationTrap trap;
  for (int i = 0; i < 60000; ++i) {
    if (i % 7 != 0) stream.write(voice);  // Underruns
    stream.process(mic.data(), 1, out.data(), 2, 480, i % 100 == 0);
    if (i % 1000 > 300) stream.read(pairs);  // ... and overruns are part of it.
    if (i % 50 == 0) stream.set_muted(i % 100 == 0);
  }
  CHECK(trap.count() == 0);
  CHECK(stream.counters().num_underruns > 0);
  CHECK(stream.counters().num_overruns > 0);
}

TEST_CASE("impossible streams are refused with the range", "[unit]") {
  CHECK_THROWS_WITH(DuplexStream({.rate_hz = 100}), Catch::Contains("stream.rate_hz"));
  CHECK_THROWS_AS(DuplexStream({.playout_seconds = 0.0}), core::ConfigError);
}
