#include "runtime/echo_bench_talk.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>

#include "runtime/core/error.h"
#include "runtime/echo_bench_score.h"
#include "tests/support/polite_engine.h"
#include "tests/support/speech_like.h"

using namespace duet;
using runtime::RoomTalk;
using runtime::RoomTalkPlan;
using support::PoliteEngine;

namespace {

runtime::PlacedTurn turn(double start_s) {
  auto samples = runtime::at_level(test::speech_like(16000, 16000, 3), -26.0);
  return {{std::move(samples), {0.05, 0.95}}, start_s};
}

RoomTalkPlan plan_without_echo() {
  RoomTalkPlan plan;
  plan.room.rt60_s = 0.2;
  plan.room.echo_gain_db = -80.0;
  plan.echo.backend = audio::EchoConfig::Backend::kNone;
  plan.turns = {turn(0.5), turn(0.5)};
  return plan;
}

}  // namespace

TEST_CASE("turns lie where they are placed, the agent where the loudspeaker plays it", "[e2e]") {
  const PoliteEngine engine({.answer_after = 5, .answer_steps = 20, .stop_after = 0});
  RoomTalkPlan plan = plan_without_echo();
  plan.turns[1].start_s = 6.0;
  plan.max_seconds = 5.0;  // Before the second.
  plan.keeps_samples = true;
  const RoomTalk talk = converse_in_room(engine, plan);
  REQUIRE(talk.users.size() == 1);
  CHECK(talk.users[0].start_s == Approx(0.55));
  CHECK(talk.users[0].end_s == Approx(1.45));
  REQUIRE(talk.agent.segments.size() == 1);
  // Five silent steps after the last sound, that step itself, less than 25 ms of our own.
  CHECK(talk.agent.segments[0].start_s > 1.5 + 5 * 0.08 - 0.1);
  CHECK(talk.agent.segments[0].start_s < 1.5 + 7 * 0.08 + 0.1);
  CHECK(talk.agent.segments[0].seconds() == Approx(20 * 0.08).margin(0.03));
  REQUIRE(talk.replies.size() == 1);
  CHECK(talk.replies[0].text == "Twelve.");
  CHECK(talk.far_db.size() == 500);
  CHECK(talk.near_db.size() == 500);
  CHECK(talk.near.size() == 5 * 16000);
  CHECK(talk.num_steps >= 61);
  CHECK(talk.num_failures == 0);
  // Without a canceller the model hears the microphone as it is.
  const auto size = std::min(talk.near.size(), talk.heard.size());
  CHECK(runtime::kept_db(std::span(talk.near).first(size), std::span(talk.heard).first(size)) ==
        Approx(0.0).margin(0.1));
}

TEST_CASE("what the canceller adds in time is taken off what the model heard", "[dsp]") {
  const PoliteEngine engine({.answer_steps = 1});
  RoomTalkPlan plan = plan_without_echo();
  plan.echo = {};  // The full chain.
  plan.turns.resize(1);
  plan.max_seconds = 2.0;
  plan.keeps_samples = true;
  const RoomTalk talk = converse_in_room(engine, plan);
  const auto size = std::min(talk.near.size(), talk.heard.size());
  CHECK(runtime::kept_db(std::span(talk.near).first(size), std::span(talk.heard).first(size)) ==
        Approx(0.0).margin(0.1));
}

TEST_CASE("reactive: the next turn comes a second after the answer, or when none comes", "[e2e]") {
  SECTION("answered") {
    const PoliteEngine engine({.answer_after = 5, .answer_steps = 20, .stop_after = 0});
    RoomTalkPlan plan = plan_without_echo();
    plan.is_reactive = true;
    const RoomTalk talk = converse_in_room(engine, plan);
    REQUIRE(talk.agent.segments.size() == 2);
    CHECK(talk.turns[1].start_s == Approx(talk.agent.segments[0].end_s + 1.0).margin(0.03));
    CHECK(talk.agent.end_s == Approx(talk.agent.segments[1].end_s + 1.0).margin(0.03));
    // The same once more with the turns where they came to lie.
    plan.turns = talk.turns;
    plan.is_reactive = false;
    plan.max_seconds = talk.agent.end_s;
    const RoomTalk again = converse_in_room(engine, plan);
    CHECK(again.far_db.size() == talk.far_db.size());
    CHECK(std::equal(again.far_db.begin(), again.far_db.end(), talk.far_db.begin()));
  }
  SECTION("enough played") {
    const PoliteEngine engine({.answer_after = 5, .answer_steps = 20, .stop_after = 0});
    RoomTalkPlan plan = plan_without_echo();
    plan.is_reactive = true;
    plan.max_playback_seconds = 1.0;
    CHECK(converse_in_room(engine, plan).turns.size() == 1);
  }
  SECTION("no answer") {
    const PoliteEngine engine({.answer_after = 1000});
    RoomTalkPlan plan = plan_without_echo();
    plan.is_reactive = true;
    const RoomTalk talk = converse_in_room(engine, plan);
    REQUIRE(talk.turns.size() == 2);
    CHECK(talk.turns[1].start_s == Approx(talk.users[0].end_s + 4.0).margin(0.03));
  }
}

TEST_CASE("a room of another rate is refused; a stopped conversation says so", "[unit]") {
  const PoliteEngine engine;
  RoomTalkPlan plan = plan_without_echo();
  plan.should_stop = [] { return true; };
  CHECK(converse_in_room(engine, plan).is_stopped);
  plan.room.rate_hz = 48000;
  CHECK_THROWS_WITH(converse_in_room(engine, plan), Catch::Contains("16000 Hz"));
}
