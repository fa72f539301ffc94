#include <catch2/catch.hpp>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "audio/audio_file.h"
#include "tests/support/capture.h"
#include "tests/support/temp_dir.h"
#include "tools/commands/commands.h"

using Catch::Contains;
using duet::support::TempDir;
using duet::test::capture;
using duet::test::Captured;

namespace {

Captured run(std::vector<std::string> args) {
  args.insert(args.begin(), {"duet", "run"});
  std::vector<const char*> argv;
  for (const std::string& arg : args) argv.push_back(arg.c_str());
  return capture(
      [&] { return duet::commands::run_main(static_cast<int>(argv.size()), argv.data()); });
}

/// Exit code 1, exactly one line on stderr, nothing on stdout.
void check_refused(const Captured& got, const std::string& part) {
  CHECK(got.result == 1);
  CHECK(got.out.empty());
  CHECK(std::count(got.err.begin(), got.err.end(), '\n') == 1);
  CHECK_THAT(got.err, Catch::Matchers::StartsWith("duet: ") && Contains(part));
}

}  // namespace

TEST_CASE("duet run refuses bad recordings with one line and exit code 1", "[unit]") {
  const TempDir dir;
  const std::string in = dir.file("in.wav");
  const std::string out = dir.file("out.wav");
  SECTION("truncated") {
    duet::audio::write_wav_file(in, std::vector<float>(16000, 0.1F), 16000);
    std::filesystem::resize_file(in, 1044);
    check_refused(run({in, "-o", out}), "expected 32000 bytes (its header), found 1000");
  }
  SECTION("text") {
    dir.write("in.wav", "no audio\n");
    check_refused(run({in, "-o", out}), "found text (\"no audio\")");
  }
  SECTION("no samples") {
    duet::audio::write_wav_file(in, {}, 16000);
    check_refused(run({in, "-o", out}), "samples: expected at least 1, found 0");
  }
  SECTION("a model that is not there") {
    duet::audio::write_wav_file(in, std::vector<float>(16000, 0.1F), 16000);
    check_refused(run({in, "-o", out, "--model", dir.file("no-model")}), "no-model");
  }
  SECTION("a model directory without anything in it") {
    duet::audio::write_wav_file(in, std::vector<float>(16000, 0.1F), 16000);
    std::filesystem::create_directory(dir.file("model"));
    check_refused(run({in, "-o", out, "--model", dir.file("model")}), "model");
  }
  CHECK_FALSE(std::filesystem::exists(out));
  CHECK(dir.num_files() <= 2);
}

TEST_CASE("duet run wants a recording or a text, not both and not neither", "[unit]") {
  const Captured bare = run({});
  CHECK(bare.result == 2);
  CHECK(bare.out.empty());
  CHECK(std::count(bare.err.begin(), bare.err.end(), '\n') == 1);
  CHECK_THAT(bare.err, Contains("recording IN") && Contains("--text") && Contains("--help"));
  CHECK(run({"a.wav", "--text", "hello"}).result == 2);
  CHECK(run({"a.wav", "--temperature", "5"}).result == 2);
  const Captured help = run({"--help"});
  CHECK(help.result == 0);
  CHECK_THAT(help.out, Contains("--timeline") && Contains(".duet.wav") && Contains("auto"));
}
