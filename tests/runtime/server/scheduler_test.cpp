#include "runtime/server/scheduler.h"

#include <catch2/catch.hpp>
#include <future>

#include "tests/support/fake_engine.h"

using namespace duet;
using namespace std::chrono_literals;

namespace {

std::vector<float> block(float value) { return std::vector<float>(1280, value); }

/// Waits for one step of `seat`; false after 3 s.
bool take(server::Seat& seat, server::Step& step) {
  for (int i = 0; i < 3000; ++i) {
    if (seat.pop(step)) return true;
    std::this_thread::sleep_for(1ms);
  }
  return false;
}

}  // namespace

TEST_CASE("a seat that its client drives gives one step a block, and none without", "[unit]") {
  const support::FakeEngine engine({});
  server::Metrics metrics;
  server::Scheduler scheduler(engine, metrics, 2);
  const auto seat = scheduler.admit({});
  REQUIRE(seat);
  server::Step step;
  for (int i = 0; i < 5; ++i) REQUIRE(seat->push(block(0.5F)));
  for (int i = 0; i < 5; ++i) {
    REQUIRE(take(*seat, step));
    CHECK(step.index == i);
    CHECK(step.input_level == Approx(0.5F));
    CHECK(step.out.pcm.size() == 1920);
  }
  std::this_thread::sleep_for(200ms);
  CHECK_FALSE(seat->pop(step));
  CHECK(metrics.steps == 5);
  CHECK(metrics.silent_steps == 0);
}

TEST_CASE(
    "a seat on the wall clock hears silence when nothing comes, and works off a burst quickly",
    "[unit]") {
  const support::FakeEngine engine({});
  server::Metrics metrics;
  server::Scheduler scheduler(engine, metrics, 1);
  const auto seat = scheduler.admit({.is_wall_clock = true});
  server::Step step;
  const auto begin = server::Clock::now();
  for (int i = 0; i < 4; ++i) REQUIRE(take(*seat, step));
  const double passed_s = std::chrono::duration<double>(server::Clock::now() - begin).count();
  CHECK(passed_s > 0.22);
  CHECK(metrics.silent_steps == 4);
  for (int i = 0; i < 20; ++i) REQUIRE(seat->push(block(0.1F)));  // 1.6 s
  const auto burst = server::Clock::now();
  for (int i = 0; i < 20;) i += take(*seat, step) && step.input_level > 0.0F ? 1 : 0;
  CHECK(std::chrono::duration<double>(server::Clock::now() - burst).count() < 0.8);
}

TEST_CASE("queues are bounded on both sides", "[unit]") {
  const support::FakeEngine engine({});
  server::Metrics metrics;
  server::Scheduler scheduler(engine, metrics, 1);
  const auto seat = scheduler.admit({.max_input_blocks = 3, .max_output_steps = 2});
  std::size_t pushed = 0;
  const auto until = server::Clock::now() + 300ms;
  while (server::Clock::now() < until) {
    pushed += seat->push(block(0.1F)) ? 1 : 0;
    std::this_thread::sleep_for(2ms);
  }
  CHECK(pushed == 5);
  CHECK(metrics.steps == 2);
  server::Step step;
  REQUIRE(take(*seat, step));  // Makes room: the thread goes on.
  for (int i = 0; i < 300 && metrics.steps < 3; ++i) std::this_thread::sleep_for(5ms);
  CHECK(metrics.steps == 3);
}

TEST_CASE("the seat over the limit is refused at once, and one that is left is free again",
          "[unit]") {
  const support::FakeEngine engine({});
  server::Metrics metrics;
  server::Scheduler scheduler(engine, metrics, 2);
  const auto first = scheduler.admit({}), second = scheduler.admit({});
  REQUIRE(first);
  REQUIRE(second);
  CHECK_FALSE(scheduler.admit({}));
  CHECK(metrics.sessions_refused == 1);
  first->leave();
  for (int i = 0; i < 300 && scheduler.num_sessions() > 1; ++i) std::this_thread::sleep_for(5ms);
  CHECK(scheduler.admit({}));
}

