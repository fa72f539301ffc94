#include "runtime/server/lobby.h"

#include <catch2/catch.hpp>

#include "tests/support/fake_engine.h"

using namespace duet;
using namespace std::chrono_literals;

namespace {

struct Holder : server::Peer {
  void shut_down() override {}
  void warn(double) override {}
  void hand_over(std::function<void(std::shared_ptr<server::Conversation>)>) override {}
};

std::string code(const server::Lobby::Claim& claim) {
  return claim.error_code == nullptr ? "" : claim.error_code;
}

}  // namespace

TEST_CASE("the lobby gives a conversation to who has its latest token, within the grace",
          "[unit]") {
  const support::FakeEngine engine({});
  server::Metrics metrics;
  server::Scheduler scheduler(engine, metrics, 2);
  server::Lobby lobby(30.0, metrics);
  const auto holder = std::make_shared<Holder>();
  const auto now = server::Clock::now();
  const auto make = [&](const std::string& id) {
    auto conversation = std::make_shared<server::Conversation>(1000);
    conversation->id = id;
    conversation->seat = scheduler.admit({});
    return conversation;
  };
  const std::string old = lobby.enter("a", holder), token = lobby.enter("a", holder);
  CHECK(code(lobby.claim("a", old)) == "invalid_resume_token");
  CHECK(code(lobby.claim("b", token)) == "invalid_session_resume");
  CHECK(lobby.claim("a", token).holder == holder);
  CHECK(code(lobby.claim("a", token)) == "session_resume_conflict");
  lobby.release("a");

  lobby.park(make("a"), now);
  CHECK(metrics.sessions_parked == 1);
  lobby.expire(now + 29s);
  auto claim = lobby.claim("a", token);
  REQUIRE(claim.conversation);
  CHECK(claim.conversation->id == "a");
  CHECK(metrics.sessions_parked == 0);
  lobby.park(std::move(claim.conversation), now);
  lobby.expire(now + 31s);
  CHECK(code(lobby.claim("a", token)) == "session_resume_expired");
  CHECK(metrics.sessions_abandoned == 1);
  for (int i = 0; i < 200 && scheduler.num_sessions() > 0; ++i) std::this_thread::sleep_for(5ms);
  CHECK(scheduler.num_sessions() == 0);  // Its seat is free.

  lobby.park(make("stranger"), now);  // Never entered: dropped.
  CHECK(metrics.sessions_parked == 0);
}
