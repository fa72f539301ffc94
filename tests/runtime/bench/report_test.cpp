#include "runtime/bench/report.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "audio/audio_file.h"
#include "runtime/bench/make_suite.h"
#include "runtime/bench/metrics.h"
#include "runtime/bench/svg.h"
#include "runtime/core/error.h"
#include "tests/support/speech_like.h"
#include "tests/support/temp_dir.h"

using namespace duet;
using namespace duet::runtime;
using namespace duet::runtime::bench;
using Catch::Contains;
using support::TempDir;

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

EventResult interruption(double stop_s, bool is_counted = true) {
  EventResult event;
  event.id = "e2";
  event.kind = Kind::kInterruption;
  event.user = {5.0, 6.0};
  event.text = "Stop <that> & \"listen\"";
  event.has_control = true;
  event.is_agent_active = true;
  event.has_false_alarm = false;
  event.stop = EventScore{EventKind::kInterruption, is_counted, stop_s <= 1.5, 5.0, stop_s};
  return event;
}

EventResult question(double reply_s) {
  EventResult event;
  event.id = "e1";
  event.user = {1.0, 2.0};
  event.has_false_alarm = false;
  event.reply = EventScore{EventKind::kQuestion, true, reply_s <= 3.0, 2.0, reply_s};
  event.is_right = reply_s < 1.0;
  event.reply_text = "Twelve.";
  return event;
}

/// One dialogue a pair of latencies.
SuiteResult suite(const std::vector<std::pair<double, double>>& latencies) {
  SuiteResult result;
  result.system = "made up 1.0";
  result.suite = "test";
  result.fingerprint = "f00d";
  for (const auto& [reply_s, stop_s] : latencies) {
    DialogResult dialog;
    dialog.id = "d" + std::to_string(result.dialogs.size() + 1);
    dialog.duration_s = 10.0;
    dialog.events = {question(reply_s), interruption(stop_s)};
    dialog.agent = {{2.5, 5.4}};
    dialog.turns = {{2.5, 5.4, "Seven plus five is twelve.", true, true}};
    result.dialogs.push_back(dialog);
  }
  result.num_dialogs = result.dialogs.size();
  return result;
}

double metric(const SuiteResult& result, const std::string& id) {
  for (const Metric& each : compute_metrics(result))
    if (each.definition->id == id) return each.estimate.value;
  return std::nan("");
}

}  // namespace

TEST_CASE("figures by hand", "[unit]") {
  SuiteResult result = suite({{0.2, 0.4}, {0.4, 0.6}, {0.9, 1.2}, {kInfinity, kInfinity}});
  CHECK(metric(result, "stop.median") == Approx(0.9));  // 0.4 0.6 1.2 never
  CHECK(std::isinf(metric(result, "stop.p95")));
  CHECK(metric(result, "barge_in.500") == Approx(0.25));
  CHECK(metric(result, "barge_in.1000") == Approx(0.5));
  CHECK(metric(result, "barge_in.1500") == Approx(0.75));
  CHECK(metric(result, "paper.stop") == Approx((0.4 + 0.6 + 1.2) / 3.0));
  CHECK(metric(result, "reply.median") == Approx(0.4));  // Of the answered ones.
  CHECK(metric(result, "answered") == Approx(0.75));
  CHECK(metric(result, "right") == Approx(0.75));
  CHECK(metric(result, "false_alarm") == 0.0);
  CHECK(std::isnan(metric(result, "takeover")));
  // What does not count leaves the paper's own figure alone.
  result.dialogs[0].events[1] = interruption(0.4, false);
  CHECK(metric(result, "barge_in.1500") == Approx(2.0 / 3.0));
  CHECK(metric(result, "paper.barge_in") == Approx(0.75));
  CHECK(counted_text(result) == "interruption 3 of 4");
}

TEST_CASE("a JSON report comes back whole and gives the same bytes", "[unit]") {
  const TempDir dir;
  const SuiteResult result = suite({{0.2, 0.4}, {kInfinity, kInfinity}});
  const std::string json = to_json(result);
  CHECK(nlohmann::json::parse(json)["schema"] == "duet.bench.report/1");
  CHECK(nlohmann::json::parse(json)["dialogs"][1]["events"][1]["stop"]["latency_s"].is_null());
  CHECK(to_json(load_report(dir.write("a.json", json))) == json);
  CHECK_THROWS_WITH(load_report(dir.write("b.json", "{}")), Contains("b.json"));
  CHECK_THROWS_AS(load_report(dir.file("none.json")), core::LoadError);
  CHECK_THAT(to_text(result),
             Contains("stop latency, median") && Contains("n 2") && Contains("suite seed"));
}

TEST_CASE("comparison: paired, marks what is worse, refuses other suites", "[unit]") {
  std::vector<std::pair<double, double>> base, slower;
  for (int i = 0; i < 40; ++i) {
    const double spread = 0.02 * (i % 10);
    base.emplace_back(0.3 + spread, 0.4 + spread);
    slower.emplace_back(0.3 + spread, 0.5 + spread);
  }
  const auto row_of = [](const std::vector<Comparison>& rows, const std::string& id) {
    for (const Comparison& row : rows)
      if (row.definition->id == id) return row;
    return Comparison{};
  };
  const auto rows = compare(suite(base), suite(slower));
  // Every pair differs by 0.1 s: so does every resampled mean, whatever the spread.
  const Comparison stop = row_of(rows, "paper.stop");
  CHECK(stop.low == Approx(0.1));
  CHECK(stop.high == Approx(0.1));
  CHECK(stop.is_regression);
  CHECK(stop.n == 40);
  CHECK_FALSE(row_of(rows, "reply.median").is_regression);
  CHECK(row_of(compare(suite(slower), suite(base)), "paper.stop").is_improvement);
  CHECK_THAT(to_text(rows, suite(base), suite(slower)), Contains("WORSE"));
  // Infinite in both is no difference.
  const auto never = suite({{kInfinity, kInfinity}});
  for (const Comparison& row : compare(never, never)) CHECK_FALSE(row.is_regression);
  SuiteResult other = suite(base);
  other.fingerprint = "beef";
  CHECK_THROWS_AS(compare(suite(base), other), core::ConfigError);
}

