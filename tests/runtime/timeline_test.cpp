#include "runtime/timeline.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <nlohmann/json.hpp>

using namespace duet::runtime;

namespace {

std::vector<float> levels(double seconds, const std::vector<Segment>& loud) {
  std::vector<float> result(static_cast<std::size_t>(std::lround(seconds * 100)), -80.0F);
  for (const Segment& s : loud) {
    for (auto i = std::lround(s.start_s * 100); i < std::lround(s.end_s * 100); ++i) {
      result[static_cast<std::size_t>(i)] = -20.0F;
    }
  }
  return result;
}

/// A recorder fed with `num_steps` steps of the given events, each audible at its own end.
struct Feed {
  EngineInfo info;
  std::vector<StepOutput> steps;
  explicit Feed(std::size_t num_steps, bool has_head = false) : steps(num_steps) {
    info.has_user_activity = has_head;
  }
  Timeline finish(const std::vector<float>& user, const std::vector<float>& agent,
                  double compute_s = 0.008) {
    TimelineRecorder recorder(info);
    for (std::size_t t = 0; t < steps.size(); ++t) {
      recorder.add_step(steps[t], 0.08 * static_cast<double>(t + 1), compute_s);
    }
    return recorder.finish(user, agent);
  }
};

}  // namespace

TEST_CASE("a question and its answer: turns, words, reply latency", "[unit]") {
  Feed feed(60);
  feed.steps[15].user_text = " what is";
  feed.steps[28].user_text = " seven plus five";  // Recognised after the end, still of that turn.
  feed.steps[29].agent_turn_started = true;       // Text at 2.40 s, sound from 2.50 s.
  feed.steps[29].agent_text = "Twelve";
  feed.steps[30].agent_text = ".";
  feed.steps[40].agent_turn_ended = true;
  const Timeline timeline =
      feed.finish(levels(4.8, {{1.0, 1.5}, {1.8, 2.2}}), levels(4.8, {{2.5, 3.2}}));
  REQUIRE(timeline.user.size() == 1);
  CHECK(timeline.user[0].start_s == 1.0);
  CHECK(timeline.user[0].end_s == 2.2);
  CHECK(timeline.user[0].text == "what is seven plus five");
  CHECK(timeline.user_turns_from == "energy");
  REQUIRE(timeline.agent.size() == 1);
  CHECK(timeline.agent[0].start_s == 2.5);
  CHECK(timeline.agent[0].end_s == 3.2);
  CHECK(timeline.agent[0].text == "Twelve.");
  CHECK_FALSE(timeline.agent[0].cut);
  REQUIRE(timeline.reply_latency_s.size() == 1);
  CHECK(timeline.reply_latency_s[0] == Approx(0.3));
  CHECK(timeline.stop_latency_s.empty());
  CHECK(timeline.step_ms.p95 == Approx(8.0));
  CHECK(timeline.rtf == Approx(0.1));
  CHECK(timeline.num_steps == 60);
}

TEST_CASE("a barge-in: the reply is cut, the stop is timed, the next reply is its own turn",
          "[unit]") {
  Feed feed(150);
  feed.steps[20].agent_turn_started = true;
  feed.steps[20].agent_text = "Whales are mammals, so they";
  feed.steps[70].agent_turn_ended = true;
  feed.steps[100].agent_turn_started = true;  // 8.08 s
  feed.steps[100].agent_text = "Okay.";
  // The user begins at 5.0, the agent falls silent at 5.45, answers at 8.2.
  const Timeline timeline =
      feed.finish(levels(12, {{0.5, 1.5}, {5.0, 7.9}}), levels(12, {{1.8, 5.45}, {8.2, 8.9}}));
  REQUIRE(timeline.agent.size() == 2);
  CHECK(timeline.agent[0].cut);
  CHECK(timeline.agent[0].end_s == 5.45);
  CHECK(timeline.agent[1].text == "Okay.");
  CHECK_FALSE(timeline.agent[1].cut);
  REQUIRE(timeline.stop_latency_s.size() == 1);
  CHECK(timeline.stop_latency_s[0] == Approx(0.45));
  REQUIRE(timeline.reply_latency_s.size() == 2);
  CHECK(timeline.reply_latency_s[1] == Approx(0.3));
}