TEST_CASE("a poisoned conversation ends alone", "[unit]") {
  support::FakeScript script;
  script.throw_at_step = 3;
  const support::FakeEngine engine(script);
  server::Metrics metrics;
  server::Scheduler scheduler(engine, metrics, 2);
  const auto ill = scheduler.admit({}), well = scheduler.admit({});
  server::Step step;
  for (int i = 0; i < 4; ++i) REQUIRE(ill->push(block(0.1F)));
  for (int i = 0; i < 4; ++i) {
    REQUIRE(take(*ill, step));
    CHECK(step.failure.empty() == (i < 3));
  }
  CHECK(step.failure == "step 3: scripted failure");
  for (int i = 0; i < 3; ++i) REQUIRE(well->push(block(0.1F)));
  for (int i = 0; i < 3; ++i) {
    REQUIRE(take(*well, step));
    CHECK(step.failure.empty());
  }
  CHECK(metrics.sessions_failed == 1);
}

TEST_CASE("a burst of one conversation does not delay another", "[unit]") {
  support::FakeScript script;
  script.compute = 10ms;
  const support::FakeEngine engine(script);
  server::Metrics metrics;
  server::Scheduler scheduler(engine, metrics, 2);
  const auto bursting = scheduler.admit({.max_output_steps = 200}), live = scheduler.admit({});
  for (int i = 0; i < 150; ++i) REQUIRE(bursting->push(block(0.1F)));
  server::Step step;
  double worst_s = 0.0;
  for (int i = 0; i < 8; ++i) {
    const auto sent = server::Clock::now();
    REQUIRE(live->push(block(0.1F)));
    REQUIRE(take(*live, step));
    worst_s = std::max(worst_s, std::chrono::duration<double>(server::Clock::now() - sent).count());
    std::this_thread::sleep_for(80ms);
  }
  CHECK(worst_s < 0.06);
}

TEST_CASE("the agent begins when it is asked to, after what came before", "[unit]") {
  const support::FakeEngine engine({});
  server::Metrics metrics;
  server::Scheduler scheduler(engine, metrics, 1);
  const auto seat = scheduler.admit({});
  for (int i = 0; i < 2; ++i) REQUIRE(seat->push(block(0.1F)));
  seat->begin_turn(1);
  for (int i = 0; i < 4; ++i) REQUIRE(seat->push(block(0.1F)));
  server::Step step;
  std::int64_t started = -1;
  for (int i = 0; i < 6; ++i) {
    REQUIRE(take(*seat, step));
    if (step.out.agent_turn_started) started = step.index;
  }
  CHECK(started >= 2);  // Two blocks, then at least one step more.
  CHECK(started <= 3);
}

TEST_CASE("a paused seat stands still, and is not late afterwards", "[unit]") {
  const support::FakeEngine engine({});
  server::Metrics metrics;
  server::Scheduler scheduler(engine, metrics, 1);
  const auto seat = scheduler.admit({.is_wall_clock = true});
  server::Step step;
  REQUIRE(take(*seat, step));
  seat->set_paused(true);
  std::this_thread::sleep_for(100ms);
  while (seat->pop(step)) continue;
  const std::int64_t last = step.index;
  std::this_thread::sleep_for(400ms);
  CHECK_FALSE(seat->pop(step));
  seat->set_paused(false);
  REQUIRE(take(*seat, step));
  CHECK(step.index == last + 1);
  CHECK(metrics.deadline_misses == 0);
}

TEST_CASE("a seat passes on what is to end and to be said, and keeps its input on request",
          "[unit]") {
  const support::FakeEngine engine({});
  server::Metrics metrics;
  server::Scheduler scheduler(engine, metrics, 1);
  const auto seat = scheduler.admit({});
  server::Step step;
  seat->say("one two three four five six");
  REQUIRE(seat->push(block(0.1F)));
  REQUIRE(take(*seat, step));
  CHECK(step.out.agent_text == "one");
  CHECK(step.input.empty());
  seat->end_turn();
  seat->keep_input();
  REQUIRE(seat->push(block(0.1F)));
  REQUIRE(take(*seat, step));
  CHECK(step.out.agent_turn_ended);
  CHECK(step.input == block(0.1F));
}