TEST_CASE("the page is whole, escaped and loads nothing", "[unit]") {
  const TempDir dir;
  SuiteResult result = suite({{0.2, 0.4}, {0.5, kInfinity}, {0.3, 0.3}});
  result.dialogs[2].events.clear();
  result.dialogs[2].error = "step 7: <failed>";
  std::vector<float> stereo(2 * 48000, 0.2F);
  audio::write_wav_file(dir.file("d2.wav"), stereo, 24000, 2);
  const std::string page = to_html(result, {.folder = dir.path(), .max_dialogs = 2});
  CHECK_THAT(page, Contains("SALM-Duplex") && Contains("Stop latency [s]") &&
                       Contains("data:audio/ogg;base64,") && Contains("2 of 3") &&
                       Contains("&lt;failed&gt;") && Contains("Stop &lt;that&gt; &amp;"));
  CHECK(page.find("<that>") == std::string::npos);
  for (const char* outside : {"src=\"http", "href=", "<script", "@import", "url("})
    CHECK(page.find(outside) == std::string::npos);
  CHECK(page.find("<h3>d3") < page.find("<h3>d2"));  // The failed one first.
  CHECK(page.find("<h3>d1") == std::string::npos);
  CHECK(to_html(result, {.folder = dir.path(), .max_dialogs = 2}) == page);
  CHECK(badness(result.dialogs[1]) > badness(result.dialogs[0]));
  CHECK(envelope({0.1F, -0.5F, 0.2F, 2.0F}, 2) == std::vector<float>{0.5F, 1.0F});
}

TEST_CASE("suites are made from a manifest, the same bytes each time", "[unit]") {
  const TempDir dir;
  std::string manifest;
  for (int i = 0; i < 8; ++i) {
    const std::string n = std::to_string(i);
    audio::write_wav_file(dir.file("q" + n + ".wav"),
                          test::speech_like(32000, 16000, static_cast<std::uint32_t>(i)), 16000);
    const bool is_word = i == 7;
    manifest += R"({"id":"q)" + n + R"(","role":"user","split":"voices","voice":"v)" +
                std::to_string(i % 2) + R"(","topic":")" + (is_word ? "backchannel" : "fact") +
                R"(","text":"What about number )" + n + R"(?","key":["twelve"],"reply":")" +
                (is_word ? "" : "one two three four five six seven eight nine ten eleven twelve") +
                R"(","file":"q)" + n + ".wav\"}\n";
  }
  dir.write("manifest.jsonl", manifest);
  for (const std::string& name : suite_names()) {
    CAPTURE(name);
    MakeOptions options{.kind = suite_kind(name),
                        .manifest = dir.file("manifest.jsonl"),
                        .folder = dir.file(name),
                        .num_dialogs = 6};
    const Script script = load_script(make_suite(options));
    CHECK(script.name == (name == "noise" ? "noisy" : name));
    CHECK(script.dialogs.size() == 6);
    options.folder = dir.file(name + "2");
    CHECK(TempDir::read(make_suite(options)) == TempDir::read(script.path));
    CHECK(load_script(dir.file(name + "2/suite.yaml")).fingerprint == script.fingerprint);
    for (const ScriptDialog& dialog : script.dialogs)
      CHECK(load_clips(dialog, 16000).size() == dialog.events.size());
  }
  const Script impatient = load_script(dir.file("impatient/suite.yaml"));
  CHECK(impatient.dialogs[0].events.size() == 3);
  CHECK(impatient.dialogs[0].events[2].anchor == Anchor::kHalvedSilence);
  CHECK_THROWS_AS(suite_kind("patient"), core::ConfigError);
  CHECK_THROWS_AS(make_suite({.kind = SuiteKind::kPauses,
                              .manifest = dir.file("manifest.jsonl"),
                              .splits = {"heldout"},
                              .folder = dir.file("x")}),
                  core::ConfigError);
}

TEST_CASE("recordings are cut where they are quiet, and only there", "[unit]") {
  std::vector<float> samples(16000, 0.3F);
  CHECK(find_cut(samples, 16000) == 0);
  for (std::size_t i = 8000; i < 8960; ++i) samples[i] = 0.0F;
  const std::size_t cut = find_cut(samples, 16000);
  CHECK(cut >= 8000);
  CHECK(cut <= 8960);
}

TEST_CASE("the shipped suites load, sounds included, under their names", "[unit]") {
  for (const char* name : {"smoke", "impatient", "pauses", "backchannels", "noisy", "echo"}) {
    CAPTURE(name);
    const Script script =
        load_script(std::string(DUET_SOURCE_DIR) + "/configs/bench/" + name + "/suite.yaml");
    CHECK(script.name == name);
    CHECK(script.dialogs.size() >= 5);
    CHECK_FALSE(load_clips(script.dialogs.back(), 16000).empty());
  }
}
