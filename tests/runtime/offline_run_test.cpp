#include "runtime/offline_run.h"

#include <unistd.h>

#include <catch2/catch.hpp>
#include <cmath>

#include "audio/audio_file.h"
#include "runtime/core/error.h"
#include "tests/support/fake_engine.h"
#include "tests/support/temp_dir.h"

using namespace duet;
using Catch::Contains;
using runtime::RunEvent;
using support::TempDir;

namespace {

/// A user who hums at 200 Hz from `start_s` to `end_s` of `seconds`.
std::vector<float> hum(double seconds, double start_s, double end_s, int rate_hz) {
  std::vector<float> samples(static_cast<std::size_t>(seconds * rate_hz), 0.0F);
  for (auto i = static_cast<std::size_t>(start_s * rate_hz);
       i < static_cast<std::size_t>(end_s * rate_hz); ++i) {
    samples[i] =
        0.3F * static_cast<float>(std::sin(2.0 * M_PI * 200.0 * static_cast<double>(i) / rate_hz));
  }
  return samples;
}

/// The first sample louder than 1e-3 of a channel, in seconds.
double onset_s(const std::string& path, int channel) {
  const auto clip = audio::load_audio_file(path, channel);
  for (std::size_t i = 0; i < clip.samples.size(); ++i) {
    if (std::abs(clip.samples[i]) > 1e-3F) return static_cast<double>(i) / clip.rate_hz;
  }
  return -1.0;
}

}  // namespace

TEST_CASE("a run on the listener's clock, every time worked out by hand", "[unit]") {
  const TempDir dir;
  support::FakeScript script;
  // The user speaks from 0.5 to 1.5 s; steps 20-31 reply: 12 steps of tone.
  script.replies = {{.first_step = 20, .num_steps = 12, .text = "seven plus five is twelve"}};
  const support::FakeEngine engine(script);
  audio::MemorySource input(hum(2.0, 0.5, 1.5, 16000), 16000, "question");
  runtime::RunOptions options;
  options.output_path = dir.file("out.wav");
  std::vector<std::pair<double, std::string>> words;
  const auto timeline =
      runtime::run_offline(engine, input, options, {.on_event = [&](const RunEvent& event) {
                             if (event.kind == RunEvent::Kind::kAgentWords)
                               words.emplace_back(event.time_s, event.text);
                           }});
  // Step 20 hears samples up to 21 * 0.08 = 1.68 s, so that is where its sound begins; 12 steps end
  // at 2.64 s.
  CHECK(onset_s(options.output_path, 2) == Approx(1.68).margin(1e-3));
  CHECK(onset_s(options.output_path, 1) == Approx(0.5).margin(1e-3));
  REQUIRE(timeline.agent.size() == 1);
  CHECK(timeline.agent[0].start_s == Approx(1.68).margin(0.011));
  CHECK(timeline.agent[0].end_s == Approx(2.64).margin(0.011));
  CHECK(timeline.agent[0].text == "seven plus five is twelve");
  REQUIRE(timeline.user.size() == 1);
  CHECK(timeline.user[0].start_s == Approx(0.5).margin(0.011));
  CHECK(timeline.user[0].end_s == Approx(1.5).margin(0.011));
  REQUIRE(timeline.reply_latency_s.size() == 1);
  CHECK(timeline.reply_latency_s[0] == Approx(0.18).margin(0.021));
  REQUIRE(words.size() == 5);
  CHECK(words[0].first == Approx(1.68));
  CHECK(words[0].second == "seven");
  // Tail: until 2 s after 2.64 s; steps end on multiples of 0.08, the agent's channel one step
  // later.
  CHECK(timeline.duration_s == Approx(4.64).margin(0.081));
  CHECK(timeline.input_seconds == Approx(2.0));
  const auto left = audio::load_audio_file(options.output_path, 1);
  CHECK(left.rate_hz == 24000);
  CHECK(left.samples.size() == audio::load_audio_file(options.output_path, 2).samples.size());
  CHECK(timeline.duration_s == Approx(static_cast<double>(left.samples.size()) / 24000));
  CHECK(dir.num_files() == 1);
}

