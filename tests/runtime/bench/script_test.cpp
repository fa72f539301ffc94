#include "runtime/bench/script.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "audio/audio_file.h"
#include "runtime/bench/answer_key_json.h"
#include "runtime/core/error.h"
#include "tests/support/temp_dir.h"

using namespace duet;
using namespace duet::runtime;
using namespace duet::runtime::bench;
using Catch::Contains;
using support::TempDir;

namespace {

/// A folder with a.wav and whatever script is written beside it.
struct Suite {
  TempDir dir;
  Suite() { audio::write_wav_file(dir.file("a.wav"), std::vector<float>(16000, 0.3F), 16000); }
  Script load(const std::string& text) const { return load_script(dir.write("suite.yaml", text)); }
  Script load_events(const std::string& events) const {
    return load("schema: duet.bench/1\nname: test\ndialogs:\n  - id: d1\n    events:\n" + events);
  }
};

const std::string kQuestion = "      - {kind: question, audio: a.wav}\n";

}  // namespace

TEST_CASE("a script is read with its defaults, keys and draws", "[unit]") {
  const Suite suite;
  const std::string text = R"(
schema: duet.bench/1
name: all kinds
mode: reactive
seed: 5
dialogs:
  - id: d1
    events:
      - {kind: question, audio: a.wav, text: "Three plus four?", reply_s: 2.5, key: {number: 7}}
      - {kind: backchannel, audio: a.wav, anchor: after_agent_onset, offset_s: [0.8, 1.4]}
      - {kind: interruption, audio: a.wav, anchor: halved_silence, offset_s: 1, key: [paris]}
      - {kind: pause, audio: a.wav, pause_s: [0.4, 1.5]}
      - {kind: question, audio: a.wav, key: {slots: {drink: latte}}}
      - {kind: noise, audio: a.wav, gain_db: -6, anchor: at, offset_s: 30}
      - {kind: second_speaker, audio: a.wav, id: other}
      - {kind: echo, anchor: after_user_end, seconds: 8, gain_db: -20, delay_ms: 120}
)";
  const Script script = suite.load(text);
  CHECK(script.mode == Mode::kReactive);
  REQUIRE(script.dialogs.size() == 1);
  const auto& events = script.dialogs[0].events;
  REQUIRE(events.size() == 8);
  CHECK(events[0].id == "e1");
  CHECK(events[0].anchor == Anchor::kAt);
  CHECK(events[0].offset_s == 0.5);
  CHECK(events[0].key->number == 7);
  CHECK(events[0].wants_reply);
  CHECK(events[1].offset_s > 0.8);
  CHECK(events[1].offset_s < 1.4);
  CHECK_FALSE(events[1].wants_reply);
  CHECK(events[2].key->any_of == std::vector<std::vector<std::string>>{{"paris"}});
  CHECK(events[3].pause_s > 0.4);
  CHECK(events[4].anchor == Anchor::kAfterUserEnd);
  CHECK(events[4].offset_s == events[3].pause_s);
  CHECK(events[4].key->order == OrderSlots{{"drink", "latte"}});
  CHECK(events[5].gain_db == -6.0);
  CHECK(events[6].id == "other");
  CHECK(events[7].seconds == 8.0);
  const Script again = suite.load(text);
  CHECK(again.fingerprint == script.fingerprint);
  CHECK(again.dialogs[0].events[1].offset_s == events[1].offset_s);
  Script other = suite.load("seed: 6\n" + std::string(text).erase(text.find("seed: 5"), 8));
  CHECK(other.fingerprint != script.fingerprint);
  CHECK(other.dialogs[0].events[1].offset_s != events[1].offset_s);
}

TEST_CASE("whatever is wrong with a script is named", "[unit]") {
  const Suite suite;
  const auto check = [&](const std::string& events, const std::string& what) {
    CAPTURE(events);
    CHECK_THROWS_WITH(suite.load_events(events), Contains(what) && Contains("suite.yaml"));
  };
  check("      - {kind: quetsion, audio: a.wav}\n", "quetsion");
  check("      - {kind: question, audio: a.wav, ofset_s: 1}\n", "ofset_s");
  check("      - {kind: question, audio: b.wav}\n", "b.wav");
  check("      - {kind: question}\n", "text to be spoken");
  check("      - {kind: question, audio: a.wav, anchor: after_agent_end}\n", "first event");
  check("      - {kind: question, audio: a.wav, offset_s: [2, 1]}\n", "low <= high");
  check("      - {kind: question, audio: a.wav, id: ../x}\n", "letters, digits");
  check("      - {kind: question, audio: a.wav, key: {slot: {}}}\n", "any, slots, number");
  check(kQuestion + "      - {kind: noise, audio: a.wav, id: e1}\n", "a name of its own");
  check("      - {kind: pause, audio: a.wav, pause_s: 1}\n", "rest of the turn");
  check("      - {kind: pause, audio: a.wav}\n" + kQuestion, "pause_s");
  check("      - {kind: pause, audio: a.wav, pause_s: 1}\n      - {kind: noise, audio: a.wav}\n",
        "rest of the turn");
  check("      - {kind: echo}\n", "seconds");
  CHECK_THROWS_WITH(suite.load("schema: duet.bench/2\nname: x\n"), Contains("duet.bench/1"));
  CHECK_THROWS_WITH(suite.load("schema: duet.bench/1\nname: x\n"), Contains("dialogs"));
}

TEST_CASE("keys survive being written", "[unit]") {
  for (const char* text : {R"(["a","b"])", R"({"any":[["a"],["b","c"]]})", R"({"number":-3})",
                           R"({"slots":{"drink":"latte","size":"large"}})"})
    CHECK(answer_key_to_json(answer_key_from_json(text)) == text);
  CHECK(answer_key_from_json(R"(["twelve"])", "sum").number == 12);
  CHECK_THROWS_AS(answer_key_from_json(R"({"any": 3})"), core::ConfigError);
}
