#include "runtime/bench/suite_run.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <filesystem>
#include <limits>

#include "audio/audio_file.h"
#include "runtime/bench/conversation.h"
#include "runtime/bench/make_suite.h"
#include "runtime/bench/metrics.h"
#include "runtime/bench/report.h"
#include "runtime/core/error.h"
#include "tests/support/polite_engine.h"
#include "tests/support/temp_dir.h"

using namespace duet;
using namespace duet::runtime;
using namespace duet::runtime::bench;
using Catch::Contains;
using support::Manners;
using support::PoliteEngine;
using support::TempDir;

namespace {

constexpr double kFrame = 0.0101;

std::vector<float> hum(double seconds, float level = 0.3F) {
  std::vector<float> samples(static_cast<std::size_t>(seconds * 16000));
  for (std::size_t i = 0; i < samples.size(); ++i)
    samples[i] = level * static_cast<float>(std::sin(0.08 * static_cast<double>(i)));
  return samples;
}

/// Sounds of 0.96 s (12 steps) and 0.16 s, and scripts over them.
struct Suite {
  TempDir dir;
  Suite() {
    audio::write_wav_file(dir.file("turn.wav"), hum(0.96), 16000);
    audio::write_wav_file(dir.file("word.wav"), hum(0.16), 16000);
  }
  Script load(const std::string& events, int num_dialogs = 1) const {
    std::string text = "schema: duet.bench/1\nname: test\nlead_s: 0.48\ndialogs:\n";
    for (int i = 1; i <= num_dialogs; ++i)
      text += "  - id: d" + std::to_string(i) + "\n    events:\n" + events;
    return load_script(dir.write("suite.yaml", text));
  }
};

const std::string kAsk =
    "      - {kind: question, audio: turn.wav, reply_s: 4, key: {number: 12}}\n";
const std::string kInterrupt =
    "      - {kind: interruption, audio: turn.wav, anchor: halved_silence, offset_s: 1}\n";
const std::string kBackchannel =
    "      - {kind: backchannel, audio: word.wav, anchor: after_agent_onset, offset_s: 1}\n";

DialogResult run_one(const Script& script, const Manners& manners, Mode mode = Mode::kFixed) {
  const SuiteResult result =
      run_suite(PoliteEngine(manners), script, {.mode = mode, .num_threads = 1});
  REQUIRE(result.dialogs.size() == 1);
  return result.dialogs[0];
}

/// A report without what depends on the machine.
std::string without_speed(const SuiteResult& result) {
  const std::string json = to_json(result);
  return json.substr(0, json.find("\"speed\""));
}

}  // namespace

TEST_CASE("fixed timeline: halved silence, reply and stop latency by hand", "[unit]") {
  const Suite suite;
  const DialogResult dialog = run_one(suite.load(kAsk + kInterrupt), {});
  REQUIRE(dialog.events.size() == 2);
  // The question lies in 0.48 to 1.44 s, steps 6 to 17. Steps 18 to 22 are five silent ones: step
  // 22 answers, heard at 23 * 0.08 = 1.84 s.
  const EventResult& ask = dialog.events[0];
  CHECK(ask.user.start_s == Approx(0.48).margin(kFrame));
  CHECK(ask.user.end_s == Approx(1.44).margin(kFrame));
  REQUIRE(ask.reply);
  CHECK(ask.reply->is_success);
  CHECK(ask.reply->latency_s == Approx(0.40).margin(kFrame));
  CHECK(ask.reply_text == "Twelve.");
  CHECK(ask.is_right == true);
  CHECK(ask.has_false_alarm == false);
  // Half of 0.64 + 4 + 1 s after 1.44: 4.26 s, inside step 53; it is the first block with sound
  // enough, step 56 the fourth, silent from 57 * 0.08 = 4.56 s on.
  const EventResult& barge = dialog.events[1];
  CHECK(barge.user.start_s == Approx(4.26).margin(kFrame));
  CHECK(barge.is_agent_active);
  CHECK(barge.has_control);
  REQUIRE(barge.stop);
  CHECK(barge.stop->is_counted);
  CHECK(barge.stop->is_success);
  CHECK(barge.stop->latency_s == Approx(0.30).margin(2 * kFrame));
  CHECK(barge.reply->is_success);
}

TEST_CASE("an agent that would have been done anyway does not count as stopped", "[unit]") {
  const Suite suite;
  // Answers end at 1.84 + 40 * 0.08 = 5.04 s, less than 1.5 s after the interruption at 4.26 s.
  const DialogResult dialog = run_one(suite.load(kAsk + kInterrupt), {.answer_steps = 40});
  CHECK(dialog.events[1].is_agent_active);
  CHECK(dialog.events[1].has_control);
  CHECK_FALSE(dialog.events[1].stop->is_counted);
}

