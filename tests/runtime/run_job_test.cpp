#include "runtime/run_job.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>

#include "audio/audio_file.h"
#include "runtime/core/error.h"
#include "tests/support/fake_engine.h"
#include "tests/support/temp_dir.h"

using namespace duet;
using Catch::Contains;
using runtime::RunJob;
using support::TempDir;

namespace {

std::vector<float> hum(std::size_t size) {
  std::vector<float> samples(size);
  for (std::size_t i = 0; i < size; ++i)
    samples[i] = 0.3F * static_cast<float>(std::sin(0.08 * static_cast<double>(i)));
  return samples;
}

std::unique_ptr<runtime::Engine> fake() {
  support::FakeScript script;
  script.replies = {{.first_step = 16, .num_steps = 10, .text = "Seven plus five is twelve."}};
  script.user_words = [](std::int64_t t) {
    return t == 8 ? std::string(" seven plus five") : std::string();
  };
  return std::make_unique<support::FakeEngine>(script);
}

std::unique_ptr<runtime::Engine> must_not_load() {
  throw std::logic_error("the model was loaded before the input was checked");
}

/// The message of a run that must fail before any model is loaded, leaving `num_files` files in
/// `dir`.
std::string failure(const RunJob& job, const TempDir& dir, std::size_t num_files) {
  std::ostringstream out;
  std::ostringstream log;
  std::string message;
  try {
    runtime::run_job(job, must_not_load, out, log);
  } catch (const core::Error& error) {
    message = error.what();
  }
  CHECK_FALSE(message.empty());
  CHECK(message.find('\n') == std::string::npos);
  CHECK(out.str().empty());
  CHECK(dir.num_files() == num_files);
  return message;
}

RunJob job_for(const TempDir& dir, const std::string& input) {
  RunJob job;
  job.input = input;
  job.output = dir.file("out.wav");
  job.timeline = dir.file("out.json");
  return job;
}

}  // namespace

TEST_CASE("a run prints the conversation and writes WAV and timeline", "[unit]") {
  const TempDir dir;
  audio::write_wav_file(dir.file("in.wav"), hum(16000), 16000);
  std::ostringstream out;
  std::ostringstream log;
  runtime::run_job(job_for(dir, dir.file("in.wav")), fake, out, log);
  // Step 8 ends at 0.72 s, step 16 at 1.36 s.
  CHECK_THAT(out.str(), Contains("   0.72  seven plus five\n"));
  CHECK_THAT(out.str(), Contains("   1.36") && Contains("Seven plus five is twelve.\n") &&
                            Contains("reply latency  median 3"));
  CHECK_THAT(out.str(), Contains("RTF"));
  CHECK_THAT(log.str(),
             Contains("1.00 s, 16000 Hz; model fake") && Contains("wrote " + dir.file("out.wav")));
  const auto json = nlohmann::json::parse(TempDir::read(dir.file("out.json")));
  CHECK(json["agent"][0]["text"] == "Seven plus five is twelve.");
  CHECK(json["agent"][0]["start_s"].get<double>() == Approx(1.36).margin(0.011));
  CHECK(json["user"][0]["text"] == "seven plus five");
  CHECK(json["model"]["name"] == "fake");
  CHECK(json["commit"].is_string());
  CHECK(audio::AudioFileReader(dir.file("out.wav")).num_channels() == 2);
  CHECK(dir.num_files() == 3);
}

