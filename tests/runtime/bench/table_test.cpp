#include "runtime/bench/table.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <filesystem>

#include "audio/audio_file.h"
#include "runtime/bench/spectrogram.h"
#include "runtime/bench/table_parts.h"
#include "runtime/core/error.h"
#include "tests/support/polite_engine.h"
#include "tests/support/temp_dir.h"

using namespace duet;
using namespace duet::runtime;
using namespace duet::runtime::bench;
using Catch::Contains;
using support::TempDir;

namespace {

const std::string kHead = "schema: duet.bench.table/1\nname: test\n";

Figure shares(const std::string& id, const std::vector<double>& values) {
  Figure figure{id, Unit::kShare, {}};
  for (std::size_t i = 0; i < values.size(); ++i)
    figure.values.emplace_back("q" + std::to_string(i), values[i]);
  return figure;
}

/// A suite of one question, three recorded questions, a table over them.
struct Material {
  TempDir dir;
  Material() {
    std::vector<float> hum(16000);
    for (std::size_t i = 0; i < hum.size(); ++i)
      hum[i] = 0.3F * static_cast<float>(std::sin(0.08 * static_cast<double>(i)));
    audio::write_wav_file(dir.file("turn.wav"), hum, 16000);
    dir.write("suite.yaml",
              "schema: duet.bench/1\nname: tiny\ndialogs:\n  - id: d1\n    events:\n"
              "      - {kind: question, audio: turn.wav, key: {number: 12}}\n");
    std::string lines;
    for (const char* id : {"q1", "q2", "q3"})
      lines +=
          std::string("{\"id\":\"") + id +
          R"(","role":"user","split":"heldout","topic":"sum","text":"Seven plus five?","key":["twelve"],"reply":"Twelve.","file":"turn.wav"})"
          "\n";
    dir.write("manifest.jsonl", lines);
  }
  TableSpec spec() const {
    return load_table_spec(dir.write(
        "table.yaml",
        kHead + "parts:\n  suite: {suite: suite.yaml}\n  asked: {questions: " +
            dir.file("manifest.jsonl") +
            "}\n  noisy: {like: asked, noise_snr_db: 30}\n"
            "  long: {like: asked, conversations: 1, minutes: 1}\n"
            "  gone: {questions: /no/such/file, how: ask a friend}\n"
            "  silence: {quiet: {minutes: 0.1}}\n  speed: {speed: {steps: 3}}\n"
            "  judged: {judged: asked, how: run it}\n"
            "rows:\n  - {label: answers, part: suite, figure: answered, at_least: 1}\n"
            "  - {label: right, part: asked, figure: right, at_least: 0.9}\n"
            "  - {label: noise, part: noisy, figure: right, against: asked, at_least: -0.03}\n"
            "  - {label: hour, part: long, figure: right.last, against: long, "
            "against_figure: right.first, at_least: -0.02}\n"
            "  - {label: friends, part: gone, figure: right, at_least: 0.9}\n"
            "  - {label: quiet, part: silence, figure: starts.sum, at_most: 0}\n"
            "  - {label: judge, part: judged, figure: wer, at_most: 0.08}\n"
            "  - {label: speed, part: speed, figure: step.p99, at_most: 0.025}\n"
            "  - {label: nobody, missing: nobody knows how}\n"));
  }
  std::vector<PartResult> measure(const Engine& engine) const {
    MeasureContext context{.engine = &engine, .work = dir.file("work")};
    context.on_progress = [](double) {};
    context.should_stop = [] { return false; };
    std::vector<PartResult> results;
    for (const TablePart& part : spec().parts) results.push_back(*measure_part(part, context));
    return results;
  }
};

}  // namespace

