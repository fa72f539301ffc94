#include "runtime/echo_bench_model.h"

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "runtime/core/error.h"
#include "runtime/echo_bench.h"
#include "tests/support/polite_engine.h"
#include "tests/support/speech_like.h"
#include "tests/support/temp_dir.h"

using namespace duet;
using runtime::Activity;
using runtime::EchoModelOptions;
using runtime::EchoVoices;
using support::PoliteEngine;
using support::TempDir;

namespace {

/// Answers for 5 s in something like a voice, and falls silent at any sound of a third of a second.
support::Manners manners() {
  // Two at once, so that one sounds while the other pauses.
  auto voice = test::speech_like(10 * 24000, 24000, 5);
  const auto other = test::speech_like(voice.size(), 24000, 7);
  for (std::size_t i = 0; i < voice.size(); ++i) voice[i] = 0.5F * (voice[i] + other[i]);
  return {.answer_after = 5, .answer_steps = 62, .stop_after = 4, .voice = std::move(voice)};
}

EchoVoices voices() {
  const auto clip = [](std::uint32_t seed) {
    // Played faster, it is another's voice: the same pitch would be cancelled with the echo.
    return runtime::bench::Clip{test::speech_like(24000, 11000, seed), {0.0, 1.5}};
  };
  return {.questions = {clip(3), clip(4)}, .interruptions = {clip(11)}, .fingerprint = "test"};
}

EchoModelOptions small() {
  return {.num_rooms = 2,
          .thd = {0.0},
          .playback_s = 16.0,
          .others_playback_s = 16.0,
          .talks_per_room = 1,
          .others_talks_per_room = 0,
          .num_threads = 2};
}

}  // namespace

TEST_CASE("an interruption is put where the agent would have gone on", "[unit]") {
  Activity agent;
  agent.segments = {{0.2, 0.4}, {2.0, 3.0}, {4.0, 5.5}, {6.0, 9.0}};
  CHECK(*runtime::find_interruption(agent, 1.0) == Approx(6.31));
  agent.segments = {{2.0, 9.0}};
  CHECK(*runtime::find_interruption(agent, 1.0) == Approx(5.0));
  agent.segments = {{2.0, 6.5}};
  CHECK_FALSE(runtime::find_interruption(agent, 1.0).has_value());
  CHECK_FALSE(runtime::find_interruption(agent, 8.0).has_value());
}

TEST_CASE("an agent that hears itself stops; the full chain lets it talk and be interrupted",
          "[.slow][dsp]") {
  const PoliteEngine engine(manners());
  double last = 0.0;
  const auto result = measure_echo_with_model(engine, voices(), small(), [&](double share) {
    CHECK(share > last);
    last = share;
  });
  CHECK(last == Approx(1.0));
  CHECK(result.is_complete());
  CHECK(result.system == "polite");
  const auto& nothing = result.scores[0];
  const auto& chain = result.scores[2];
  CHECK(nothing.classes[0].num_stops > 0);
  CHECK(nothing.talks[0].success.n == 0);
  CHECK(chain.classes[0].num_stops + chain.classes[0].num_starts == 0);
  CHECK(chain.classes[0].hours * 3600.0 > 5.0);
  CHECK(chain.classes[0].most_per_hour * chain.classes[0].hours == Approx(3.0).margin(0.01));
  CHECK(*chain.classes[0].erle_db > 20.0);
  CHECK(*chain.classes[0].erle_db > *nothing.classes[0].erle_db + 10.0);  // Half duplex, there.
  CHECK(chain.classes[0].num_replies == chain.classes[0].num_same_words);
  CHECK(chain.classes[0].num_replies > 0);
  CHECK(chain.talks[0].success.n == 2);
  CHECK(chain.talks[0].success.value == 1.0);
  CHECK(chain.talks[0].median_stop_s < 1.0);
  CHECK(chain.talks[0].kept_db == Approx(0.0).margin(1.5));

  runtime::EchoReportTable table;
  table.model = result;
  const std::string text = table.to_text();
  CHECK_THAT(text, Catch::Contains("own echo, THD 0 %: false stops + false starts") &&
                       Catch::Contains("100.0 % of 2") &&
                       Catch::Contains("user 12 dB below the echo"));
  CHECK_THAT(table.to_json(), Catch::Contains("\"false_stops\"") && Catch::Contains("polite"));
}

TEST_CASE("a stopped run goes on from its files, and gives what an unbroken one gives",
          "[.slow][e2e]") {
  const TempDir folder;
  EchoModelOptions options = small();
  options.num_threads = 1;
  const PoliteEngine engine(manners());
  const auto whole = measure_echo_with_model(engine, voices(), options);
  options.folder = folder.file("work");
  double done = 0.0;
  const auto part = measure_echo_with_model(
      engine, voices(), options, [&](double share) { done = share; }, [&] { return done > 0.4; });
  CHECK(part.num_done < part.num_wanted);
  CHECK(part.num_done > 0);
  const auto files = [&] {
    return std::distance(std::filesystem::directory_iterator(options.folder), {});
  };
  const auto num_before = files();
  const auto rest = measure_echo_with_model(engine, voices(), options);
  CHECK(rest.is_complete());
  CHECK(files() > num_before);
  for (std::size_t c = 0; c < 3; ++c) {
    CHECK(rest.scores[c].classes[0].hours == whole.scores[c].classes[0].hours);
    CHECK(rest.scores[c].classes[0].erle_db == whole.scores[c].classes[0].erle_db);
    CHECK(rest.scores[c].talks[1].kept_db == whole.scores[c].talks[1].kept_db);
  }
  // Files alone now: an engine that fails would be noticed.
  const PoliteEngine broken({.throw_at = 0});
  CHECK(measure_echo_with_model(broken, voices(), options).num_failures == 0);
  // Those of other options are not taken.
  options.playback_s = 17.0;
  CHECK(measure_echo_with_model(broken, voices(), options).num_failures > 0);
}

TEST_CASE("voices come from a suite; one without long answers is refused", "[unit]") {
  const auto voices =
      runtime::load_echo_voices(DUET_SOURCE_DIR "/configs/bench/impatient/suite.yaml");
  CHECK(voices.questions.size() > 20);
  CHECK(voices.interruptions.size() > 20);
  CHECK_THROWS_WITH(runtime::load_echo_voices(DUET_SOURCE_DIR "/configs/bench/pauses/suite.yaml"),
                    Catch::Contains("interruptions"));
}

TEST_CASE("impossible sizes are refused", "[unit]") {
  const PoliteEngine engine;
  EchoModelOptions options = small();
  options.others_playback_s = 100.0;
  CHECK_THROWS_AS(measure_echo_with_model(engine, voices(), options), core::ConfigError);
}
