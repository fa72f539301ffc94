#include "runtime/bench/fdb_score.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "audio/audio_file.h"
#include "runtime/core/error.h"
#include "tests/support/polite_engine.h"
#include "tests/support/temp_dir.h"

using namespace duet;
using namespace duet::runtime;
using namespace duet::runtime::bench;
using Catch::Contains;
using support::TempDir;
namespace fs = std::filesystem;

namespace {

constexpr double kFrame = 0.0101;

/// Tones over these stretches of a channel.
std::vector<float> sound(double seconds, const std::vector<Segment>& where, int rate_hz = 16000) {
  std::vector<float> samples(static_cast<std::size_t>(seconds * rate_hz), 0.0F);
  for (const Segment& s : where)
    for (auto i = static_cast<std::size_t>(s.start_s * rate_hz);
         i < static_cast<std::size_t>(s.end_s * rate_hz); ++i)
      samples[i] = 0.3F * static_cast<float>(std::sin(0.08 * static_cast<double>(i)));
  return samples;
}

struct Folders {
  TempDir dir;
  void wav(const std::string& path, double seconds, const std::vector<Segment>& where) const {
    fs::create_directories(fs::path(dir.file(path)).parent_path());
    audio::write_wav_file(dir.file(path), sound(seconds, where), 16000);
  }
  void text(const std::string& path, const std::string& content) const {
    fs::create_directories(fs::path(dir.file(path)).parent_path());
    dir.write(path, content);
  }
  void words(const std::string& path, const std::vector<Segment>& where) const {
    std::string chunks;
    for (const Segment& s : where) {
      chunks += (chunks.empty() ? "" : ",") + std::string(R"({"text":"w","timestamp":[)") +
                std::to_string(s.start_s) + "," + std::to_string(s.end_s) + "]}";
    }
    text(path, R"({"text":"","chunks":[)" + chunks + "]}");
  }
  fdb::Report score(const fdb::ScoreOptions& options) const {
    return fdb::score(dir.path(), options);
  }
};

const fdb::Figure& figure(const fdb::Report& report, const std::string& name) {
  for (const auto& f : report.figures)
    if (f.name == name) return f;
  FAIL(name << " is not in\n" << report.to_text());
  throw 0;
}
double value(const fdb::Report& report, const std::string& name) {
  return figure(report, name).estimate.value;
}

}  // namespace

TEST_CASE("turn-taking: published code counts clean_output.json as a sample of its own", "[unit]") {
  const Folders f;
  const std::string a = "v1_0/candor_turn_taking/1/", b = "v1_0/candor_turn_taking/2/";
  f.text(a + "turn_taking.json", R"([{"text":"[TURN-TAKING]","timestamp":[4.0,4.1]}])");
  f.words(a + "output.json", {{4.5, 5.0}, {5.0, 6.0}});  // Turn, 0.5 s.
  f.words(a + "clean_output.json", {});                  // No turn.
  f.text(b + "turn_taking.json", R"([{"text":"[TURN-TAKING]","timestamp":[3.0,3.1]}])");
  f.words(b + "output.json", {{2.0, 4.0}});  // Turn, a second too early: 0.
  // Corrected: two samples, two turns. Published: three samples, two turns.
  const fdb::Report corrected = f.score({}), published = f.score({.is_compatible = true});
  CHECK(value(corrected, "TOR") == 1.0);
  CHECK(value(published, "TOR") == Approx(2.0 / 3.0));
  CHECK(figure(published, "TOR").estimate.n == 3);
  CHECK(value(corrected, "latency, mean") == Approx(0.25));
  CHECK(corrected.num_transcribed == 2);
  CHECK_THAT(published.to_text(), Contains("quirks included"));
  CHECK_THAT(corrected.to_text(), Contains("corrected") && Contains("2 samples from output.json"));
}

TEST_CASE("turn-taking without any turn: the published mean is a division by zero", "[unit]") {
  const Folders f;
  f.text("candor_turn_taking/1/turn_taking.json", R"([{"timestamp":[4.0,4.1]}])");
  f.words("candor_turn_taking/1/output.json", {});
  CHECK(std::isnan(value(f.score({.is_compatible = true}), "latency, mean")));
  CHECK(nlohmann::json::parse(f.score({.is_compatible = true}).to_json())["figures"][1]["value"]
            .is_null());
  CHECK(f.score({}).figures.size() == 1);
}

TEST_CASE("interruptions are counted after the user's end; pauses by any word", "[unit]") {
  const Folders f;
  const std::string a = "synthetic_user_interruption/7/";
  f.text(a + "interrupt.json", R"([{"context":"c","interrupt":"i","timestamp":[2.0,3.0]}])");
  f.words(a + "output.json", {{0.5, 2.5}, {3.7, 4.0}, {4.0, 4.9}});
  f.words("candor_pause_handling/1/output.json", {{1.0, 1.2}});
  f.words("candor_pause_handling/2/output.json", {{1.0, 2.2}});
  const fdb::Report report = f.score({});
  CHECK(report.figures.at(0).subset == "candor_pause_handling");
  CHECK(report.figures.at(0).estimate.value == 0.5);
  CHECK(report.figures.at(0).is_lower_better);
  CHECK(value(report, "latency, mean") == Approx(0.7));
}

