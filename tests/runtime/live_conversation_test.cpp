// Whole conversations through the virtual room with the fake engine: WAV in, WAV out.

#include "runtime/live_conversation.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <cmath>
#include <string>
#include <vector>

#include "audio/audio_file.h"
#include "audio/room_device.h"
#include "runtime/core/error.h"
#include "tests/support/fake_engine.h"
#include "tests/support/speech_like.h"
#include "tests/support/temp_dir.h"

using namespace duet;
using audio::RoomDevice;
using runtime::LiveConversation;
using runtime::LiveStep;
using support::FakeEngine;
using support::FakeScript;

namespace {

audio::RoomConfig quiet_room(int rate_hz = 16000) {
  audio::RoomConfig room;
  room.rate_hz = rate_hz;
  room.rt60_s = 0.2;
  room.delay_ms = 40.0;
  room.echo_gain_db = -80.0;
  room.noise_dbfs = -150.0;
  return room;
}

/// Says `samples` once, then nothing.
std::function<void(std::span<float>)> say(std::vector<float> samples) {
  return [samples = std::move(samples), at = std::size_t{0}](std::span<float> out) mutable {
    for (float& x : out) x = at < samples.size() ? samples[at++] : 0.0F;
  };
}

/// For `seconds`, buffer by buffer.
std::function<bool()> pump_for(RoomDevice& device, double seconds, int rate_hz,
                               std::size_t buffer) {
  return [&device, left = static_cast<std::int64_t>(seconds * rate_hz / double(buffer))]() mutable {
    if (left-- <= 0) return false;
    device.pump();
    return true;
  };
}

double rms(std::span<const float> x) {
  double sum = 0.0;
  for (const float v : x) sum += double(v) * double(v);
  return std::sqrt(sum / double(std::max<std::size_t>(x.size(), 1)));
}

}  // namespace

TEST_CASE("WAV in, WAV out: the agent's reply leaves through the device when it should", "[e2e]") {
  const support::TempDir folder;
  const auto voice = test::speech_like(48000, 48000);
  audio::write_wav_file(folder.file("user.wav"), voice, 48000);
  FakeScript script;
  script.replies = {{.first_step = 20, .num_steps = 10, .text = "sure a large latte"}};
  const FakeEngine engine(script);
  std::vector<float> played, heard;
  RoomDevice device({.room = quiet_room(48000),
                     .buffer_samples = 480,
                     .say = say(audio::load_audio_file(folder.file("user.wav")).samples),
                     .watch = [&](auto, auto, std::span<const float> far) {
                       played.insert(played.end(), far.begin(), far.end());
                     }});
  std::vector<double> audible;
  std::vector<std::string> notices;
  LiveConversation live(engine, device, {.worker = {.is_recording = true}},
                        {.on_step =
                             [&](const LiveStep& step) {
                               audible.push_back(step.audible_at_s);
                               heard.insert(heard.end(), step.block.begin(), step.block.end());
                             },
                         .on_notice = [&](const std::string& text) { notices.push_back(text); }});
  const runtime::LiveTotals totals = live.run_in_step(pump_for(device, 4.0, 48000, 480));
  audio::write_wav_file(folder.file("agent.wav"), played, 48000);

  CHECK(totals.num_steps == 49);  // 4 s less what the path still holds.
  CHECK(totals.stream.num_underruns == 0);
  CHECK(totals.stream.num_overruns == 0);
  CHECK(totals.num_failures == 0);
  CHECK(totals.num_lost_events == 0);
  CHECK(notices.empty());
  const auto wav = audio::load_audio_file(folder.file("agent.wav")).samples;
  REQUIRE(wav.size() == 4 * 48000);
  // Step 20 is heard by 1.68 s; nothing may sound earlier and all added delay is below 25 ms.
  const auto first =
      std::find_if(wav.begin(), wav.end(), [](float x) { return std::abs(x) > 0.05F; });
  const double onset_s = double(first - wav.begin()) / 48000.0;
  CHECK(onset_s > 1.68);
  CHECK(onset_s < 1.68 + 0.010 + 0.025);
  CHECK(audible[20] == Approx(onset_s).margin(0.012));
  CHECK(totals.added_latency_ms < 25.0);
  CHECK(rms(std::span(wav).subspan(0, 79000)) < 1e-4);
  CHECK(rms(std::span(wav).subspan(84000, 36000)) == Approx(0.25 / std::sqrt(2.0)).epsilon(0.02));
  CHECK(rms(std::span(wav).subspan(125000)) < 1e-4);
  // What the engine heard is the user, at the user's level.
  CHECK(rms(std::span(heard).first(16000)) == Approx(rms(voice)).epsilon(0.35));
}

TEST_CASE("the same conversation twice gives the same steps to the bit", "[e2e]") {
  FakeScript script;
  script.echo = true;
  const FakeEngine engine(script);
  std::vector<std::vector<float>> runs(2);
  for (auto& blocks : runs) {
    RoomDevice device({.room = {.rt60_s = 0.2, .echo_gain_db = -6.0},
                       .say = say(test::speech_like(32000, 16000))});
    LiveConversation live(engine, device, {.worker = {.is_recording = true}},
                          {.on_step = [&](const LiveStep& step) {
                            blocks.insert(blocks.end(), step.block.begin(), step.block.end());
                            blocks.insert(blocks.end(), step.out.pcm.begin(), step.out.pcm.end());
                          }});
    live.run_in_step(pump_for(device, 3.0, 16000, 160));
  }
  CHECK(runs[0].size() > 100000);
  CHECK(runs[0] == runs[1]);
}

