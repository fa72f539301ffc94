#include "runtime/echo_bench_score.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "tests/support/speech_like.h"

using namespace duet;
using runtime::Activity;
using runtime::is_other_answer;
using runtime::Segment;
using Times = std::vector<double>;

namespace {

Activity talk(std::vector<Segment> segments) {
  return {.threshold_db = -50.0, .segments = std::move(segments), .end_s = 60.0};
}

}  // namespace

TEST_CASE("an agent that falls silent while the control goes on has stopped", "[unit]") {
  const Activity control = talk({{2.0, 6.0}, {6.5, 12.0}});
  const std::vector<Segment> users{{0.5, 1.5}};
  const auto stops = [&](std::vector<Segment> agent) {
    return score_own_echo(talk(std::move(agent)), control, users, 60.0).stops_s;
  };
  CHECK(stops({{2.0, 6.0}, {6.5, 12.0}}).empty());
  CHECK(stops({{2.0, 5.0}}) == Times{5.0});
  CHECK(stops({{2.0, 5.0}, {5.6, 12.0}}).empty());        // A pause for breath,
  CHECK(stops({{2.0, 5.0}, {5.8, 12.0}}) == Times{5.0});  // and one that is none.
  CHECK(stops({{2.0, 10.6}}).empty());                    // The control ends 1.4 s later.
  CHECK(stops({{2.0, 10.4}}) == Times{10.4});
  CHECK(stops({}).empty());  // It was never running.
}

TEST_CASE("a stop that a user may have caused is none", "[unit]") {
  const Activity control = talk({{2.0, 12.0}});
  const std::vector<Segment> users{{4.0, 4.5}};
  CHECK(score_own_echo(talk({{2.0, 5.9}}), control, users, 60.0).stops_s.empty());
  CHECK(score_own_echo(talk({{2.0, 6.1}}), control, users, 60.0).stops_s == Times{6.1});
  // Nor is one just before the end of what can be compared.
  CHECK(score_own_echo(talk({{2.0, 6.1}}), control, users, 7.5).stops_s.empty());
}

TEST_CASE("an agent that speaks where the control is silent has started", "[unit]") {
  const Activity control = talk({{2.0, 6.0}});
  const std::vector<Segment> users{{0.5, 1.5}, {20.0, 21.0}};
  const auto starts = [&](double at_s) {
    return score_own_echo(talk({{2.0, 6.0}, {at_s, at_s + 1.0}}), control, users, 30.0).starts_s;
  };
  CHECK(starts(7.4).empty());  // 1.4 s after the control's reply.
  CHECK(starts(8.0) == Times{8.0});
  CHECK(starts(22.0).empty());  // An answer, if another one.
  CHECK(starts(22.6) == Times{22.6});
  CHECK(starts(29.0).empty());  // Nobody knows what the control would do next.
  CHECK(score_own_echo(talk({{2.0, 6.0}, {29.0, 40.0}}), control, users, 30.0).playback_s ==
        Approx(5.0));
}

TEST_CASE("an answer cut off is no other answer", "[unit]") {
  const std::string control = "Cats sleep. They can hear much.";
  CHECK_FALSE(is_other_answer("Cats sle", control));
  CHECK_FALSE(is_other_answer("Cats sleep. ", control));  // cut between two sentences
  CHECK_FALSE(is_other_answer(control + " ", control));
  CHECK_FALSE(is_other_answer("", control));
  CHECK_FALSE(is_other_answer("Cats sle Sorry, I don't know that.", control));  // and begun anew
  CHECK(is_other_answer("Sorry, I don't know that. ", control));
  CHECK_FALSE(is_other_answer("Sorry, I don't ", control));  // another one, cut off as well
  CHECK(is_other_answer("Dogs bark.", ""));
}

TEST_CASE("what no event in some hours still allows", "[unit]") {
  CHECK(runtime::most_per_hour(0, 1.0) == Approx(2.996).margin(0.001));  // -ln 0.05
  CHECK(runtime::most_per_hour(0, 0.5) == Approx(5.991).margin(0.001));
  // Half of the chi-squared quantile with 2 (k + 1) degrees of freedom.
  CHECK(runtime::most_per_hour(1, 1.0) == Approx(4.744).margin(0.001));
  CHECK(runtime::most_per_hour(10, 1.0) == Approx(16.962).margin(0.001));
}

TEST_CASE("levels are those of the louder half; gains are found among other sounds", "[unit]") {
  std::vector<float> tone(16000, 0.0F);
  for (std::size_t i = 4000; i < 16000; ++i)
    tone[i] = 0.5F * static_cast<float>(std::sin(0.3 * static_cast<double>(i)));
  CHECK(runtime::active_dbfs(tone) == Approx(-9.03).margin(0.1));  // 0.5 / sqrt 2
  CHECK(runtime::active_dbfs(runtime::at_level(tone, -30.0)) == Approx(-30.0).margin(1e-3));
  const auto other = test::speech_like(16000, 16000, 5);
  std::vector<float> mixed(tone.size());
  for (std::size_t i = 0; i < tone.size(); ++i) mixed[i] = 0.5F * tone[i] + 0.2F * other[i];
  CHECK(runtime::kept_db(tone, mixed) == Approx(-6.02).margin(0.2));
  CHECK(runtime::kept_db(tone, tone) == Approx(0.0).margin(1e-6));
  CHECK(runtime::power_db(0.0) == -200.0);
}
