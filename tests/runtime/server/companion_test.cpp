#include "runtime/server/companion.h"

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "audio/audio_file.h"
#include "tests/support/fake_engine.h"
#include "tests/support/temp_dir.h"

using namespace duet;
using namespace std::chrono_literals;

namespace {

/// A seat whose steps are followed as a dialect would; true where the agent began.
struct Table {
  support::FakeEngine engine;
  server::Metrics metrics;
  server::Scheduler scheduler{engine, metrics, 1};
  std::shared_ptr<server::Seat> seat = scheduler.admit({});
  server::TurnClock clock{engine.info(), metrics};
  server::Step step;

  explicit Table(support::FakeScript script = {}) : engine(std::move(script)) {}

  bool hear(server::Companion& companion, float value) {
    REQUIRE(seat->push(std::vector<float>(1280, value)));
    for (int i = 0; i < 1000 && !seat->pop(step); ++i) std::this_thread::sleep_for(2ms);
    clock.follow(step);
    companion.follow(step, clock);
    return step.out.agent_turn_started;
  }
  /// Steps until the agent begins, at most `max`.
  int quiet_until_begin(server::Companion& companion, int max) {
    for (int i = 0; i < max; ++i)
      if (hear(companion, 0.0F)) return i;
    return max;
  }
};

}  // namespace

TEST_CASE("the watchdog makes an agent speak that does not answer, and is off by default",
          "[unit]") {
  const double silent_s = GENERATE(0.0, 1.0);
  Table table;
  server::Companion companion(table.seat, table.metrics, {.watchdog = {.silent_s = silent_s}});
  CHECK(table.quiet_until_begin(companion, 30) == 30);  // Nobody has said anything.
  for (int i = 0; i < 5; ++i) table.hear(companion, 0.2F);
  const int begun = table.quiet_until_begin(companion, 40);
  CHECK(begun == (silent_s > 0.0 ? Approx(19).margin(3) : Approx(40)));
  CHECK(table.metrics.watchdog_fired == (silent_s > 0.0 ? 1U : 0U));
}

TEST_CASE("the operator's program is asked after each turn, and its words are said", "[unit]") {
  support::FakeScript script;
  script.user_words = [](std::int64_t t) { return t == 2 ? " two" : t == 5 ? " coffees" : ""; };
  Table table(script);
  server::Delegate delegate(
      {"sed", "-u", "-n",
       R"x(s/.*"id":"\([^"]*\)".*"user":"\([^"]*\)".*/{"id":"\1","say":"so \2"}/p)x"},
      3.0, table.metrics);
  server::Companion companion(table.seat, table.metrics,
                              {.session_id = "s", .delegate = &delegate});
  for (int i = 0; i < 5; ++i) table.hear(companion, 0.2F);
  std::string said;
  for (int i = 0; i < 60 && said.size() < 14; ++i) {
    table.hear(companion, 0.0F);
    said += table.step.out.agent_text;
    std::this_thread::sleep_for(5ms);
  }
  CHECK(said == "so two coffees");
}

TEST_CASE("an answer that comes when the user has gone on is not said", "[unit]") {
  Table table;
  server::Delegate delegate(
      {"sh", "-c",
       R"x(while read -r l; do sleep 0.3; echo "$l" | sed 's/.*"id":"\([^"]*\)".*/{"id":"\1","say":"late"}/'; done)x"},
      3.0, table.metrics);
  server::Companion companion(table.seat, table.metrics,
                              {.session_id = "s", .delegate = &delegate});
  for (int i = 0; i < 4; ++i) table.hear(companion, 0.2F);
  for (int i = 0; i < 12; ++i) table.hear(companion, 0.0F);
  for (int i = 0; i < 3; ++i) table.hear(companion, 0.2F);
  for (int i = 0; i < 300 && table.metrics.delegations_answered == 0; ++i)
    std::this_thread::sleep_for(5ms);
  REQUIRE(table.metrics.delegations_answered == 1);
  CHECK_FALSE(table.hear(companion, 0.2F));
  CHECK_FALSE(table.hear(companion, 0.2F));
}

TEST_CASE("who is to be asked may be the client", "[unit]") {
  Table table;
  server::Companion companion(table.seat, table.metrics, {});
  int num_asked = 0;
  companion.set_on_turn([&](const std::string&) { ++num_asked; });
  for (int i = 0; i < 4; ++i) table.hear(companion, 0.2F);
  for (int i = 0; i < 14; ++i) table.hear(companion, 0.0F);
  CHECK(num_asked == 1);
}

TEST_CASE("nothing is recorded unless operator and client agree; then both are", "[unit]") {
  const support::TempDir folder;
  support::FakeScript script;
  script.replies = {{3, 4, "one two three four"}};
  {
    Table table(script);
    server::Companion closed(table.seat, table.metrics, {.session_id = "s"});
    closed.consent_to_recording();  // The operator has no folder.
    CHECK_FALSE(closed.is_recording());
    server::Companion companion(
        table.seat, table.metrics,
        {.session_id = "sess_1", .recording_folder = folder.path() + "/deep"});
    table.hear(companion, 0.1F);
    CHECK_FALSE(std::filesystem::exists(folder.path() + "/deep"));  // Nor has the client agreed.
    companion.consent_to_recording();
    CHECK(companion.is_recording());
    for (int i = 0; i < 9; ++i) table.hear(companion, 0.25F);
    CHECK(table.metrics.recordings == 1);
  }
  const auto user = audio::load_audio_file(folder.path() + "/deep/sess_1.wav", 1);
  const auto agent = audio::load_audio_file(folder.path() + "/deep/sess_1.wav", 2);
  CHECK(user.rate_hz == 24000);
  REQUIRE(user.samples.size() == 9 * 1920);
  CHECK(user.samples[5 * 1920] == Approx(0.25).margin(0.01));
  double loud = 0.0, quiet = 0.0;  // Recorded steps 1 to 9; the agent speaks in 3 to 6.
  for (int i = 0; i < 1920; ++i) {
    loud = std::max(loud, std::abs(static_cast<double>(agent.samples[3 * 1920 + i])));
    quiet = std::max(quiet, std::abs(static_cast<double>(agent.samples[7 * 1920 + i])));
  }
  CHECK(loud > 0.2);
  CHECK(quiet == 0.0);
  std::ifstream words(folder.path() + "/deep/sess_1.jsonl");
  std::string first;
  std::getline(words, first);
  CHECK(first == R"({"event":"agent_turn_started","t":0.24})");
}