TEST_CASE("an answer that had just begun counts for the paper's figure only", "[unit]") {
  const Suite suite;
  // Step 17 + 33 answers, heard from 4.08 s on, 0.18 s before the interruption at 4.26 s.
  const DialogResult dialog = run_one(suite.load(kAsk + kInterrupt), {.answer_after = 33});
  const EventResult& barge = dialog.events[1];
  CHECK(barge.is_agent_active);
  CHECK_FALSE(barge.stop->is_counted);
  CHECK(barge.stop->latency_s == Approx(0.30).margin(2 * kFrame));
}

TEST_CASE("an agent that never stops, and one that never answers", "[unit]") {
  const Suite suite;
  const Script script = suite.load(kAsk + kInterrupt);
  const DialogResult stubborn = run_one(script, {.answer_steps = 1000, .stop_after = 0});
  CHECK(stubborn.events[1].stop->is_counted);
  CHECK_FALSE(stubborn.events[1].stop->is_success);
  CHECK(std::isinf(stubborn.events[1].stop->latency_s));
  const DialogResult mute = run_one(script, {.answer_after = 100000});
  CHECK_FALSE(mute.events[0].reply->is_success);
  CHECK_FALSE(mute.events[1].is_agent_active);
  CHECK_FALSE(mute.events[1].stop->is_counted);
  CHECK(mute.events[0].is_right == false);
}

TEST_CASE("reactive: the user interrupts 1.2 s into an answer, however late it comes", "[unit]") {
  const Suite suite;
  for (const int answer_after : {3, 12, 25}) {
    const DialogResult dialog =
        run_one(suite.load(kAsk + kInterrupt), {.answer_after = answer_after}, Mode::kReactive);
    const double onset_s = dialog.events[0].reply->at_s + dialog.events[0].reply->latency_s;
    CHECK(dialog.events[1].user.start_s == Approx(onset_s + 1.2).margin(kFrame));
    CHECK(dialog.events[1].stop->is_counted);
  }
  // Without an answer the user goes on after 3.2 s.
  const DialogResult mute =
      run_one(suite.load(kAsk + kInterrupt), {.answer_after = 100000}, Mode::kReactive);
  CHECK(mute.events[1].user.start_s == Approx(1.44 + 3.2).margin(0.09));
}

TEST_CASE("backchannels: going on and stopping are told apart by the control run", "[unit]") {
  const Suite suite;
  const Script script = suite.load(kAsk + kBackchannel);
  const DialogResult robust = run_one(script, {});
  REQUIRE(robust.events[1].goes_on);
  CHECK(robust.events[1].has_control);
  CHECK(robust.events[1].goes_on->is_counted);
  CHECK(robust.events[1].goes_on->is_success);
  const DialogResult jumpy = run_one(script, {.stop_after = 1});
  CHECK(jumpy.events[1].goes_on->is_counted);
  CHECK_FALSE(jumpy.events[1].goes_on->is_success);
}

TEST_CASE("a pause that is waited out and one that is taken over", "[unit]") {
  const Suite suite;
  const Script script = suite.load(
      "      - {kind: pause, audio: turn.wav, pause_s: 0.8}\n"
      "      - {kind: question, audio: turn.wav}\n");
  const DialogResult patient = run_one(script, {.answer_after = 12});
  // The silence lies between what is audible: 1.44 to 2.24 s.
  CHECK(patient.events[1].user.start_s == Approx(2.24).margin(kFrame));
  CHECK(patient.events[0].pause->is_counted);
  CHECK(patient.events[0].pause->is_success);
  CHECK(patient.events[1].reply->is_success);
  const DialogResult hasty = run_one(script, {.answer_after = 4});
  CHECK_FALSE(hasty.events[0].pause->is_success);
  CHECK(hasty.events[0].pause->latency_s == Approx(0.32).margin(kFrame));
}

TEST_CASE("an agent that hears itself: false stops are found", "[unit]") {
  const Suite suite;
  const Script script =
      suite.load(kAsk + "      - {kind: echo, anchor: after_user_end, seconds: 6, gain_db: -6}\n");
  const DialogResult robust = run_one(script, {.threshold = 0.15F});
  CHECK(robust.events[1].num_false_starts == 0);
  // It falls silent at its own sound, then answers that.
  const DialogResult startled = run_one(script, {});
  CHECK(startled.events[1].num_false_starts >= 1);
}

