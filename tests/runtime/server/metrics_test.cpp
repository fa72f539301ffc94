#include "runtime/server/metrics.h"

#include <catch2/catch.hpp>

using namespace duet::server;
using Catch::Contains;

TEST_CASE("histogram buckets are cumulative, as Prometheus reads them", "[unit]") {
  Metrics metrics;
  metrics.sessions = 3;
  metrics.step_seconds.observe(0.015);
  metrics.step_seconds.observe(0.02);
  metrics.step_seconds.observe(9.0);
  const std::string text = metrics.to_text();
  CHECK_THAT(text, Contains("# TYPE duet_sessions gauge\nduet_sessions 3\n"));
  CHECK_THAT(text, Contains("duet_step_seconds_bucket{le=\"0.01\"} 0\n"));
  CHECK_THAT(text, Contains("duet_step_seconds_bucket{le=\"0.02\"} 2\n"));
  CHECK_THAT(text, Contains("duet_step_seconds_bucket{le=\"5\"} 2\n"));
  CHECK_THAT(text, Contains("duet_step_seconds_bucket{le=\"+Inf\"} 3\n"));
  CHECK_THAT(text, Contains("duet_step_seconds_sum 9.035\n"));
  CHECK_THAT(text, Contains("duet_step_seconds_count 3\n"));
}
