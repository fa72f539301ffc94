#include "runtime/core/log.h"

#include <catch2/catch.hpp>

#include "runtime/core/error.h"
#include "tests/support/capture.h"

using namespace duet::core;

TEST_CASE("logs go to stderr, from their level on", "[unit]") {
  const LogLevel before = log_level();
  const duet::test::Captured got = duet::test::capture([] {
    set_log_level(LogLevel::kWarning);
    log_info("not this {}");
    log_warning("this {} stays as it is");
    return 0;
  });
  set_log_level(before);
  CHECK(got.out.empty());
  CHECK_THAT(got.err, Catch::Matchers::Contains("warning") &&
                          Catch::Matchers::Contains("this {} stays as it is"));
  CHECK_THAT(got.err, !Catch::Matchers::Contains("not this"));
}

TEST_CASE("a log level is one of five words", "[unit]") {
  CHECK(parse_log_level("debug", "--log") == LogLevel::kDebug);
  CHECK_THROWS_WITH(parse_log_level("loud", "--log"),
                    "--log: expected debug, info, warning, error or off, found \"loud\"");
}
