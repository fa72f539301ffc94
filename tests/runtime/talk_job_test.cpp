#include "runtime/talk_job.h"

#include <catch2/catch.hpp>
#include <chrono>
#include <fstream>
#include <sstream>
#include <string>

#include "audio/audio_file.h"
#include "audio/room_device.h"
#include "runtime/core/error.h"
#include "runtime/live_recording.h"
#include "tests/support/fake_engine.h"
#include "tests/support/speech_like.h"
#include "tests/support/temp_dir.h"

using namespace duet;
using support::FakeEngine;
using support::FakeScript;
using support::TempDir;

TEST_CASE("a WAV in a virtual room: words, both channels, transcript and a replay", "[e2e]") {
  const TempDir folder;
  audio::write_wav_file(folder.file("user.wav"), test::speech_like(2 * 22050, 22050), 22050);
  FakeScript script;
  script.replies = {{.first_step = 12, .num_steps = 20, .text = "a large latte coming up"}};
  script.user_words = [](std::int64_t t) { return t == 5 ? " one latte" : ""; };
  const FakeEngine engine(script);
  runtime::RoomJob job;
  job.input = folder.file("user.wav");
  job.output = folder.file("room.wav");
  job.room.rt60_s = 0.2;
  job.talk.record_dir = folder.file("kept");
  job.talk.transcript = folder.file("said.srt");
  job.tail_s = 2.0;
  std::ostringstream out, log;
  const auto totals = runtime::talk_in_room(job, engine, out, log, {});
  CHECK(totals.num_steps >= 48);
  CHECK_THAT(out.str(), Catch::Contains("you    one latte") &&
                            Catch::Contains("agent  a large latte coming up"));
  CHECK_THAT(log.str(), Catch::Contains("0 deadlines missed") && Catch::Contains("0 underruns"));
  CHECK_THAT(TempDir::read(folder.file("said.srt")), Catch::Contains("Agent: a large latte"));
  const auto mic = audio::load_audio_file(folder.file("room.wav"), 1);
  const auto agent = audio::load_audio_file(folder.file("room.wav"), 2);
  CHECK(mic.samples.size() >= 4 * 16000);
  CHECK(test::energy(agent.samples) > 100.0);
  CHECK(runtime::replay_recording(folder.file("kept"), engine).first_difference == -1);
}

TEST_CASE("live: keys mute, change the volume and quit; files are whole", "[e2e]") {
  const TempDir folder;
  FakeScript script;
  script.replies = {{.first_step = 0, .num_steps = 100, .text = "hello there"}};
  const FakeEngine engine(script);
  audio::RoomDevice device({.room = {.rt60_s = 0.2}, .is_paced = true});
  runtime::TalkJob job;
  job.is_terminal = true;
  job.is_push_to_talk = true;
  job.transcript = folder.file("said.txt");
  std::ostringstream out, log;
  std::string keys = " m  ++-hi";  // Open, mute, open, mute; louder; text.
  int ticks = 0;
  const auto keyboard = [&]() -> int {
    if (++ticks > 60) return ticks % 2 == 0 ? 'q' : 0;
    if (ticks % 4 != 0 || keys.empty()) return 0;
    const char key = keys.front();
    keys.erase(0, 1);
    return key;
  };
  const auto totals = runtime::talk(job, engine, device, out, log, keyboard, {});
  CHECK(totals.num_steps >= 2);
  CHECK_THAT(out.str(), Catch::Contains("speaker virtual room at 16000 Hz") &&
                            Catch::Contains("MUTED") && Catch::Contains("110%"));
  const auto told = out.str().find("typed text is not understood");
  CHECK(told != std::string::npos);
  CHECK(out.str().find("typed text", told + 1) == std::string::npos);  // Once.
  CHECK_THAT(TempDir::read(folder.file("said.txt")), Catch::Contains("agent: hello there"));
}

TEST_CASE("settings that cannot be are refused before anything begins", "[unit]") {
  const FakeEngine engine(FakeScript{});
  audio::RoomDevice device({.room = {.rt60_s = 0.2}});
  runtime::TalkJob job;
  job.transcript = "said.doc";
  std::ostringstream out;
  CHECK_THROWS_WITH(runtime::talk(job, engine, device, out, out, {}, {}),
                    Catch::Contains(".txt, .srt or .json"));
}

TEST_CASE("too little memory is told beforehand", "[unit]") {
  CHECK(runtime::memory_warning(60'000'000, 1'000'000'000).empty());
  CHECK(runtime::memory_warning(60'000'000, 0).empty());  // Not known.
  CHECK_THAT(runtime::memory_warning(4'000'000'000, 1'000'000'000),
             Catch::Contains("4400 MB") && Catch::Contains("1000 MB are free"));
}
