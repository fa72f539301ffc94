#include "runtime/server/delegate.h"

#include <catch2/catch.hpp>
#include <chrono>
#include <future>

#include "runtime/core/error.h"

using namespace duet;

namespace {

/// Answers in the order of asking; each is asked and waited for by itself.
std::string ask(server::Delegate& delegate, const std::string& id, const std::string& user) {
  auto promise = std::make_shared<std::promise<std::string>>();
  auto future = promise->get_future();
  delegate.ask({.id = id, .session = "s", .user = user, .history = {{"assistant", "hello"}}},
               [promise](std::string words) { promise->set_value(std::move(words)); });
  return future.wait_for(std::chrono::seconds(5)) == std::future_status::ready ? future.get()
                                                                               : "(nothing)";
}

/// A program in sed: what the user said comes back in capitals' place, as `say`.
const std::vector<std::string> kEcho = {
    "sed", "-u", "-n",
    R"x(s/.*"id":"\([^"]*\)".*"user":"\([^"]*\)".*/{"id":"\1","say":"you said \2"}/p)x"};

}  // namespace

TEST_CASE("a delegate is asked by lines, and its words come back", "[unit]") {
  server::Metrics metrics;
  server::Delegate delegate(kEcho, 3.0, metrics);
  CHECK(ask(delegate, "a", "two coffees") == "you said two coffees");
  CHECK(ask(delegate, "b", "thanks") == "you said thanks");
  CHECK(metrics.delegations_asked == 2);
  CHECK(metrics.delegations_answered == 2);
}

TEST_CASE("a delegate that says nothing in time, or nonsense, is given up", "[unit]") {
  server::Metrics metrics;
  server::Delegate silent({"sed", "-u", "s/.*/nonsense/"}, 0.3, metrics);
  CHECK(ask(silent, "a", "x").empty());
  CHECK(metrics.delegations_failed == 1);
}

TEST_CASE("a delegate that ends is started again; what it was asked is given up", "[unit]") {
  server::Metrics metrics;
  server::Delegate once({"sed", "-u", R"x(s/.*"id":"\([^"]*\)".*/{"id":"\1","say":"yes"}/;q)x"},
                        4.0, metrics);
  CHECK(ask(once, "a", "x") == "yes");  // Then it quits.
  std::string second;
  for (int i = 0; i < 10 && second != "yes"; ++i) second = ask(once, "b" + std::to_string(i), "x");
  CHECK(second == "yes");
}

TEST_CASE("a program that is not there is an error that names it", "[unit]") {
  server::Metrics metrics;
  CHECK_THROWS_WITH(server::Delegate({"/no/such/program"}, 1.0, metrics),
                    Catch::Contains("delegate.command") && Catch::Contains("/no/such/program"));
}