TEST_CASE("rows are met, missed, or not measured and why", "[unit]") {
  const TableSpec spec{.name = "t",
                       .parts = {},
                       .rows = {{.label = "a", .part = "p", .figure = "right", .at_least = 0.75},
                                {.label = "b", .part = "p", .figure = "right", .at_most = 0.5},
                                {.label = "c", .part = "p", .figure = "none"},
                                {.label = "d", .part = "gone", .figure = "right"},
                                {.label = "e",
                                 .part = "p",
                                 .figure = "worse",
                                 .against = "p",
                                 .against_figure = "right",
                                 .at_least = -0.3},
                                {.label = "f", .missing = "nobody knows how"},
                                {.label = "g", .part = "never", .figure = "right"}}};
  const Table table =
      make_table(spec,
                 {{"p", {shares("right", {1, 1, 0, 1}), shares("worse", {1, 0, 0, 1})}, "", 2.0},
                  {"gone", {}, "no file", 0.0}},
                 "made up 1");
  CHECK(table.rows[0].is_met == true);
  CHECK(table.rows[0].estimate.n == 4);
  CHECK(table.rows[0].estimate.value == 0.75);
  CHECK(table.rows[1].is_met == false);
  CHECK(table.rows[2].missing == "nothing counts for none in p");
  CHECK(table.rows[3].missing == "no file");
  CHECK(table.rows[4].estimate.value == Approx(-0.25));
  CHECK(table.rows[4].estimate.low == Approx(-0.75));
  CHECK(table.rows[4].estimate.high == 0.0);
  CHECK(table.rows[4].is_met == true);
  CHECK(table.rows[5].missing == "nobody knows how");
  CHECK(table.rows[6].missing == "never has not been run");
  CHECK_FALSE(table.rows[6].is_met.has_value());
  CHECK_THAT(to_text(table), Contains("75.0 %") && Contains("at least 75.0 %: met") &&
                                 Contains("at most 50.0 %: MISSED") &&
                                 Contains("not measured: no file") &&
                                 Contains("2 met, 1 missed, 4 not measured"));
}

TEST_CASE("a table reads itself again, and its page loads nothing", "[unit]") {
  const TempDir dir;
  const TableSpec spec{.name = "t",
                       .parts = {},
                       .rows = {{.label = "a <b>",
                                 .part = "p",
                                 .figure = "stop.p95",
                                 .at_least = 0.1,
                                 .at_most = 0.5,
                                 .reference = "others"},
                                {.label = "f", .missing = "nobody knows how"}}};
  Figure stops{"stop.p95", Unit::kMilliseconds, {{"x", INFINITY}, {"y", 0.2}}};
  const Table table = make_table(spec, {{"p", {stops}, "", 2.0}}, "made up 1");
  const std::string json = to_json(table);
  CHECK(to_json(load_table(dir.write("t.json", json))) == json);
  CHECK_THROWS_WITH(load_table(dir.write("u.json", "{}")), Contains("u.json"));
  const std::string page = to_html(table, {.work = dir.path(), .more = "<h2>more</h2>"});
  CHECK_THAT(page, Contains("a &lt;b&gt;") && Contains("never") && Contains("100 ms to 500 ms") &&
                       Contains("nobody knows how") && Contains("<h2>more</h2>"));
  CHECK_THAT(page, !Contains("http:") && !Contains("https:"));
}

TEST_CASE("a table file that is wrong is refused by file and key", "[unit]") {
  const TempDir dir;
  const auto refusal = [&](const std::string& text) {
    return support::error_of<core::ConfigError>(
        [&] { load_table_spec(dir.write("t.yaml", kHead + text)); });
  };
  CHECK_THAT(refusal("parts: {a: {minutes: 3}}\n"), Contains("one of suite, questions"));
  CHECK_THAT(refusal("parts: {a: {like: b}}\n"), Contains("questions part above"));
  CHECK_THAT(refusal("parts: {a/b: {speed: {steps: 3}}}\n"), Contains("folder's"));
  CHECK_THAT(refusal("parts: {a: {speed: {steps: 3}, split: x}}\n"), Contains("split"));
  CHECK_THAT(refusal("rows: [{label: x, part: p, figure: f}]\nparts: {}\n"),
             Contains("the id of a part, found \"p\""));
  CHECK_THAT(refusal("parts: {a: {judged: b}}\n"), Contains("the id of a part, found \"b\""));
}