TEST_CASE("bad input: one line each, no model loaded, no file written", "[unit]") {
  const TempDir dir;
  SECTION("truncated WAV") {
    audio::write_wav_file(dir.file("in.wav"), hum(16000), 16000);
    std::filesystem::resize_file(dir.file("in.wav"), 10044);
    CHECK(failure(job_for(dir, dir.file("in.wav")), dir, 1) ==
          "data chunk: expected 32000 bytes (its header), found 10000 in " + dir.file("in.wav") +
              " (the file is truncated)");
  }
  SECTION("text named .wav") {
    dir.write("in.wav", "What is seven plus five?\n");
    CHECK(failure(job_for(dir, dir.file("in.wav")), dir, 1) ==
          "audio file: expected a WAV, FLAC or Ogg file, found text (\"What is seven plus five?\") "
          "in " +
              dir.file("in.wav"));
  }
  SECTION("no samples") {
    audio::write_wav_file(dir.file("in.wav"), {}, 16000);
    CHECK(failure(job_for(dir, dir.file("in.wav")), dir, 1) ==
          "samples: expected at least 1, found 0 in " + dir.file("in.wav"));
  }
  SECTION("missing file") {
    CHECK_THAT(failure(job_for(dir, dir.file("in.wav")), dir, 0), Contains("found no such file"));
  }
  SECTION("a channel it does not have") {
    audio::write_wav_file(dir.file("in.wav"), hum(16000), 16000);
    RunJob job = job_for(dir, dir.file("in.wav"));
    job.channel = 2;
    CHECK_THAT(failure(job, dir, 1), Contains("channel: expected 1 to 1, found 2"));
  }
  SECTION("options") {
    audio::write_wav_file(dir.file("in.wav"), hum(16000), 16000);
    RunJob job = job_for(dir, dir.file("in.wav"));
    job.tail = "soon";
    CHECK(failure(job, dir, 1) == "--tail: expected auto or seconds, found \"soon\"");
    job = job_for(dir, dir.file("in.wav"));
    job.session.temperature = 3.0;
    CHECK_THAT(failure(job, dir, 1), Contains("temperature"));
  }
  SECTION("outputs that collide or have no place") {
    audio::write_wav_file(dir.file("in.wav"), hum(16000), 16000);
    RunJob job = job_for(dir, dir.file("in.wav"));
    job.output = dir.file("in.wav");
    CHECK_THAT(failure(job, dir, 1),
               Contains("output: expected a file of its own, found the input"));
    job = job_for(dir, dir.file("in.wav"));
    job.timeline = job.output;
    CHECK_THAT(failure(job, dir, 1), Contains("found the output WAV"));
    job = job_for(dir, dir.file("in.wav"));
    job.timeline = dir.file("no/such/folder.json");
    CHECK_THAT(failure(job, dir, 1), Contains("output file: expected a writable place"));
    job = job_for(dir, dir.file("in.wav"));
    job.output = dir.path();
    CHECK_THAT(failure(job, dir, 1), Contains("a folder"));
  }
}

TEST_CASE("an engine that fails leaves neither WAV nor timeline", "[unit]") {
  const TempDir dir;
  audio::write_wav_file(dir.file("in.wav"), hum(16000), 16000);
  std::ostringstream out;
  std::ostringstream log;
  const auto failing = [] {
    support::FakeScript script;
    script.throw_at_step = 3;
    return std::unique_ptr<runtime::Engine>(std::make_unique<support::FakeEngine>(script));
  };
  CHECK_THROWS_AS(runtime::run_job(job_for(dir, dir.file("in.wav")), failing, out, log),
                  runtime::StepError);
  CHECK(dir.num_files() == 1);
  const auto no_model = []() -> std::unique_ptr<runtime::Engine> {
    throw core::LoadError({"model", "one", "none", "", ""});
  };
  CHECK_THROWS_AS(runtime::run_job(job_for(dir, dir.file("in.wav")), no_model, out, log),
                  core::LoadError);
  CHECK(dir.num_files() == 1);
}

TEST_CASE("a stop before the first step leaves nothing", "[unit]") {
  const TempDir dir;
  audio::write_wav_file(dir.file("in.wav"), hum(16000), 16000);
  std::ostringstream out;
  std::ostringstream log;
  CHECK_THROWS_WITH(
      runtime::run_job(job_for(dir, dir.file("in.wav")), fake, out, log, [] { return true; }),
      Contains("a stop before that"));
  CHECK(dir.num_files() == 1);
}

TEST_CASE("where the WAV goes when nobody says", "[unit]") {
  RunJob job;
  job.input = "/some/where/question.one.flac";
  CHECK(runtime::default_output(job) == "question.one.duet.wav");
  job.input = "-";
  CHECK(runtime::default_output(job) == "stdin.duet.wav");
  job.text = "hello";
  CHECK(runtime::default_output(job) == "spoken.duet.wav");
}

TEST_CASE("tails are auto or numbers", "[unit]") {
  CHECK_FALSE(runtime::parse_tail("auto").has_value());
  CHECK(runtime::parse_tail("2.5") == 2.5);
  CHECK_THROWS_AS(runtime::parse_tail("2.5s"), core::ConfigError);
  CHECK_THROWS_AS(runtime::parse_tail(""), core::ConfigError);
}
