// The audio half of a conversation, with the virtual room for a sound card.

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <numeric>
#include <vector>

#include "audio/capture_path.h"
#include "audio/half_duplex_guard.h"
#include "audio/playout_path.h"
#include "audio/room_device.h"
#include "runtime/core/error.h"
#include "tests/support/speech_like.h"

using namespace duet;
using audio::CapturePath;
using audio::DuplexStream;
using audio::PlayoutPath;
using audio::SamplePair;

namespace {

std::size_t peak_at(const std::vector<float>& x) {
  return static_cast<std::size_t>(
      std::max_element(x.begin(), x.end(),
                       [](float a, float b) { return std::abs(a) < std::abs(b); }) -
      x.begin());
}

std::vector<float> play(DuplexStream& stream, std::size_t num) {
  std::vector<float> out(num);
  stream.process(nullptr, 0, out.data(), 1, num);
  return out;
}

}  // namespace

TEST_CASE("any device rate becomes blocks, late by the declared latency", "[dsp]") {
  for (const int rate : {8000, 16000, 44100, 48000}) {
    INFO(rate << " Hz");
    CapturePath path({.device_rate_hz = rate});
    std::vector<SamplePair> pairs(static_cast<std::size_t>(rate));
    for (std::size_t i = 0; i < pairs.size() / 100; ++i)  // A bump of 10 ms around 0.5 s.
      pairs[pairs.size() / 2 + i].near =
          0.5F * static_cast<float>(std::sin(M_PI * double(i) / (double(pairs.size()) / 100.0)));
    std::vector<float> cleaned, block(1280);
    for (std::size_t at = 0; at < pairs.size();) {
      const std::size_t size = std::min<std::size_t>(441, pairs.size() - at);
      path.process(std::span(pairs).subspan(at, size));
      at += size;
      while (path.pop(block)) cleaned.insert(cleaned.end(), block.begin(), block.end());
    }
    CHECK(cleaned.size() == 12 * 1280);  // 0.96 of 1 s.
    const double late_ms = 1e3 * (double(peak_at(cleaned)) / 16000.0 - 0.505);
    // Resamplers are aligned in time: only the canceller moves the signal, by 8 ms.
    CHECK(late_ms == Approx(8.0).margin(0.3));
    CHECK(path.latency_ms() < 13.0);
    CHECK(path.popped_until_s() == Approx(0.96).margin(0.0045));
  }
}

TEST_CASE("blocks that wait too long are dropped, the oldest first", "[unit]") {
  CapturePath path({.device_rate_hz = 16000, .max_waiting_blocks = 3});
  std::vector<SamplePair> pairs(1280);
  std::vector<float> block(1280);
  for (int i = 1; i <= 3; ++i) path.process(pairs);
  CHECK(path.drop_late() == 0);
  for (int i = 1; i <= 2; ++i) path.process(pairs);
  CHECK(path.drop_late() == 4);
  CHECK(path.pop(block));
  CHECK_FALSE(path.pop(block));
  CHECK(path.popped_until_s() == Approx(0.4));
  CHECK_THROWS_AS(CapturePath({.max_waiting_blocks = 0}), core::ConfigError);
}

TEST_CASE("playout keeps its cushion, shortens silence and cuts only what is far too long",
          "[unit]") {
  DuplexStream stream({.rate_hz = 48000});
  PlayoutPath path({.model_rate_hz = 24000}, stream);
  const std::vector<float> voice(1920, 0.1F), silence(1920, 0.0F);
  path.push(voice);
  // Cushion of 10 ms, and 80 ms less what the resampler still holds.
  CHECK(stream.num_queued() == 480 + 3840 - 64);
  play(stream, 3840);
  path.push(voice);
  CHECK(path.waiting_ms() == Approx(8.67).margin(0.1));
  // The machine was late once and caught up: 100 ms too much wait, and go in silence.
  stream.write(std::vector<float>(4800, 0.1F));
  for (int i = 0; i < 30; ++i) {
    play(stream, 3840);
    path.push(voice);
  }
  CHECK(path.waiting_ms() == Approx(108.7).margin(0.1));
  CHECK(path.dropped_voice_ms() == 0.0);
  for (int i = 0; i < 60; ++i) {
    play(stream, 3840);
    path.push(silence);
  }
  CHECK(path.waiting_ms() < 17.0);
  CHECK(path.waiting_ms() > 5.0);
  CHECK(path.dropped_silence_ms() > 90.0);
  CHECK(path.dropped_voice_ms() == 0.0);
  CHECK(stream.counters().num_underruns == 0);
  // Far too long: nobody plays.
  for (int i = 0; i < 10; ++i) path.push(voice);
  CHECK(path.dropped_voice_ms() > 400.0);
  CHECK(double(stream.num_queued()) / 48.0 <= 160.0 + 80.0 + 1.0);
}

TEST_CASE("the guard shuts the microphone for an echo nobody cancels, not for a person", "[dsp]") {
  constexpr std::size_t kSize = 14 * 16000 / 128 * 128;
  const auto agent = test::speech_like(kSize, 16000, 3);
  auto person = test::speech_like(kSize, 16000, 11);
  std::rotate(person.begin(), person.begin() + 2900, person.end());
  std::vector<float> echo(kSize), silence(kSize, 0.0F);
  audio::Room({.rt60_s = 0.3, .delay_ms = 250.0}).process(agent, silence, echo);
  const auto run = [&](audio::HalfDuplexGuard& guard, std::vector<float> mic) {
    for (std::size_t at = 0; at < kSize; at += 128)
      guard.process(std::span(agent).subspan(at, 128), std::span(mic).subspan(at, 128));
    return mic;
  };
  audio::HalfDuplexGuard guard;
  run(guard, person);
  INFO("person " << guard.correlation());
  CHECK_FALSE(guard.is_half_duplex());
  guard.reset();
  const auto gated = run(guard, echo);
  INFO("echo " << guard.correlation());
  CHECK(guard.is_half_duplex());
  CHECK(std::all_of(gated.end() - 16000, gated.end(), [](float x) { return x == 0.0F; }));
  run(guard, silence);  // The user put on headphones.
  CHECK_FALSE(guard.is_half_duplex());
  audio::HalfDuplexGuard off({.is_enabled = false});
  run(off, echo);
  CHECK_FALSE(off.is_half_duplex());
}

TEST_CASE("the room hears what the stream plays, one buffer and the room's delay later", "[unit]") {
  audio::RoomDevice device(
      {.room = {.rt60_s = 0.2, .delay_ms = 50.0, .noise_dbfs = -150.0}, .buffer_samples = 160});
  const audio::DeviceFacts facts = device.open({});
  CHECK(facts.rate_hz == 16000);
  DuplexStream stream({.rate_hz = facts.rate_hz});
  device.start(stream);
  CHECK(device.is_alive());
  std::vector<float> click(160, 0.0F);
  click[0] = 0.9F;
  stream.write(click);
  std::vector<float> mic;
  std::vector<SamplePair> pairs(160);
  for (int i = 0; i < 20; ++i) {
    device.pump();
    REQUIRE(stream.read(pairs) == 160);
    for (const SamplePair& pair : pairs) mic.push_back(pair.near);
  }
  // 10 ms buffer, 50 ms device, 0.4 m of air (18.7 samples).
  CHECK(double(peak_at(mic)) == Approx(160.0 + 800.0 + 18.7).margin(2.0));
  device.unplug();
  CHECK_FALSE(device.is_alive());
  device.stop();
  CHECK_THROWS_AS(device.open({}), core::DeviceError);
  device.plug();
  CHECK_NOTHROW(device.open({}));
}