TEST_CASE("another rate costs the resampler's look-ahead on the clock, and nothing in alignment",
          "[unit]") {
  const TempDir dir;
  support::FakeScript script;
  script.echo = true;
  const support::FakeEngine engine(script);
  audio::MemorySource input(hum(2.0, 0.5, 1.5, 48000), 48000);
  runtime::RunOptions options;
  options.output_path = dir.file("out.wav");
  options.tail_s = 1.0;
  runtime::run_offline(engine, input, options);
  CHECK(onset_s(options.output_path, 1) == Approx(0.5).margin(2e-3));
  // The echo comes one step (80 ms) and the look-ahead (2 ms) after the voice.
  CHECK(onset_s(options.output_path, 2) == Approx(0.582).margin(2e-3));
}

TEST_CASE("the tail: automatic, of a given length, and never beyond 30 s", "[unit]") {
  const auto run = [](support::FakeScript script, std::optional<double> tail_s) {
    const support::FakeEngine engine(std::move(script));
    audio::MemorySource input(hum(1.0, 0.2, 0.8, 16000), 16000);
    return runtime::run_offline(
        engine, input, {.session = {}, .realtime = false, .tail_s = tail_s, .output_path = ""});
  };
  // 1 s is 12.5 steps: 13 are fed. Then to 3.0 s or beyond: 38 steps (3.04 s), heard one step
  // later.
  CHECK(run({}, std::nullopt).num_steps == 38);
  CHECK(run({}, 0.0).num_steps == 13);
  CHECK(run({}, 1.0).num_steps == 25);
  support::FakeScript endless;
  endless.replies = {{.first_step = 5, .num_steps = 100000, .text = "x"}};
  CHECK(run(endless, std::nullopt).num_steps == 388);  // 31 s / 0.08 = 387.5
  CHECK_THROWS_WITH(run({}, -1.0), Contains("tail: expected auto, or 0 to 600 seconds"));
  CHECK_THROWS_AS(run({}, std::nan("")), core::ConfigError);
}

TEST_CASE("the same input gives the same file and words, whatever its pieces", "[property]") {
  class DripSource : public audio::MemorySource {
   public:
    using MemorySource::MemorySource;
    std::size_t read(std::span<float> out) override {
      return MemorySource::read(out.first(std::min<std::size_t>(out.size(), 97)));
    }
  };
  const TempDir dir;
  support::FakeScript script;
  script.echo = true;
  script.user_words = [](std::int64_t t) { return t == 12 ? std::string(" hum") : std::string(); };
  const support::FakeEngine engine(script);
  const auto samples = hum(1.7, 0.3, 1.2, 44100);
  runtime::RunOptions options;
  options.output_path = dir.file("a.wav");
  audio::MemorySource whole(samples, 44100);
  const auto a = runtime::run_offline(engine, whole, options);
  options.output_path = dir.file("b.wav");
  DripSource drip(samples, 44100);
  const auto b = runtime::run_offline(engine, drip, options);
  CHECK(TempDir::read(dir.file("a.wav")) == TempDir::read(dir.file("b.wav")));
  CHECK(a.user.at(0).text == "hum");
  CHECK(b.user.at(0).text == "hum");
}

TEST_CASE("an engine that fails midway leaves no file and the older one as it was", "[unit]") {
  const TempDir dir;
  support::FakeScript script;
  script.throw_at_step = 5;
  const support::FakeEngine engine(script);
  audio::MemorySource input(hum(1.0, 0.2, 0.8, 16000), 16000);
  runtime::RunOptions options;
  options.output_path = dir.write("out.wav", "older");
  CHECK_THROWS_WITH(runtime::run_offline(engine, input, options), "step 5: scripted failure");
  CHECK(TempDir::read(options.output_path) == "older");
  CHECK(dir.num_files() == 1);
}

