#include "runtime/server/turn_clock.h"

#include <catch2/catch.hpp>

using namespace duet;
using server::TurnClock;

namespace {

struct Follower {
  runtime::EngineInfo info;
  server::Metrics metrics;
  TurnClock clock;
  server::Step step;

  explicit Follower(bool has_activity = true) : clock(info, metrics) {
    info.has_user_activity = has_activity;
  }
  void follow(int num, float speaking, float level = 0.0F) {
    for (int i = 0; i < num; ++i) {
      step.out.user_speaking = speaking;
      step.input_level = level;
      clock.follow(step);
      ++step.index;
      step.out.agent_turn_started = step.out.agent_turn_ended = false;
    }
  }
};

}  // namespace

TEST_CASE("speech begins after two loud steps and ends after six quiet ones, at their first",
          "[unit]") {
  Follower f;
  f.follow(5, 0.1F);
  f.follow(1, 0.9F);
  CHECK_FALSE(f.clock.user_speaks());
  f.follow(1, 0.9F);
  CHECK(f.clock.user_started());
  CHECK(f.clock.user_start_ms() == 400);
  f.follow(5, 0.1F);
  CHECK(f.clock.user_speaks());  // A pause, so far.
  f.follow(1, 0.5F);             // Neither loud nor quiet: the count starts anew.
  f.follow(5, 0.1F);
  CHECK(f.clock.user_speaks());
  f.follow(1, 0.1F);
  CHECK(f.clock.user_stopped());
  CHECK(f.clock.user_stop_ms() == 13 * 80);
}

TEST_CASE("without a speech head the level decides", "[unit]") {
  Follower f(false);
  f.follow(3, 0.9F, 0.001F);
  CHECK_FALSE(f.clock.user_speaks());
  f.follow(2, 0.0F, 0.1F);
  CHECK(f.clock.user_speaks());
}

TEST_CASE("latencies of reply and stop are counted on the input's clock", "[unit]") {
  Follower f;
  f.follow(10, 0.9F);
  f.follow(4, 0.1F);  // Its end may be here: a reply now is one to it.
  f.step.out.agent_turn_started = true;
  f.follow(1, 0.1F);
  CHECK(f.metrics.reply_seconds.count() == 1);
  f.follow(10, 0.1F);
  f.follow(3, 0.9F);  // The user comes in over the agent.
  f.step.out.agent_turn_ended = true;
  f.follow(1, 0.9F);
  CHECK(f.metrics.stop_seconds.count() == 1);
  std::string text = f.metrics.to_text();
  CHECK(text.find("duet_reply_seconds_sum 0.4\n") != std::string::npos);
  CHECK(text.find("duet_stop_seconds_sum 0.32\n") != std::string::npos);
}
