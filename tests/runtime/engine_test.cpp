#include "runtime/engine.h"

#include <catch2/catch.hpp>
#include <limits>

#include "runtime/core/error.h"
#include "tests/support/fake_engine.h"

using namespace duet;
using Catch::Contains;

namespace {

std::vector<float> block(float value = 0.0F) { return std::vector<float>(1280, value); }

}  // namespace

TEST_CASE("a session counts its steps and clears the output of the step before", "[unit]") {
  support::FakeScript script;
  script.replies = {{.first_step = 1, .num_steps = 2, .text = "hello there"}};
  const support::FakeEngine engine(script);
  const auto session = engine.make_session({});
  runtime::StepOutput out;
  out.agent_text = "left over";
  session->step(block(), out);
  CHECK(out.agent_text.empty());
  CHECK(out.pcm.size() == 1920);
  session->step(block(), out);
  CHECK(out.agent_turn_started);
  CHECK(out.agent_text == "hello");
  session->step(block(), out);
  CHECK_FALSE(out.agent_turn_started);
  CHECK(out.agent_turn_ended);
  CHECK(out.agent_text == " there");
  CHECK(session->num_steps() == 3);
}

TEST_CASE("a failed step poisons the session until reset", "[unit]") {
  support::FakeScript script;
  script.throw_at_step = 1;
  const support::FakeEngine engine(script);
  const auto session = engine.make_session({});
  runtime::StepOutput out;
  session->step(block(), out);
  CHECK_THROWS_WITH(session->step(block(), out), "step 1: scripted failure");
  CHECK(session->poisoned());
  CHECK_THROWS_WITH(session->step(block(), out), Contains("poisoned"));
  session->reset();
  CHECK_FALSE(session->poisoned());
  CHECK(session->num_steps() == 0);
  CHECK_NOTHROW(session->step(block(), out));
}

TEST_CASE("wrong sizes and non-finite samples are caught at the step boundary", "[unit]") {
  const support::FakeEngine engine(support::FakeScript{});
  runtime::StepOutput out;
  {
    const auto session = engine.make_session({});
    CHECK_THROWS_WITH(session->step(std::vector<float>(1279), out),
                      "step 0: expected a block of 1280 samples, found 1279");
    CHECK(session->poisoned());
  }
  {
    const auto session = engine.make_session({});
    auto bad = block();
    bad[7] = std::numeric_limits<float>::quiet_NaN();
    CHECK_THROWS_WITH(session->step(bad, out), Contains("not finite"));
  }
  {
    support::FakeScript script;
    script.replies = {{.first_step = 0, .num_steps = 1, .text = "x"}};
    script.amplitude = std::numeric_limits<float>::infinity();
    const support::FakeEngine broken(script);
    CHECK_THROWS_WITH(broken.make_session({})->step(block(), out),
                      Contains("engine gave a sample that is not finite"));
  }
}

TEST_CASE("session options outside their ranges are refused", "[unit]") {
  const support::FakeEngine engine(support::FakeScript{});
  CHECK_THROWS_WITH(engine.make_session({.temperature = -0.1}),
                    Contains("temperature: expected 0 (greedy) or"));
  CHECK_THROWS_WITH(engine.make_session({.temperature = std::nan("")}), Contains("temperature"));
  CHECK_THROWS_WITH(engine.make_session({.interruptibility = 100.0}), Contains("interruptibility"));
  CHECK_NOTHROW(engine.make_session({.temperature = 0.8, .interruptibility = 1.0}));
}
