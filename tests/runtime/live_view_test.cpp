#include "runtime/live_view.h"

#include <catch2/catch.hpp>
#include <sstream>

using duet::runtime::EngineInfo;
using duet::runtime::FloorTracker;
using duet::runtime::LiveStep;
using duet::runtime::LiveView;

namespace {

EngineInfo fake_info() {
  EngineInfo info;
  info.has_user_activity = true;
  return info;
}

LiveStep make_step(int t, bool user, bool agent, const std::string& user_text = "",
                   const std::string& agent_text = "") {
  LiveStep step;
  step.captured_until_s = 0.08 * (t + 1);
  step.audible_at_s = step.captured_until_s + 0.03;
  step.compute_s = 0.02;
  step.out.user_speaking = user ? 1.0F : 0.0F;
  step.out.pcm.assign(1920, agent ? 0.1F : 0.0F);
  step.out.user_text = user_text;
  step.out.agent_text = agent_text;
  return step;
}

}  // namespace

TEST_CASE("the floor and the latencies of the last turn follow from the steps", "[unit]") {
  FloorTracker floor(fake_info());
  using Floor = FloorTracker::Floor;
  int t = 0;
  CHECK_FALSE(floor.reply_latency_s());
  floor.add(make_step(t++, true, false));
  CHECK(floor.floor() == Floor::kUser);
  floor.add(make_step(t++, true, false));  // Ends at 0.16.
  floor.add(make_step(t++, false, false));
  CHECK(floor.floor() == Floor::kNobody);
  floor.add(make_step(t++, false, true));  // Audible at 0.35.
  CHECK(floor.floor() == Floor::kAgent);
  REQUIRE(floor.reply_latency_s());
  CHECK(*floor.reply_latency_s() == Approx(0.35 - 0.16));
  floor.add(make_step(t++, true, true));  // From 0.32 on.
  CHECK(floor.floor() == Floor::kBoth);
  floor.add(make_step(t++, true, true));
  CHECK_FALSE(floor.stop_latency_s());
  floor.add(make_step(t++, true, false));  // Silent at 0.59.
  REQUIRE(floor.stop_latency_s());
  CHECK(*floor.stop_latency_s() == Approx(0.59 - 0.32));
}

TEST_CASE("level bars run from -60 dBFS to full scale", "[unit]") {
  CHECK(duet::runtime::level_bar(0.0F, 6) == "[------]");
  CHECK(duet::runtime::level_bar(1.0F, 6) == "[######]");
  CHECK(duet::runtime::level_bar(0.0316F, 6) == "[###---]");
}

TEST_CASE("without a terminal: lines of words and notices, no escape codes", "[unit]") {
  std::ostringstream out;
  LiveView view(out, fake_info(), {});
  view.add(make_step(1, true, false, " a large"));
  view.add(make_step(2, true, false, " latte\033[2J"));
  view.add(make_step(5, false, true, "", "Sure."));
  view.draw({}, {}, false, 1.0F);
  view.notice("the sound device is gone");
  view.add(make_step(90, false, true, "", " Anything else?"));
  view.finish();
  CHECK(out.str() ==
        "    0.16  you    a large latte[2J\n"
        "    0.51  agent  Sure.\n"
        "  * the sound device is gone\n"
        "    7.31  agent  Anything else?\n");
}

TEST_CASE("on a terminal the two lanes and the status redraw in place", "[unit]") {
  std::ostringstream out;
  LiveView view(out, fake_info(), {.is_terminal = true, .columns = 100});
  view.add(make_step(1, true, false, " a large"));
  view.draw({.near_peak = 1.0F, .is_near_clipped = true}, {.num_underruns = 3}, false, 0.5F);
  const std::string first = out.str();
  CHECK_THAT(first, Catch::Contains("you    a large\nagent  \nmic [############] CLIPS") &&
                        Catch::Contains("50%  floor: you") && Catch::Contains("step 20 of 80 ms") &&
                        Catch::Contains("3 underruns"));
  view.draw({}, {}, true, 0.5F);
  CHECK_THAT(
      out.str().substr(first.size()),
      Catch::StartsWith("\033[1A\033[2K\033[1A\033[2K\033[1A\033[2K\033[1A\033[2Kyou    a large") &&
          Catch::Contains("MUTED"));
}
