#include "runtime/batching_engine.h"

#include <catch2/catch.hpp>
#include <thread>
#include <vector>

#include "runtime/core/error.h"
#include "tests/support/fake_engine.h"

using namespace duet;
using runtime::BatchingEngine;

namespace {

std::vector<float> block_of(float value) { return std::vector<float>(1280, value); }

}  // namespace

TEST_CASE("batching engine: sessions on threads of their own share steps", "[batching]") {
  support::FakeScript script;
  script.echo = true;
  const support::FakeEngine fake(script);
  const BatchingEngine engine(
      fake, {.max_batch = 8, .num_workers = 1, .patience = std::chrono::milliseconds(500)});
  CHECK(engine.info().model_name == "fake");
  constexpr int kSessions = 4, kSteps = 20;
  std::vector<std::unique_ptr<runtime::Session>> sessions;
  for (int i = 0; i < kSessions; ++i) sessions.push_back(engine.make_session({}));
  std::vector<int> wrong(kSessions, 0);
  std::vector<std::thread> threads;
  for (int i = 0; i < kSessions; ++i)
    threads.emplace_back([&, i] {
      runtime::StepOutput out;
      for (int t = 0; t < kSteps; ++t) {
        const float value = 0.01F * static_cast<float>(i + 1);
        sessions[static_cast<std::size_t>(i)]->step(block_of(value), out);
        wrong[static_cast<std::size_t>(i)] += out.pcm.size() != 1920 || out.pcm[100] != value;
      }
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == std::vector<int>(kSessions, 0));
  CHECK(engine.mean_batch() == 4.0);  // patience is long: nobody was left behind
  for (const auto& session : sessions) CHECK(session->num_steps() == kSteps);
}

TEST_CASE("batching engine: a lone session does not wait for others", "[batching]") {
  const support::FakeEngine fake({});
  const BatchingEngine engine(
      fake, {.max_batch = 8, .num_workers = 2, .patience = std::chrono::hours(1)});
  const auto session = engine.make_session({});
  runtime::StepOutput out;
  session->step(block_of(0.0F), out);  // would hang
  CHECK(engine.mean_batch() == 1.0);
}

TEST_CASE("batching engine: those that stay away are waited for no longer than patience",
          "[batching]") {
  const support::FakeEngine fake({});
  const BatchingEngine engine(fake, {.max_batch = 8, .num_workers = 1});
  const auto session = engine.make_session({}), idle = engine.make_session({});
  runtime::StepOutput out;
  for (int t = 0; t < 3; ++t) session->step(block_of(0.0F), out);
  CHECK(idle->num_steps() == 0);
  CHECK(session->num_steps() == 3);
}

TEST_CASE("batching engine: a failure is its session's alone, and reset heals it", "[batching]") {
  support::FakeScript script;
  script.throw_at_step = 1;
  const support::FakeEngine fake(script);
  const BatchingEngine engine(fake, {});
  const auto session = engine.make_session({});
  runtime::StepOutput out;
  session->step(block_of(0.0F), out);
  CHECK_THROWS_WITH(session->step(block_of(0.0F), out), "step 1: scripted failure");
  CHECK(session->poisoned());
  session->reset();
  session->step(block_of(0.0F), out);
  CHECK(session->num_steps() == 1);
}

TEST_CASE("batching engine: what is to be said, and to end, reaches the session", "[batching]") {
  const support::FakeEngine fake({});
  const BatchingEngine engine(fake, {});
  const auto session = engine.make_session({});
  runtime::StepOutput out;
  session->say("one two three");
  session->step(block_of(0.0F), out);
  CHECK(out.agent_text == "one");
  session->end_turn();
  session->step(block_of(0.0F), out);
  CHECK(out.agent_turn_ended);
}

TEST_CASE("batching engine: options", "[batching]") {
  const support::FakeEngine fake({});
  CHECK_THROWS_AS(BatchingEngine(fake, {.max_batch = 0}), core::ConfigError);
  CHECK_THROWS_WITH(BatchingEngine(fake, {.max_batch = 1, .num_workers = 0}),
                    Catch::Contains("num_workers"));
}
