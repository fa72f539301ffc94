#include "runtime/question_eval.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <nlohmann/json.hpp>

#include "audio/audio_file.h"
#include "runtime/core/error.h"
#include "tests/support/fake_engine.h"
#include "tests/support/temp_dir.h"

using namespace duet;
using namespace duet::runtime;
using Catch::Contains;
using support::TempDir;

namespace {

/// A folder with two utterances of 1 s and a manifest over them.
struct Corpus {
  TempDir dir;
  Corpus() {
    std::vector<float> hum(16000);
    for (std::size_t i = 0; i < hum.size(); ++i)
      hum[i] = 0.3F * static_cast<float>(std::sin(0.08 * static_cast<double>(i)));
    audio::write_wav_file(dir.file("a.wav"), hum, 16000);
    audio::write_wav_file(dir.file("b.wav"), hum, 16000);
  }
  std::string manifest(const std::string& lines) const {
    return dir.write("manifest.jsonl", lines);
  }
};

const char* const kSum =
    R"({"id":"q1","role":"user","split":"heldout","topic":"sum","text":"Seven plus five?","key":["twelve"],"reply":"Twelve.","file":"a.wav"})"
    "\n";

}  // namespace

TEST_CASE("a manifest gives the turns of one split that want a reply, dialogues in order",
          "[unit]") {
  const Corpus corpus;
  const std::string manifest = corpus.manifest(
      std::string(kSum) +
      R"({"id":"q2","role":"user","split":"train","topic":"sum","text":"x","key":["one"],"reply":"One.","file":"a.wav"})"
      "\n"
      R"({"id":"q3","role":"user","split":"heldout","topic":"backchannel","text":"uh-huh","key":[],"reply":"","file":"a.wav"})"
      "\n"
      R"({"id":"q5","role":"user","split":"heldout","topic":"correction","text":"make it small","key":{"slots":{"drink":"latte","size":"small"}},"reply":"A small latte.","file":"b.wav","dialog":"d1","turn":1})"
      "\n"
      R"({"id":"q4","role":"user","split":"heldout","topic":"order","text":"a latte","key":{"slots":{"drink":"latte"}},"reply":"A latte.","file":"a.wav","dialog":"d1","turn":0})"
      "\n"
      R"({"id":"a1","role":"agent","split":"heldout","topic":"reply","text":"Twelve.","file":"a.wav"})"
      "\n");
  const auto dialogs = load_eval_dialogs(manifest, "heldout", 0);
  REQUIRE(dialogs.size() == 2);
  const auto& order = dialogs[0].turns.size() == 2 ? dialogs[0] : dialogs[1];
  const auto& sum = dialogs[0].turns.size() == 2 ? dialogs[1] : dialogs[0];
  CHECK(order.turns.at(0).id == "q4");
  CHECK(order.turns.at(1).id == "q5");
  CHECK(order.turns[1].key.order == OrderSlots{{"drink", "latte"}, {"size", "small"}});
  CHECK(sum.turns.at(0).key.number == 12);
  CHECK(load_eval_dialogs(manifest, "heldout", 1).size() == 1);
  CHECK_THROWS_WITH(load_eval_dialogs(manifest, "none", 0), Contains("split \"none\""));
  CHECK_THROWS_AS(load_eval_dialogs(corpus.dir.file("missing.jsonl"), "heldout", 0),
                  core::LoadError);
  CHECK_THROWS_WITH(
      load_eval_dialogs(corpus.manifest(std::string(kSum) + "{nonsense\n"), "heldout", 0),
      Contains("line 2"));
}

TEST_CASE("an answer is timed and judged, by hand", "[unit]") {
  const Corpus corpus;
  const auto dialogs = load_eval_dialogs(corpus.manifest(kSum), "heldout", 0);
  support::FakeScript script;
  // The user speaks from 0.5 to 1.5 s. Step 20 is heard from 1.68 s on, for 10 steps.
  script.replies = {{.first_step = 20, .num_steps = 10, .text = "Seven plus five is twelve."}};
  const EvalReport report = evaluate_questions(support::FakeEngine(script), dialogs,
                                               {.session = {}, .save_dir = corpus.dir.file("out")});
  REQUIRE(report.turns.size() == 1);
  CHECK(report.turns[0].is_right);
  CHECK(report.turns[0].falls_silent);
  CHECK_FALSE(report.turns[0].has_false_alarm);
  CHECK(report.turns[0].score.is_success);
  CHECK(report.turns[0].score.latency_s == Approx(0.18).margin(0.011));
  CHECK(report.turns[0].reply_end_s == Approx(2.48).margin(0.011));
  CHECK(report.answered.value == 1.0);
  CHECK(report.right_by_topic.at("sum").value == 1.0);
  CHECK(audio::AudioFileReader(corpus.dir.file("out/q1.wav")).num_channels() == 2);
  CHECK(nlohmann::json::parse(TempDir::read(corpus.dir.file("out/results.jsonl")))["is_right"] ==
        true);
  CHECK(nlohmann::json::parse(report.to_json())["right"]["value"] == 1.0);
  CHECK_THAT(report.to_text(),
             Contains("answered within 3 s") && Contains("100.0 %") && Contains("n 1"));
}