TEST_CASE("a failed step silences the agent, is told and resets; three in a row end it", "[e2e]") {
  FakeScript script;
  script.throw_at_step = 5;
  script.replies = {{.first_step = 0, .num_steps = 100, .text = "la"}};
  const FakeEngine engine(script);
  RoomDevice device({.room = quiet_room()});
  std::vector<std::string> notices;
  std::vector<std::int64_t> resets;
  const runtime::LiveHooks hooks{
      .on_step =
          [&](const LiveStep& step) {
            if (step.is_first_after_reset) resets.push_back(step.index);
            CHECK(step.failure.empty() == !step.out.pcm.empty());
          },
      .on_notice = [&](const std::string& text) { notices.push_back(text); }};
  LiveConversation live(engine, device, {}, hooks);
  const auto totals = live.run_in_step(pump_for(device, 1.6, 16000, 160));
  // The session counts from 0 after each reset and so fails every sixth step.
  CHECK(totals.num_failures == 3);
  CHECK(resets == std::vector<std::int64_t>{0, 6, 12, 18});
  CHECK_FALSE(totals.has_given_up);
  REQUIRE(notices.size() == 3);
  CHECK_THAT(notices[0], Catch::Contains("scripted failure") && !Catch::Contains("\n"));

  script.throw_at_step = 0;
  const FakeEngine broken(script);
  LiveConversation hopeless(broken, device, {}, {});
  const auto end = hopeless.run_in_step(pump_for(device, 5.0, 16000, 160));
  CHECK(end.has_given_up);
  CHECK(end.num_steps == 3);
}

TEST_CASE("threads: too slow a machine misses deadlines but its lag stays bounded", "[e2e]") {
  FakeScript script;
  script.compute = std::chrono::milliseconds(160);  // Budget: 80 ms.
  script.replies = {{.first_step = 0, .num_steps = 1000, .text = "la"}};
  const FakeEngine engine(script);
  RoomDevice device({.room = quiet_room(), .is_paced = true});
  std::vector<double> lags;
  std::vector<std::string> notices;
  const auto start = std::chrono::steady_clock::now();
  LiveConversation live(engine, device, {},
                        {.on_step = [&](const LiveStep& step) { lags.push_back(step.lag_s); },
                         .on_notice = [&](const std::string& text) { notices.push_back(text); },
                         // A loaded machine paces the room slowly, too: as long as it takes.
                         .should_stop =
                             [&] {
                               return (lags.size() > 25 && !notices.empty()) ||
                                      std::chrono::steady_clock::now() - start >
                                          std::chrono::seconds(60);
                             }});
  const auto totals = live.run();
  CHECK(totals.num_deadline_misses == totals.num_steps);
  CHECK(totals.dropped_input_s > 0.3);
  CHECK(totals.stream.num_overruns == 0);
  // 5 waiting blocks, the one at work, one filling, a step.
  CHECK(totals.max_lag_s < 0.16 + 7 * 0.08 + 0.3);
  REQUIRE(lags.size() > 20);
  REQUIRE_FALSE(notices.empty());
  CHECK_THAT(notices[0], Catch::Contains("too slow"));
  CHECK(notices.size() <= 2);
}

TEST_CASE("threads: a device pulled out and put back costs the gap, not the conversation",
          "[e2e]") {
  FakeScript script;
  script.replies = {{.first_step = 0, .num_steps = 1000, .text = "one two three"}};
  const FakeEngine engine(script);
  RoomDevice device({.room = quiet_room(), .is_paced = true});
  std::vector<std::string> notices;
  std::vector<std::int64_t> indices;
  bool was_reset = false;
  double last_s = 0.0;
  bool is_ordered = true;
  int ticks = 0;
  runtime::LiveOptions options;
  options.retry_seconds = 0.1;
  options.volume = 0.5F;
  LiveConversation live(
      engine, device, options,
      {.on_step =
           [&](const LiveStep& step) {
             indices.push_back(step.index);
             was_reset = was_reset || (step.index > 0 && step.is_first_after_reset);
             is_ordered = is_ordered && step.captured_until_s > last_s;
             last_s = step.captured_until_s;
             if (step.index == 6) device.unplug();
           },
       .on_notice =
           [&](const std::string& text) {
             notices.push_back(text);
             if (notices.size() == 1) device.plug();
           },
       .on_tick = [&](audio::DuplexStream& stream) { CHECK(stream.volume() == 0.5F); },
       .should_stop = [&] { return ++ticks > 400 || (!indices.empty() && indices.back() >= 15); }});
  const auto totals = live.run();
  CHECK(totals.num_device_losses == 1);
  CHECK(notices == std::vector<std::string>{"the sound device is gone; waiting for it",
                                            "the sound device is back"});
  REQUIRE(indices.size() >= 15);
  for (std::size_t i = 0; i < indices.size(); ++i) CHECK(indices[i] == std::int64_t(i));
  CHECK_FALSE(was_reset);
  CHECK(is_ordered);
}

TEST_CASE("without a device the conversation does not begin", "[e2e]") {
  const FakeEngine engine(FakeScript{});
  RoomDevice device({.room = quiet_room()});
  device.unplug();
  LiveConversation live(engine, device, {}, {});
  CHECK_THROWS_AS(live.run(), core::DeviceError);
}