TEST_CASE("words without a recogniser: a second of sound is a turn, less is not", "[unit]") {
  const Folders f;
  for (const auto& [id, seconds] : {std::pair{"1", 0.8}, std::pair{"2", 1.2}}) {
    const std::string folder = std::string("candor_turn_taking/") + id + "/";
    f.text(folder + "turn_taking.json", R"([{"timestamp":[2.0,2.1]}])");
    f.wav(folder + "output.wav", 6.0, {{3.0, 3.0 + seconds}});
  }
  const fdb::Report report = f.score({});
  CHECK(value(report, "TOR") == 0.5);
  // Silero's 30 ms before the sound.
  CHECK(value(report, "latency, mean") == Approx(0.97).margin(kFrame));
  CHECK(report.num_by_sound == 2);
  f.words("candor_turn_taking/2/output.json", {});
  CHECK(value(f.score({}), "TOR") == 0.0);
  CHECK(value(f.score({.uses_transcripts = false}), "TOR") == 0.5);
}

TEST_CASE("backchannels from sound: frequency, JSD, folders that are skipped", "[unit]") {
  const Folders f;
  // 1.05 to 1.33 s, 30 ms more on either side: windows 5 and 6 of int(4 / 0.2) + 1 = 21.
  f.wav("icc_backchannel/3/output.wav", 4.0, {{1.05, 1.33}});
  f.words("icc_backchannel/3/output.json", {{1.1, 1.3}});
  f.wav("icc_backchannel/speaker/output.wav", 4.0, {{0.5, 3.9}});
  std::string people = "{\"3\":[";
  for (int i = 0; i < 21; ++i)
    people += (i == 0 ? "" : ",") + std::string(i == 5 || i == 6 ? "1" : "0");
  f.text("people.json", people + "]}");
  const fdb::Report report = f.score({.people = f.dir.file("people.json")});
  CHECK(value(report, "TOR") == 0.0);
  CHECK(value(report, "backchannel frequency") == Approx(0.25));
  CHECK(value(report, "JSD") == Approx(0.0).margin(1e-3));
  // Without a transcript published code repeats the verdict of the sample before; there is none.
  f.wav("icc_backchannel/2/output.wav", 4.0, {{0.5, 3.9}});
  f.wav("icc_backchannel/11/output.wav", 4.0, {{0.5, 3.9}});
  const fdb::Report published = f.score({.is_compatible = true});
  CHECK(published.problems.size() == 1);
  CHECK_THAT(published.to_text(), Contains("icc_backchannel/2: no output.json"));
  CHECK(value(published, "TOR") == 0.0);  // 3: no; 11: as 3.
  CHECK(value(f.score({}), "TOR") == Approx(2.0 / 3.0));
}

TEST_CASE("v1.5: stop and response latency, all of them or those of the event", "[unit]") {
  const Folders f;
  const std::string a = "v1_5/user_interruption/1/";
  // User 1-2.5 (asks), 5-6.5 (interrupts); agent 3-5.8, 7.3-9. All borders 30 ms further out.
  // Overlap 4.97-5.83: 0.86 s. Responses: 2.53 -> 2.97: 0.44; 6.53 -> 7.27: 0.74.
  f.wav(a + "input.wav", 10.0, {{1.0, 2.5}, {5.0, 6.5}});
  f.wav(a + "output.wav", 10.0, {{3.0, 5.8}, {7.3, 9.0}});
  f.text(a + "metadata.json", R"({"timestamps":[5.0,6.5]})");
  const fdb::Report published = f.score({.is_compatible = true, .writes_intervals = true});
  CHECK(value(published, "stop latency, mean") == Approx(0.86).margin(2 * kFrame));
  CHECK(figure(published, "response latency, mean").estimate.n == 2);
  CHECK(value(published, "response latency, median") == Approx(0.59).margin(2 * kFrame));
  const fdb::Report corrected = f.score({});
  CHECK(figure(corrected, "response latency, mean").estimate.n == 1);
  CHECK(value(corrected, "response latency, p90") == Approx(0.74).margin(2 * kFrame));
  const auto file = nlohmann::json::parse(TempDir::read(f.dir.file(a + "latency_intervals.json")));
  CHECK(file["latency_stop_list"][0][0].get<double>() == Approx(4.97).margin(kFrame));
  CHECK(file["latency_resp_list"].size() == 2);
}

