#include "runtime/echo_bench.h"

#include <catch2/catch.hpp>
#include <set>

#include "runtime/core/error.h"
#include "tests/support/speech_like.h"

using namespace duet;
using runtime::bench_room;
using runtime::hear_voices;

TEST_CASE("the listener takes 200 ms of sound for a voice, once until half a second of silence",
          "[unit]") {
  std::vector<float> samples(3 * 16000, 0.0F);
  const auto sound = [&](double from_s, double to_s) {
    for (int i = int(from_s * 16000); i < int(to_s * 16000); ++i)
      samples[std::size_t(i)] = i % 2 == 0 ? 0.1F : -0.1F;
  };
  sound(0.1, 0.25);  // Too short.
  sound(1.0, 1.1);
  sound(1.14, 1.25);  // With a gap of 40 ms long enough.
  sound(1.5, 1.8);    // Still the same.
  sound(2.5, 2.8);
  CHECK(hear_voices(samples, -40.0) == std::vector<std::size_t>{16000, 40000});
  CHECK(hear_voices(samples, -10.0).empty());
}

TEST_CASE("the rooms of the table are all different and span the ranges", "[unit]") {
  std::set<double> delays, reverbs, drifts;
  for (std::size_t i = 0; i < 12; ++i) {
    const auto room = bench_room(i, 12, 0.03);
    CHECK_NOTHROW(room.validate());
    delays.insert(room.delay_ms);
    reverbs.insert(room.rt60_s);
    drifts.insert(room.drift_ppm);
  }
  CHECK(delays.size() == 12);
  CHECK(reverbs.size() == 12);
  CHECK(*delays.begin() == Approx(10.0));
  CHECK(*delays.rbegin() == Approx(400.0));
  CHECK(*drifts.rbegin() == Approx(100.0));
}

TEST_CASE("nothing hears itself, the full chain does not, and a user is heard over it", "[dsp]") {
  const auto agent = test::speech_like(8 * 16000, 16000, 3);
  const auto user = test::speech_like(4 * 16000, 16000, 11);
  double last = 0.0;
  const auto table = runtime::measure_echo(
      agent, user, {.num_rooms = 1, .seconds_per_class = 15.0, .talks_per_room = 1, .thd = {0.0}},
      [&](double share) {
        CHECK(share > last);
        last = share;
      });
  CHECK(last == Approx(1.0));
  const auto& nothing = table.scores[0];
  const auto& chain = table.scores[2];
  CHECK(nothing.classes[0].num_false > 0);
  CHECK(nothing.classes[0].erle_db == Approx(0.0).margin(0.1));
  CHECK(chain.classes[0].num_false == 0);
  CHECK(chain.classes[0].erle_db > 20.0);
  CHECK(chain.talks[0].num_heard == 1);
  CHECK(nothing.talks[0].kept_db == Approx(0.0).margin(1.0));
  CHECK(chain.reconverge_s[0] < 3.0);
  CHECK(chain.delay_error_ms[0] < 4.0);
  CHECK(chain.added_latency_ms > 8.0);
  CHECK(chain.added_latency_ms < 25.0);
  CHECK(chain.cpu > nothing.cpu);
  const std::string text = table.to_text();
  CHECK_THAT(text, Catch::Contains("| case | nothing |") && Catch::Contains("THD 0 %") &&
                       Catch::Contains("12 dB below the echo"));
  CHECK_THAT(table.to_json(), Catch::Contains("\"full chain\""));
}

TEST_CASE("too short a bench is refused", "[unit]") {
  const auto voice = test::speech_like(16000, 16000);
  CHECK_THROWS_AS(runtime::measure_echo(voice, voice, {.num_rooms = 12, .seconds_per_class = 60.0}),
                  core::ConfigError);
}
