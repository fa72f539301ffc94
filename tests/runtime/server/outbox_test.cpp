#include "runtime/server/outbox.h"

#include <catch2/catch.hpp>

using namespace duet::server;
using namespace std::chrono_literals;
using Result = Outbox::Result;

TEST_CASE("a slow reader loses audio first and is given up last", "[unit]") {
  Outbox outbox(100);
  const auto message = [](std::size_t size) {
    return OutMessage{.data = std::vector<std::uint8_t>(size)};
  };
  CHECK(outbox.push(message(60), Lane::kAudio) == Result::kQueued);
  CHECK(outbox.push(message(41), Lane::kAudio) == Result::kDiscarded);
  CHECK(outbox.push(message(100), Lane::kControl) == Result::kQueued);
  CHECK(outbox.push(message(1), Lane::kAudio) == Result::kDiscarded);
  CHECK(outbox.push(message(41), Lane::kControl) == Result::kOverflow);
  CHECK(outbox.num_bytes() == 160);
  outbox.pop();
  CHECK(outbox.num_bytes() == 100);
  outbox.pop();
  CHECK(outbox.empty());
  CHECK(outbox.push(message(100), Lane::kAudio) == Result::kQueued);
}

TEST_CASE("a second's worth of messages at once, then at the rate", "[unit]") {
  const auto start = Clock::now();
  RateLimit limit(10.0, start);
  for (int i = 0; i < 10; ++i) CHECK(limit.take(start) == 0s);
  CHECK(std::chrono::duration<double>(limit.take(start)).count() == Approx(0.1));
  CHECK(std::chrono::duration<double>(limit.take(start)).count() == Approx(0.2));
  CHECK(limit.take(start + 400ms) == 0s);
}