TEST_CASE("damaged samples are named, the others scored; nothing at all is an error", "[unit]") {
  const Folders f;
  f.words("candor_turn_taking/1/output.json", {{1.0, 3.0}});
  f.text("candor_turn_taking/2/turn_taking.json", "[{");
  f.text("candor_turn_taking/3/turn_taking.json", R"([{"timestamp":[4.0,4.1]}])");
  f.text("candor_turn_taking/3/output.json", R"({"chunks":[{"text":1}]})");
  f.text("candor_turn_taking/4/turn_taking.json", R"([{"timestamp":[0.5,0.6]}])");
  f.words("candor_turn_taking/4/output.json", {{1.0, 3.0}});
  const fdb::Report report = f.score({});
  CHECK(report.problems.size() == 3);
  CHECK(figure(report, "TOR").estimate.n == 1);
  const TempDir empty;
  CHECK_THROWS_AS(fdb::score(empty.path(), {}), core::LoadError);
}

TEST_CASE("words of a text channel lie in its sound, not in the silence between", "[unit]") {
  // "one two three" over 1-2 and 3-4 s: 4 + 4 + 6 characters of 2 s. "one" ends at 4/14 * 2 =
  // 0.571, "two" at 1.143: its middle, 0.857, is in the first stretch, where it ends; "three" is
  // the rest.
  const std::vector<Segment> speech = {{1.0, 2.0}, {3.0, 4.0}, {6.0, 6.5}};
  const std::vector<AgentTurn> turns = {{1.0, 4.0, "one two three", false, true}};
  const auto words = fdb::words_of(speech, turns);
  REQUIRE(words.size() == 5);
  CHECK(words[0].end_s == Approx(1.571).margin(1e-3));
  CHECK(words[1].text == "two");
  CHECK(words[1].end_s == Approx(2.0));
  CHECK(words[2].start_s == Approx(3.143).margin(1e-3));
  CHECK(words[2].end_s == Approx(4.0));
  CHECK(words[3].text == "[sound]");
  CHECK(words[4].end_s == Approx(6.5));
}

TEST_CASE("a suite becomes folders, a system answers them, and they are scored", "[unit]") {
  const TempDir dir;
  audio::write_wav_file(dir.file("turn.wav"), sound(0.96, {{0.0, 0.96}}), 16000);
  audio::write_wav_file(dir.file("word.wav"), sound(0.16, {{0.0, 0.16}}), 16000);
  const Script script = load_script(dir.write("suite.yaml", R"(
schema: duet.bench/1
name: test
lead_s: 0.48
dialogs:
  - id: d1
    events:
      - {kind: question, audio: turn.wav, text: "how much", reply_s: 4}
      - {kind: interruption, audio: turn.wav, text: "wait", anchor: halved_silence, offset_s: 1}
  - id: d2
    events:
      - {kind: pause, audio: turn.wav, pause_s: 0.8}
      - {kind: question, audio: turn.wav, reply_s: 4}
      - {kind: backchannel, audio: word.wav, text: "mm", anchor: after_agent_onset, offset_s: 1}
)"));
  const std::string root = dir.file("fdb");
  CHECK(fdb::make_from_suite(script, root) == 3);
  const std::string a = root + "/v1_0/synthetic_user_interruption/1/";
  const auto interrupt = nlohmann::json::parse(TempDir::read(a + "interrupt.json"))[0];
  CHECK(interrupt["context"] == "how much");
  CHECK(interrupt["interrupt"] == "wait");
  // As the fixed timeline has it: suite_run_test.
  CHECK(interrupt["timestamp"][0].get<double>() == Approx(4.26).margin(kFrame));
  CHECK(interrupt["timestamp"][1].get<double>() == Approx(5.22).margin(kFrame));
  CHECK(fs::exists(a + "context.wav"));
  CHECK(fs::exists(root + "/v1_5/user_backchannel/1/clean_input.wav"));
  // 12 silent steps before an answer: the pause of 0.8 s is waited out.
  const support::PoliteEngine engine({.answer_after = 12});
  CHECK(fdb::answer(EngineSystem(engine), root, {}, false, {}).empty());
  const audio::AudioClip input = audio::load_audio_file(a + "input.wav");
  const audio::AudioClip output = audio::load_audio_file(a + "output.wav");
  CHECK(output.rate_hz == 24000);
  CHECK(output.samples.size() * 2 == input.samples.size() * 3);
  CHECK(fs::exists(root + "/v1_5/user_backchannel/1/clean_output.wav"));
  const fdb::Report report = fdb::score(root, {});
  // The interruption ends at 5.22 s, in step 65; steps 66 to 77 are silent, so 78 * 0.08 = 6.24 s
  // is when the answer is heard, and its first word with it.
  CHECK(value(report, "latency, mean") == Approx(6.24 - 5.22).margin(2 * kFrame));
  CHECK(report.problems.empty());
  const auto chunks = nlohmann::json::parse(TempDir::read(a + "output.json"))["chunks"];
  CHECK(chunks[0]["text"] == "Twelve.");
  // What is there is not done again; a system that fails is named.
  fs::remove(a + "output.wav");
  const support::PoliteEngine broken({.throw_at = 3});
  CHECK(fdb::answer(EngineSystem(broken), root, {}, false, {}).size() == 1);
}
