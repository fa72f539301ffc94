#include "runtime/server/waiting_line.h"

#include <catch2/catch.hpp>

using namespace duet;

TEST_CASE("the line: who came first is first, and it has an end", "[unit]") {
  server::Metrics metrics;
  server::WaitingLine line(2, metrics);
  int a = 0, b = 0, c = 0;
  CHECK(line.is_first(&a));
  CHECK(line.join(&a));
  CHECK(line.join(&b));
  CHECK(line.join(&b));
  CHECK_FALSE(line.join(&c));
  CHECK(metrics.waiting == 2);
  CHECK(line.position(&a) == 1);
  CHECK(line.position(&b) == 2);
  CHECK(line.position(&c) == 0);
  CHECK_FALSE(line.is_first(&b));
  CHECK_FALSE(line.is_first(&c));  // Nobody overtakes.
  line.leave(&a);
  CHECK(line.is_first(&b));
  CHECK(metrics.waiting == 1);
  server::WaitingLine none(0, metrics);
  CHECK_FALSE(none.join(&a));
}