TEST_CASE("capacity leaves half of the time", "[unit]") {
  CHECK(server::capacity_for(0.0, 0.013, 0.08) == 3);
  CHECK(server::capacity_for(0.0, 0.005, 0.08) == 8);
  CHECK(server::capacity_for(0.010, 0.003, 0.08) == 10);
  CHECK(server::capacity_for(0.0, 0.5, 0.08) == 1);
  CHECK(server::capacity_for(0.5, 0.001, 0.08) == 1);
  CHECK(server::capacity_for(0.0, 0.0, 0.08) == 256);
  support::FakeScript script;
  script.compute = 4ms;
  const support::FakeEngine engine(script);
  CHECK(server::measure_step_seconds(engine, 1, 10) >= 0.004);
  CHECK(server::measure_step_seconds(engine, 3, 5) >= 0.012);
}

TEST_CASE("what is due at one time is one shared step", "[unit]") {
  support::FakeScript script;
  script.compute = 5ms;
  const support::FakeEngine engine(script);
  server::Metrics metrics;
  server::Scheduler scheduler(engine, metrics, 8);
  std::vector<std::shared_ptr<server::Seat>> seats;
  for (int i = 0; i < 8; ++i) seats.push_back(scheduler.admit({}));
  constexpr int kRounds = 4;
  server::Step step;
  for (int round = 0; round < kRounds; ++round) {
    for (const auto& seat : seats) REQUIRE(seat->push(block(0.1F)));
    for (const auto& seat : seats) REQUIRE(take(*seat, step));
    std::this_thread::sleep_for(100ms);  // what comes sooner is ahead of its time, and by itself
  }
  CHECK(metrics.steps == 8 * kRounds);
  // The first to come is done by itself, the rest, which come meanwhile, together.
  CHECK(metrics.shared_steps < 4 * kRounds);
  CHECK(metrics.shared_steps >= kRounds);
}

TEST_CASE("a step that hangs holds up only its own thread", "[unit]") {
  std::promise<void> end;
  const auto ended = end.get_future().share();
  std::atomic<bool> hangs{false};
  support::FakeScript script;
  script.user_words = [&](std::int64_t) {
    if (!hangs.exchange(true)) ended.wait_for(3s);
    return "";
  };
  const support::FakeEngine engine(script);
  server::Metrics metrics;
  server::Scheduler scheduler(engine, metrics, 2, 2);
  const auto hanging = scheduler.admit({}), live = scheduler.admit({});
  REQUIRE(hanging->push(block(0.1F)));
  while (!hangs) std::this_thread::sleep_for(1ms);
  server::Step step;
  for (int i = 0; i < 3; ++i) REQUIRE(live->push(block(0.1F)));
  for (int i = 0; i < 3; ++i) REQUIRE(take(*live, step));
  CHECK_FALSE(hanging->pop(step));
  end.set_value();
  CHECK(take(*hanging, step));
}

TEST_CASE("free threads share what is due, and a conversation is on one at a time", "[unit]") {
  std::atomic<int> active{0}, most{0}, at_once{0};
  support::FakeScript script;
  script.user_words = [&](std::int64_t) {
    const int now = ++active;
    for (int seen = most; now > seen && !most.compare_exchange_weak(seen, now);) continue;
    // A conversation alone has nobody to wait for.
    for (int i = 0; i < 3000 && most < at_once; ++i) std::this_thread::sleep_for(1ms);
    --active;
    return "";
  };
  const support::FakeEngine engine(script);
  server::Metrics metrics;
  server::Scheduler scheduler(engine, metrics, 3, 3);
  const auto alone = scheduler.admit({.max_output_steps = 100});
  for (int i = 0; i < 60; ++i) REQUIRE(alone->push(block(0.1F)));
  server::Step step;
  for (int i = 0; i < 60; ++i) {
    REQUIRE(take(*alone, step));
    CHECK(step.index == i);
  }
  CHECK(most == 1);
  at_once = 3;
  std::vector<std::shared_ptr<server::Seat>> seats = {alone, scheduler.admit({}),
                                                      scheduler.admit({})};
  for (const auto& seat : seats) REQUIRE(seat->push(block(0.1F)));
  for (const auto& seat : seats) REQUIRE(take(*seat, step));
  CHECK(most == 3);
}

TEST_CASE("a scheduler needs a seat and a thread", "[unit]") {
  const support::FakeEngine engine({});
  server::Metrics metrics;
  CHECK_THROWS_WITH(server::Scheduler(engine, metrics, 0), Catch::Contains("max_sessions"));
  CHECK_THROWS_WITH(server::Scheduler(engine, metrics, 1, 0), Catch::Contains("inference_threads"));
}