TEST_CASE("threads change nothing, files resume, a stop is a stop", "[unit]") {
  const Suite suite;
  const Script script = suite.load(kAsk + kInterrupt, 6);
  const PoliteEngine engine;
  const SuiteResult one = run_suite(engine, script, {.num_threads = 1});
  const std::string folder = suite.dir.file("work");
  std::size_t num_done = 0;
  const SuiteHooks stop_after_two = {
      .on_progress = [&](std::size_t done, std::size_t) { num_done = done; },
      .should_stop = [&] { return num_done >= 2; }};
  const SuiteResult part =
      run_suite(engine, script, {.folder = folder, .num_threads = 1}, stop_after_two);
  CHECK_FALSE(part.is_complete());
  CHECK(part.dialogs.size() == 2);
  TempDir::read(folder + "/d1.json");
  suite.dir.write("work/d2.json", "{damaged");
  const SuiteResult rest = run_suite(engine, script, {.folder = folder, .num_threads = 3});
  CHECK(rest.is_complete());
  CHECK(rest.num_resumed == 1);
  CHECK(without_speed(rest) == without_speed(one));
  CHECK(audio::AudioFileReader(folder + "/d6.wav").num_channels() == 2);
  // Another seed is another run.
  CHECK(run_suite(engine, script, {.session = {.seed = 9}, .folder = folder}).num_resumed == 0);
  CHECK(run_suite(engine, script, {.num_threads = 2, .limit = 2}).dialogs.size() == 2);
}

TEST_CASE("an engine that fails gives a row, unreadable audio ends the run", "[unit]") {
  const Suite suite;
  const Script script = suite.load(kAsk);
  const SuiteResult result = run_suite(PoliteEngine({.throw_at = 10}), script, {});
  REQUIRE(result.dialogs.size() == 1);
  CHECK_THAT(result.dialogs[0].error, Contains("scripted failure"));
  CHECK_THAT(to_text(result), Contains("failed dialogues: 1"));
  suite.dir.write("turn.wav", "no sound at all");
  CHECK_THROWS_AS(run_suite(PoliteEngine(), script, {.num_threads = 2}), core::LoadError);
}

TEST_CASE("finished outputs are scored as the engine that made them", "[unit]") {
  const Suite suite;
  const Script script = suite.load(kAsk + kInterrupt);
  const std::string heard = suite.dir.file("user");
  CHECK(render_suite(script, heard) == 2);
  // Another program runs the engine over the rendered files.
  const std::string outputs = suite.dir.file("system x");
  std::filesystem::create_directories(outputs);
  for (const char* name : {"d1.wav", "d1.without-e2.wav"}) {
    const audio::AudioClip user = audio::load_audio_file(heard + "/" + name);
    const PoliteEngine engine;
    const auto session = engine.make_session({});
    std::vector<float> agent(1920, 0.0F);
    StepOutput out;
    for (std::size_t i = 0; i + 1280 <= user.samples.size(); i += 1280) {
      session->step(std::span(user.samples).subspan(i, 1280), out);
      agent.insert(agent.end(), out.pcm.begin(), out.pcm.end());
    }
    audio::write_wav_file(outputs + "/" + name, agent, 24000);
  }
  const SuiteResult result = score_outputs(script, outputs, suite.dir.file("kept"));
  CHECK(result.system == "system x");
  const DialogResult direct = run_one(script, {});
  REQUIRE(result.dialogs[0].events.size() == 2);
  const EventScore& stop = *result.dialogs[0].events[1].stop;
  CHECK(stop.is_counted);
  CHECK(stop.latency_s == Approx(direct.events[1].stop->latency_s).margin(kFrame));
  CHECK(result.dialogs[0].events[0].reply->latency_s ==
        Approx(direct.events[0].reply->latency_s).margin(kFrame));
  CHECK_FALSE(result.dialogs[0].events[0].is_right);
  // The agent of a stereo file is on the right; a control run that falls silent is believed.
  const audio::AudioClip agent = audio::load_audio_file(outputs + "/d1.wav");
  std::vector<float> stereo(2 * agent.samples.size(), 0.0F);
  for (std::size_t i = 0; i < agent.samples.size(); ++i) stereo[2 * i + 1] = agent.samples[i];
  audio::write_wav_file(outputs + "/d1.wav", stereo, 24000, 2);
  CHECK(score_outputs(script, outputs).dialogs[0].events[1].stop->is_counted);
  audio::write_wav_file(outputs + "/d1.without-e2.wav", std::vector<float>(150000, 0.0F), 24000);
  const EventResult silent = score_outputs(script, outputs).dialogs[0].events[1];
  CHECK(silent.is_agent_active);
  CHECK_FALSE(silent.stop->is_counted);
  std::filesystem::remove(outputs + "/d1.wav");
  CHECK_FALSE(score_outputs(script, outputs).dialogs[0].error.empty());
  CHECK_THROWS_AS(score_outputs(script, suite.dir.file("none")), core::LoadError);
}