TEST_CASE("every part is measured once; what is missing says so", "[unit]") {
  const Material material;
  const auto first = material.measure(support::PoliteEngine());
  const Table table = make_table(material.spec(), first, "polite");
  const auto row = [&](const std::string& label) {
    for (const MeasuredRow& found : table.rows)
      if (found.row.label == label) return found;
    FAIL("no row " << label);
    return MeasuredRow{};
  };
  CHECK(row("answers").is_met == true);
  CHECK(row("right").is_met == true);
  CHECK(row("right").estimate.n == 3);
  CHECK(row("noise").estimate.value == 0.0);
  CHECK(row("hour").estimate.n == 3);
  CHECK(row("quiet").estimate.value == 0.0);
  CHECK_THAT(row("friends").missing, Contains("/no/such/file: ask a friend"));
  CHECK_THAT(row("judge").missing, Contains("work/asked/heard.jsonl: run it"));
  CHECK_THAT(row("speed").missing, Contains("cannot be timed"));
  CHECK(row("nobody").missing == "nobody knows how");

  // An engine that cannot step: whatever is measured already needs none.
  const auto again = material.measure(support::PoliteEngine({.throw_at = 0}));
  CHECK(to_json(make_table(material.spec(), again, "polite")) == to_json(table));
  // The judge has come by: half of the words of one reply are wrong.
  material.dir.write(
      "work/asked/heard.jsonl",
      R"({"id":"q1","is_right_as_heard":true,"reply":"It is twelve now.","heard":"It is seven noon."})"
      "\n");
  const Table judged =
      make_table(material.spec(), material.measure(support::PoliteEngine()), "polite");
  CHECK(judged.rows[6].estimate.value == Approx(0.5));
  CHECK_THAT(to_html(judged, {.work = material.dir.file("work")}),
             Contains("Listen: suite") && Contains("data:audio/ogg;base64") &&
                 Contains("data:image/bmp;base64") && Contains("<svg class=\"dialog\""));
}

TEST_CASE("a part that is told to stop leaves no result", "[unit]") {
  const Material material;
  const support::PoliteEngine engine;
  MeasureContext context{.engine = &engine, .work = material.dir.file("work")};
  context.on_progress = [](double) {};
  context.should_stop = [] { return true; };
  for (const TablePart& part : material.spec().parts)
    if (part.id == "asked" || part.id == "suite" || part.id == "silence")
      CHECK_FALSE(measure_part(part, context).has_value());
  CHECK_FALSE(std::filesystem::exists(material.dir.file("work/asked/figures.json")));
}

TEST_CASE("a spectrogram is darkest where a tone is", "[unit]") {
  std::vector<float> tone(24000);
  for (std::size_t i = 0; i < tone.size(); ++i)
    tone[i] = 0.5F * static_cast<float>(
                         std::sin(2.0 * 3.14159265 * 2000.0 * static_cast<double>(i) / 24000.0));
  const SpectrogramSize size{.width = 10, .height = 80, .top_hz = 8000.0};
  const auto bmp = spectrogram_bmp(tone, 24000, size);
  const std::size_t head = 14 + 40 + 1024, row_bytes = 12;
  REQUIRE(bmp.size() == head + 80 * row_bytes);
  std::size_t darkest = 0;
  for (std::size_t row = 0; row < 80; ++row)
    if (bmp[head + row * row_bytes + 5] > bmp[head + darkest * row_bytes + 5]) darkest = row;
  CHECK(std::abs(static_cast<double>(darkest) - 19.5) <= 1.0);  // 100 Hz a row, the lowest first.
  const auto silent = spectrogram_bmp(std::vector<float>(2400), 24000, size);
  CHECK(*std::max_element(silent.begin() + head, silent.end()) == 0);
  CHECK(spectrogram_bmp({}, 24000, size) == silent);
}