TEST_CASE("no answer, a wrong one, one too early and one without end", "[unit]") {
  const Corpus corpus;
  const auto dialogs = load_eval_dialogs(corpus.manifest(kSum), "heldout", 0);
  const auto run = [&](std::vector<support::FakeReply> replies) {
    support::FakeScript script;
    script.replies = std::move(replies);
    return evaluate_questions(support::FakeEngine(script), dialogs, {}).turns.at(0);
  };
  const EvalTurnResult none = run({});
  CHECK_FALSE(none.score.is_success);
  CHECK_FALSE(none.is_right);
  CHECK(none.falls_silent);
  const EvalTurnResult wrong = run({{20, 10, "Seven plus five is thirteen."}});
  CHECK(wrong.score.is_success);
  CHECK_FALSE(wrong.is_right);
  const EvalTurnResult early = run({{10, 5, "Twelve."}});
  CHECK(early.has_false_alarm);
  const EvalTurnResult endless = run({{20, 100000, "Twelve."}});
  CHECK_FALSE(endless.falls_silent);
}

TEST_CASE("in quiet, every start is a false one", "[unit]") {
  support::FakeScript script;
  CHECK(evaluate_quiet(support::FakeEngine(script), 0.1, -40.0).starts.empty());
  script.replies = {{.first_step = 30, .num_steps = 10, .text = "Hello?"}};
  const QuietReport report = evaluate_quiet(support::FakeEngine(script), 0.1, -200.0);
  CHECK(report.starts.size() == 1);
  CHECK(report.text == "Hello?");
  CHECK(report.minutes == Approx(0.1));
}

TEST_CASE("a long conversation asks its share over and over, until its time is up", "[unit]") {
  const Corpus corpus;
  std::string lines;
  for (const char* id : {"q1", "q2", "q3"}) {
    std::string line = kSum;
    lines += line.replace(line.find("q1"), 2, id);
  }
  const auto dialogs = load_eval_dialogs(corpus.manifest(lines), "heldout", 0);
  const auto repeated = repeat_turns(dialogs, 2, 3);
  REQUIRE(repeated.size() == 2);
  CHECK(repeated[0].turns.size() == 6);
  CHECK(repeated[1].turns.size() == 3);
  CHECK(repeated[0].turns[0].id == repeated[0].turns[2].id);
  CHECK(repeated[0].turns[2].round == 1);
  CHECK_THROWS_WITH(repeat_turns(dialogs, 4, 1), Contains("4 questions that stand alone"));
  // Each turn takes 1 s and 3.2 s of waiting for an answer that never comes.
  const EvalReport report = evaluate_questions(support::FakeEngine(support::FakeScript{}),
                                               {repeated[0]}, {.max_dialog_s = 8.0});
  REQUIRE(report.turns.size() == 2);
  CHECK(report.turns[1].round == 0);
}

TEST_CASE("what the model's recogniser heard, and the drink of an order", "[unit]") {
  const Corpus corpus;
  const auto dialogs = load_eval_dialogs(
      corpus.manifest(
          R"({"id":"q4","role":"user","split":"heldout","topic":"order","text":"a latte","key":{"slots":{"drink":"latte","size":"large"}},"reply":"A latte.","file":"a.wav"})"
          "\n"),
      "heldout", 0);
  support::FakeScript script;
  script.replies = {{.first_step = 20, .num_steps = 10, .text = "A small latte, coming up."}};
  script.user_words = [](std::int64_t step) { return step == 12 ? " a latte" : ""; };
  const EvalTurnResult turn =
      evaluate_questions(support::FakeEngine(script), dialogs, {}).turns.at(0);
  CHECK(turn.heard == " a latte");
  CHECK_FALSE(turn.is_right);
  CHECK(turn.is_drink_right == true);
  script.replies[0].text = "A large mocha, coming up.";
  CHECK(evaluate_questions(support::FakeEngine(script), dialogs, {}).turns.at(0).is_drink_right ==
        false);
}

TEST_CASE("other voices need other dialogues", "[unit]") {
  const Corpus corpus;
  const auto dialogs = load_eval_dialogs(corpus.manifest(kSum), "heldout", 0);
  CHECK_THROWS_WITH(evaluate_questions(support::FakeEngine(support::FakeScript{}), dialogs,
                                       {.disturbance = {.speaker_db = -15.0}}),
                    Contains("two dialogues"));
}
