#include "tools/train/speech_set.h"

#include <sndfile.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <numbers>

#include "runtime/core/error.h"
#include "tests/support/temp_dir.h"

using namespace duet::train;
using duet::support::TempDir;

namespace {

void write_tone(const std::string& path, int rate, double silence_s, double tone_s) {
  const auto quiet = static_cast<size_t>(silence_s * rate),
             loud = static_cast<size_t>(tone_s * rate);
  std::vector<float> x(2 * quiet + loud, 0.0f);
  for (size_t i = 0; i < loud; ++i)
    x[quiet + i] = static_cast<float>(
        0.5 * std::sin(2.0 * std::numbers::pi * 1000.0 * static_cast<double>(i) / rate));
  SF_INFO info{};
  info.samplerate = rate;
  info.channels = 1;
  info.format = SF_FORMAT_WAV | SF_FORMAT_PCM_16;
  SNDFILE* file = sf_open(path.c_str(), SFM_WRITE, &info);
  REQUIRE(file != nullptr);
  sf_writef_float(file, x.data(), static_cast<sf_count_t>(x.size()));
  sf_close(file);
}

}  // namespace

TEST_CASE("a speech set is filtered, resampled, trimmed, and the same from its cache", "[unit]") {
  const TempDir folder;
  write_tone(folder.file("a.wav"), 24000, 0.5, 1.0);
  write_tone(folder.file("b.wav"), 16000, 0.2, 0.5);
  folder.write(
      "m.jsonl",
      R"({"id":"a","role":"user","text":"One.","file":"a.wav","topic":"sum","reply":"Two.","key":"two","split":"heldout","speed":1.1})"
      "\n"
      R"({"role":"agent","text":"Two.","file":"b.wav"})"
      "\n");
  SpeechSetConfig config;
  config.manifests = {folder.file("m.jsonl")};
  config.cache_file = folder.file("cache.bin");
  const auto all = load_speech_set(config);
  REQUIRE(all.size() == 2);
  CHECK(all[0].split == "heldout");
  CHECK(all[0].reply == "Two.");
  CHECK(all[0].key == "two");
  CHECK(all[0].speed == Approx(1.1));
  CHECK(all[1].split == "train");
  CHECK(all[1].id == "b.wav");
  // 1 s of sound and 20 ms on both sides, in 10 ms frames (the resampler rings into a neighbouring
  // frame or two)
  CHECK(std::abs(static_cast<double>(all[0].samples.size()) - 16640.0) <= 640.0);
  CHECK(std::abs(static_cast<double>(all[1].samples.size()) - 8640.0) <= 320.0);

  const auto again = load_speech_set(config);
  REQUIRE(again.size() == 2);
  CHECK(again[0].samples == all[0].samples);
  config.role = "agent";
  CHECK(load_speech_set(config).size() == 1);
  config.role.clear();
  config.split = "heldout";
  CHECK(load_speech_set(config).front().id == "a");
}

TEST_CASE("the cache notices a changed file", "[unit]") {
  const TempDir folder;
  write_tone(folder.file("a.wav"), 16000, 0.1, 0.5);
  folder.write("m.jsonl", R"({"role":"user","text":"One.","file":"a.wav"})"
                          "\n");
  SpeechSetConfig config;
  config.manifests = {folder.file("m.jsonl")};
  config.cache_file = folder.file("cache.bin");
  const size_t before = load_speech_set(config).at(0).samples.size();
  write_tone(folder.file("a.wav"), 16000, 0.1, 0.9);
  CHECK(load_speech_set(config).at(0).samples.size() > before + 6000);
}

TEST_CASE("a broken manifest says file and line; a line being written is left for later",
          "[unit]") {
  const TempDir folder;
  const std::string path = folder.file("m.jsonl");
  folder.write("m.jsonl", "{\"role\":\"user\",\"text\":\"x\",\"file\":\"a\"}\n{oops}\n{}\n");
  CHECK_THROWS_WITH(read_manifest(path), Catch::Contains("m.jsonl:2"));
  folder.write("m.jsonl", "{\"role\":\"user\",\"file\":\"a\"}\n");
  CHECK_THROWS_WITH(read_manifest(path), Catch::Contains("\"text\""));
  folder.write("m.jsonl", "{\"role\":\"user\",\"text\":\"x\",\"file\":\"a\"}\n{\"role\":\"us");
  CHECK(read_manifest(path).size() == 1);
  CHECK_THROWS_AS(read_manifest(path + ".none"), duet::core::LoadError);
}

TEST_CASE("unreadable audio is an error, or left out on request", "[unit]") {
  const TempDir folder;
  folder.write("a.wav", "not audio");
  folder.write("m.jsonl", R"({"role":"user","text":"One.","file":"a.wav"})"
                          "\n");
  SpeechSetConfig config;
  config.manifests = {folder.file("m.jsonl")};
  CHECK_THROWS_AS(load_speech_set(config), duet::core::LoadError);
  config.skip_unreadable = true;
  CHECK(load_speech_set(config).empty());
}

TEST_CASE("silence has no sound to find", "[unit]") {
  CHECK(find_sound(std::vector<float>(1600, 0.0f), 16000, 20, 36) ==
        std::pair<int64_t, int64_t>{0, 0});
}
