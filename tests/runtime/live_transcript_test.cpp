#include "runtime/live_transcript.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

using duet::runtime::EngineInfo;
using duet::runtime::LiveStep;
using duet::runtime::LiveTranscript;

namespace {

/// A conversation by script: one call a step.
struct Script {
  EngineInfo info = [] {
    EngineInfo result;
    result.model_name = "fake";
    result.has_user_activity = true;
    return result;
  }();
  LiveTranscript transcript{info};
  int t = 0;

  void step(const std::string& agent, bool starts, bool ends, bool is_audible,
            const std::string& user = "", bool is_speaking = false) {
    LiveStep now;
    now.captured_until_s = 0.08 * ++t;
    now.audible_at_s = now.captured_until_s + 0.02;
    now.out.agent_text = agent;
    now.out.agent_turn_started = starts;
    now.out.agent_turn_ended = ends;
    now.out.user_text = user;
    now.out.user_speaking = is_speaking ? 0.9F : 0.1F;
    now.out.pcm.assign(1920, is_audible ? 0.2F : 0.0F);
    transcript.add(now);
  }
  void quiet(int steps) {
    for (int i = 0; i < steps; ++i) step("", false, false, false);
  }
};

}  // namespace

TEST_CASE("both sides become lines; a whole reply is heard whole", "[unit]") {
  Script script;
  script.step("", false, false, false, " a large", true);
  script.step("", false, false, false, " latte", true);
  script.step("Sure,", true, false, true);
  script.step(" a large latte", false, true, true);
  for (int i = 0; i < 15; ++i) script.step("", false, false, true);
  script.quiet(6);
  script.quiet(10);
  script.step("", false, false, false, " thanks", true);
  const auto& lines = script.transcript.lines();
  REQUIRE(lines.size() == 3);
  CHECK(lines[0].text == " a large latte");
  CHECK(lines[1].is_agent);
  CHECK(lines[1].text == "Sure, a large latte");
  CHECK(lines[1].num_heard == lines[1].text.size());
  CHECK(lines[1].start_s == Approx(0.26));
  CHECK(lines[1].end_s == Approx(0.26 + 17 * 0.08));
  CHECK(lines[2].text == " thanks");
  CHECK_THAT(script.transcript.to_text(),
             Catch::Contains("[00:00:00.260] agent: Sure, a large latte\n"));
}

TEST_CASE("words there was no time to speak before the user cut in are unheard", "[unit]") {
  Script script;
  script.step("One two three four five six seven eight nine ten", true, false, true);
  for (int i = 0; i < 10; ++i) script.step("", false, false, true);
  script.step("", false, true, false, " stop", true);
  script.quiet(6);
  const auto& line = script.transcript.lines().front();
  // 0.88 s at 15 characters a second: 13.
  CHECK(line.text.substr(0, line.num_heard) == "One two three");
  CHECK_THAT(script.transcript.to_text(),
             Catch::Contains("agent: One two three [unheard: four five six seven eight nine ten]"));
  CHECK_THAT(script.transcript.to_srt(),
             Catch::Contains("1\n00:00:00,100 --> 00:00:00,980\nAgent: One two three [four"));
  CHECK_THAT(script.transcript.to_json(), Catch::Contains("\"text\": \"One two three\"") &&
                                              Catch::Contains("\"unheard\": \"four five") &&
                                              Catch::Contains("duet.transcript/1"));
}

TEST_CASE("without the user in it, a quick talker is not taken for cut", "[unit]") {
  Script script;
  script.step("One two three four five six seven eight nine ten", true, true, true);
  script.quiet(8);
  const auto& line = script.transcript.lines().front();
  CHECK(line.num_heard == line.text.size());
}