TEST_CASE("a damaged input leaves no file", "[unit]") {
  const TempDir dir;
  audio::write_wav_file(dir.file("long.wav"), hum(3.0, 0.2, 0.8, 16000), 16000);
  audio::AudioFileReader input(dir.file("long.wav"));
  std::filesystem::resize_file(dir.file("long.wav"), 40000);  // It shrinks under our hands.
  runtime::RunOptions options;
  options.output_path = dir.file("out.wav");
  CHECK_THROWS_AS(runtime::run_offline(support::FakeEngine({}), input, options), core::LoadError);
  CHECK_FALSE(std::filesystem::exists(options.output_path));
  CHECK(dir.num_files() == 1);
}

TEST_CASE("stopping by hand writes whole files with what there is", "[unit]") {
  const TempDir dir;
  const support::FakeEngine engine(support::FakeScript{});
  audio::MemorySource input(hum(5.0, 0.2, 0.8, 16000), 16000);
  runtime::RunOptions options;
  options.output_path = dir.file("out.wav");
  int asked = 0;
  const auto timeline = runtime::run_offline(
      engine, input, options, {.on_event = {}, .should_stop = [&] { return ++asked > 40; }});
  CHECK(timeline.interrupted);
  CHECK(timeline.num_steps < 40);
  CHECK(timeline.num_steps > 5);
  const auto clip = audio::load_audio_file(options.output_path);
  CHECK(clip.samples.size() == static_cast<std::size_t>(std::lround(timeline.duration_s * 24000)));
}

TEST_CASE("a pipe is a source like any other", "[unit]") {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  const auto samples = hum(1.0, 0.2, 0.8, 16000);
  std::string bytes;
  for (const float x : samples) {
    const auto value = static_cast<std::int16_t>(std::lround(x * 32767.0F));
    bytes.append({static_cast<char>(value & 0xFF), static_cast<char>(value >> 8)});
  }
  REQUIRE(::write(ends[1], bytes.data(), bytes.size()) == std::ssize(bytes));
  ::close(ends[1]);
  audio::RawPcmSource input(ends[0], 16000, "standard input");
  const support::FakeEngine engine(support::FakeScript{});
  const auto timeline = runtime::run_offline(engine, input, {});
  ::close(ends[0]);
  CHECK(timeline.input_seconds == Approx(1.0));
  CHECK(timeline.user.size() == 1);
}

TEST_CASE("in real time the clock of the wall rules, compute time included", "[unit]") {
  const TempDir dir;
  support::FakeScript script;
  script.echo = true;
  script.compute = std::chrono::milliseconds(20);
  const support::FakeEngine engine(script);
  audio::MemorySource input(hum(0.4, 0.08, 0.3, 16000), 16000);
  runtime::RunOptions options;
  options.realtime = true;
  options.tail_s = 0.0;
  options.output_path = dir.file("out.wav");
  const auto begin = std::chrono::steady_clock::now();
  const auto timeline = runtime::run_offline(engine, input, options);
  const double wall_s =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  CHECK(wall_s >= 0.4);
  CHECK(timeline.step_ms.p50 >= 20.0);
  // Voice at 0.08; its step is over at 0.16, computed at 0.18 or (busy machine) later.
  CHECK(onset_s(options.output_path, 2) >= 0.178);
}

TEST_CASE("the listener's clock: late steps push the rest, silence makes it good", "[unit]") {
  runtime::ListenersClock fast(0.08, 0.0);
  CHECK(fast.place(0, std::nullopt, false) == Approx(0.08));
  CHECK(fast.place(1, std::nullopt, true) == Approx(0.16));
  runtime::ListenersClock clock(0.08, 0.002);
  CHECK(clock.due_s(0) == Approx(0.082));
  CHECK(clock.place(0, 0.1, false) == Approx(0.1));  // 18 ms of compute.
  CHECK(clock.place(1, 0.17, false) ==
        Approx(0.18));  // Ready at 0.17, but the step before plays until 0.18.
  CHECK(clock.place(2, 0.40, false) == Approx(0.40));  // A hiccup.
  CHECK(clock.place(3, 0.41, false) == Approx(0.48));  // Everything after it is late ...
  CHECK(clock.place(4, 0.42, true) == Approx(0.42));   // ... until silence can be dropped.
  CHECK(clock.place(5, 0.49, true) == Approx(0.49));
  CHECK(clock.place(6, 0.57, false) == Approx(0.57));
}
