#include "runtime/bench/speed.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

using namespace duet::runtime::bench;
using Catch::Contains;

namespace {

SpeedReport report(const std::vector<double>& step_ms) {
  SpeedReport made;
  made.subject = "made <up>";
  made.weights = "random, int8";
  made.num_values = 1200000000;
  made.session_bytes = 2500000;
  made.peak_bytes = 6000000000;
  made.stages = {{"encoder", std::vector<double>(step_ms.size(), 5.0)}, {"step", step_ms}};
  return made;
}

}  // namespace

TEST_CASE("stages are summarised, deadlines counted, by hand", "[unit]") {
  // 1 to 100 ms: linear interpolation between ranks, rank p * 99 from 0.
  std::vector<double> ms;
  for (int i = 100; i >= 1; --i) ms.push_back(i);
  const SpeedReport made = report(ms);
  const StageSummary step = summarise(made.step());
  CHECK(step.mean_ms == Approx(50.5));
  CHECK(step.p50_ms == Approx(50.5));
  CHECK(step.p95_ms == Approx(95.05));
  CHECK(step.p99_ms == Approx(99.01));
  CHECK(step.max_ms == 100.0);
  CHECK(made.num_misses() == 20);  // 81 to 100; 80 itself is in time.
  CHECK(made.rtf() == Approx(50.5 / 80.0));
  CHECK(made.sessions_one_by_one() == 1);  // 0.9 * 80 / 50.5 = 1.4
  CHECK_THAT(to_text(made), Contains("20 of 100") && Contains("20 steps came late"));
}

TEST_CASE("how many conversations fit, one by one and together", "[unit]") {
  SpeedReport made = report(std::vector<double>(50, 8.0));
  CHECK(made.sessions_one_by_one() == 9);  // 72 / 8 exactly.
  CHECK(made.sessions_together() == 0);
  CHECK_THAT(to_text(made), Contains("10.0 times faster") && !Contains("together"));
  made.batches = {{1, 8.0, 8.1}, {4, 20.0, 22.0}, {8, 40.0, 72.0}, {16, 70.0, 73.0}};
  CHECK(made.sessions_together() == 8);
  CHECK_THAT(to_text(made), Contains("most together        8\n") && Contains("5.00 ms each"));
}

TEST_CASE("a model that is too slow says how far it is from real time", "[unit]") {
  const SpeedReport made = report(std::vector<double>(10, 240.0));
  CHECK(made.sessions_one_by_one() == 0);
  CHECK(made.num_misses() == 10);
  CHECK_THAT(to_text(made), Contains("3.0 times too slow for real time") && Contains("6.00 GB") &&
                                Contains("1200.0 M values"));
}

TEST_CASE("speed as JSON and as a page without links", "[unit]") {
  SpeedReport made = report({10.0, 20.0, 30.0});
  made.batches = {{1, 10.0, 11.0}, {2, 15.0, 16.0}};
  made.batch_note = "one at a time";
  const auto json = nlohmann::json::parse(to_json(made));
  CHECK(json["schema"] == "duet.bench.speed/1");
  CHECK(json["stages"][1]["name"] == "step");
  CHECK(json["stages"][1]["p50_ms"] == 20.0);
  CHECK(json["rtf"] == 0.25);
  CHECK(json["batches"].size() == 2);
  CHECK(json["sessions_together"] == 2);
  CHECK_THAT(to_text(made), Contains("2, the most that was tried"));
  const std::string html = to_html(made);
  CHECK_THAT(html, Contains("made &lt;up&gt;") && Contains("<svg") &&
                       Contains("Conversations in one step") && !Contains("http"));
  made.batches.clear();
  CHECK_THAT(to_html(made), !Contains("Conversations in one step"));
  CHECK_FALSE(to_html(report({5.0})).empty());
  CHECK(peak_memory_bytes() > 1000000);
}