TEST_CASE("an agent that talks on is not cut, and never stopping is null in the file", "[unit]") {
  Feed feed(100);
  feed.steps[0].agent_turn_started = true;
  feed.steps[0].agent_text = "On and on";
  const Timeline timeline = feed.finish(levels(8, {{3.0, 3.4}}), levels(8, {{1.0, 8.0}}));
  CHECK_FALSE(timeline.agent.at(0).cut);
  REQUIRE(timeline.stop_latency_s.size() == 1);
  CHECK(std::isinf(timeline.stop_latency_s[0]));
  CHECK(nlohmann::json::parse(timeline.to_json())["stop_latency_s"][0].is_null());
  CHECK(timeline.summary(80).find("never") != std::string::npos);
}

TEST_CASE("sound that runs into the next reply is divided where that reply's text began",
          "[unit]") {
  Feed feed(100);
  feed.steps[11].agent_turn_started = true;
  feed.steps[11].agent_text = "One.";
  feed.steps[36].agent_turn_started = true;  // Audible at 2.96 s.
  feed.steps[36].agent_text = "Two.";
  const Timeline timeline = feed.finish(levels(8, {}), levels(8, {{1.1, 4.0}}));
  REQUIRE(timeline.agent.size() == 2);
  CHECK(timeline.agent[0].end_s == Approx(2.96));
  CHECK(timeline.agent[1].start_s == Approx(2.96));
  CHECK(timeline.agent[1].end_s == 4.0);
}

TEST_CASE("text without sound, sound without text and words without speech are all shown",
          "[unit]") {
  Feed feed(100);
  feed.steps[49].agent_turn_started = true;  // 4.0 s
  feed.steps[49].agent_text = "silent words";
  feed.steps[4].user_text = " hm";  // 0.4 s
  const Timeline timeline = feed.finish(levels(8, {}), levels(8, {{1.0, 2.0}}));
  REQUIRE(timeline.agent.size() == 2);
  CHECK(timeline.agent[0].text.empty());
  CHECK(timeline.agent[0].audible);
  CHECK(timeline.agent[1].text == "silent words");
  CHECK_FALSE(timeline.agent[1].audible);
  CHECK(timeline.agent[1].start_s == Approx(4.0));
  REQUIRE(timeline.user.size() == 1);
  CHECK(timeline.user[0].text == "hm");
  CHECK(timeline.reply_latency_s.empty());
}

TEST_CASE("the model's speech head decides about user turns where there is one", "[unit]") {
  Feed feed(100, true);
  for (std::size_t t = 13; t < 25; ++t) feed.steps[t].user_speaking = 0.9F;  // 1.04 to 2.0 s
  // The channel also has a door slam at 5 s, which is not speech.
  const Timeline timeline = feed.finish(levels(8, {{1.1, 1.95}, {5.0, 5.5}}), levels(8, {}));
  CHECK(timeline.user_turns_from == "model");
  REQUIRE(timeline.user.size() == 1);
  CHECK(timeline.user[0].start_s == 1.1);
  CHECK(timeline.user[0].end_s == 1.95);
}

TEST_CASE("timeline.json has its schema, names and rounding, whatever bytes the model says",
          "[unit]") {
  Timeline timeline;
  timeline.model_name = "coffee-bar";
  timeline.commit = "abc";
  timeline.agent.push_back({1.23456, 2.0, "caf\xff", true, true});
  timeline.reply_latency_s = {0.1234567};
  const auto json = nlohmann::json::parse(timeline.to_json());
  CHECK(json["schema"] == "duet.timeline/1");
  CHECK(json["model"]["name"] == "coffee-bar");
  CHECK(json["commit"] == "abc");
  CHECK(json["agent"][0]["start_s"] == 1.235);
  CHECK(json["agent"][0]["cut"] == true);
  CHECK(json["reply_latency_s"][0] == 0.123);
  CHECK(json["user"].is_array());
  for (const char* key : {"p50", "p95", "p99"}) CHECK(json["step_ms"].contains(key));
  CHECK(json.contains("rtf"));
}

TEST_CASE("the summary names latencies, speed and the budget", "[unit]") {
  Timeline timeline;
  timeline.reply_latency_s = {0.2, 0.3, 0.4};
  timeline.rtf = 0.125;
  timeline.step_ms = {7, 9, 11, 12};
  CHECK(timeline.summary(80.0) ==
        "reply latency  median 300 ms, p95 390 ms (n 3)\n"
        "stop latency   none to measure\n"
        "speed          RTF 0.125; step p50 7.0 ms, p95 9.0 ms, p99 11.0 ms (budget 80 ms)\n");
}
