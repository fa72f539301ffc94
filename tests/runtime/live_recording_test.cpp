#include "runtime/live_recording.h"

#include <bit>
#include <catch2/catch.hpp>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "audio/audio_file.h"
#include "audio/room_device.h"
#include "runtime/core/error.h"
#include "runtime/live_conversation.h"
#include "tests/support/fake_engine.h"
#include "tests/support/speech_like.h"
#include "tests/support/temp_dir.h"

using namespace duet;
using runtime::LiveRecording;
using runtime::LiveStep;

namespace {

/// Codes that follow from every sample heard since the reset.
class HashingSession : public runtime::Session {
 public:
  HashingSession(const runtime::EngineInfo& info, std::uint64_t seed)
      : Session(info), seed_(seed), hash_(seed) {}

 private:
  void do_step(std::span<const float> block, runtime::StepOutput& out) override {
    for (const float x : block)
      hash_ =
          (hash_ ^ static_cast<std::uint64_t>(std::bit_cast<std::uint32_t>(x))) * 1099511628211ULL;
    if (++step_ % 13 == 0) throw std::runtime_error("scripted");
    out.pcm.assign(1920, 0.1F);
    out.codes = {static_cast<int>(hash_ % 4096), static_cast<int>(hash_ / 4096 % 4096)};
    out.text_token = static_cast<int>(hash_ >> 40);
    out.agent_text = step_ == 3 ? " yes" : "";
    out.agent_turn_started = step_ == 3;
  }
  void do_reset() override {
    hash_ = seed_;
    step_ = 0;
  }
  std::uint64_t seed_, hash_;
  int step_ = 0;
};

class HashingEngine : public runtime::Engine {
 public:
  HashingEngine() { info_.model_name = "hash", info_.model_version = "1"; }
  const runtime::EngineInfo& info() const noexcept override { return info_; }
  std::unique_ptr<runtime::Session> make_session(
      const runtime::SessionOptions& options) const override {
    return std::make_unique<HashingSession>(info_, options.seed);
  }
  runtime::EngineInfo info_;
};

/// 3 s with a talking user in a room.
void record(const std::string& folder, const HashingEngine& engine) {
  const auto voice = test::speech_like(48000, 16000);
  std::size_t at = 0;
  audio::RoomDevice device({.room = {.rt60_s = 0.2}, .say = [&](std::span<float> out) {
                              for (float& x : out) x = at < voice.size() ? voice[at++] : 0.0F;
                            }});
  const runtime::SessionOptions session{.seed = 7};
  LiveRecording recording(folder, engine.info(), session);
  runtime::LiveConversation live(
      engine, device, {.session = session, .worker = {.is_recording = true}},
      {.on_step = [&](const LiveStep& step) { recording.add(step); },
       .on_open = [&](const audio::DeviceFacts& facts) { recording.set_rate(facts.rate_hz); }});
  int left = 300;
  live.run_in_step([&] {
    device.pump();
    return --left > 0;
  });
  recording.finish();
}

}  // namespace

TEST_CASE("a recording is whole and replays to the same codes, failures included", "[e2e]") {
  const support::TempDir parent;
  const std::string folder = parent.file("talk");
  HashingEngine engine;
  record(folder, engine);
  for (const char* name :
       {"session.json", "input.f32", "steps.jsonl", "conversation.wav", "heard.wav",
        "timeline.json", "transcript.txt", "transcript.srt", "transcript.json"})
    CHECK(std::ifstream(folder + "/" + name).good());
  const auto mic = audio::load_audio_file(folder + "/conversation.wav", 1);
  const auto agent = audio::load_audio_file(folder + "/conversation.wav", 2);
  CHECK(mic.samples.size() == agent.samples.size());
  CHECK(mic.samples.size() > 45000);
  CHECK(agent.samples[16000] == Approx(0.1).margin(1e-3));
  CHECK(runtime::recorded_model(folder).empty());
  std::vector<std::int64_t> failed;
  const auto report = runtime::replay_recording(folder, engine, [&](const LiveStep& step) {
    if (!step.failure.empty()) failed.push_back(step.index);
  });
  CHECK(report.num_steps == 37);
  CHECK(report.num_equal == report.num_steps);
  CHECK(report.first_difference == -1);
  CHECK(failed == std::vector<std::int64_t>{12, 25});

  // One sample of one block otherwise: every code from there to the next reset differs.
  std::fstream input(folder + "/input.f32", std::ios::in | std::ios::out | std::ios::binary);
  const float other = 0.123F;
  input.seekp((4 * 1280 + 100) * 4);
  input.write(reinterpret_cast<const char*>(&other), 4);
  input.close();
  const auto changed = runtime::replay_recording(folder, engine);
  CHECK(changed.first_difference == 4);
  CHECK(changed.num_equal == changed.num_steps - 8);
  CHECK_THAT(changed.difference, Catch::Contains("recorded ["));
}

TEST_CASE("what cannot be recorded or replayed is told", "[unit]") {
  const support::TempDir parent;
  HashingEngine engine;
  record(parent.file("a"), engine);
  CHECK_THROWS_WITH(LiveRecording(parent.file("a"), engine.info(), {}),
                    Catch::Contains("a new or empty folder"));
  CHECK_THROWS_AS(runtime::replay_recording(parent.file("none"), engine), core::LoadError);
  engine.info_.model_version = "2";
  CHECK_THROWS_WITH(runtime::replay_recording(parent.file("a"), engine),
                    Catch::Contains("expected the model of the recording, hash 1, found hash 2"));
  engine.info_.model_version = "1";
  std::filesystem::resize_file(parent.file("a") + "/input.f32", 4000);
  CHECK_THROWS_WITH(runtime::replay_recording(parent.file("a"), engine),
                    Catch::Contains("a block for every step"));
}
