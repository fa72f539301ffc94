#include "tools/train/composed_speech.h"

#include <catch2/catch.hpp>
#include <map>

#include "audio/audio_file.h"
#include "runtime/core/error.h"
#include "tests/support/temp_dir.h"

using namespace duet::train;

TEST_CASE("composed speech is its units' samples end to end, edges and silence included",
          "[unit]") {
  const duet::support::TempDir dir;
  const auto write = [&](const std::string& name, const std::vector<float>& samples) {
    duet::audio::write_wav_file(dir.file(name), samples, 24000);
  };
  std::vector<float> loud(4800, 0.5F), half_silent(4800, 0.0F);
  for (size_t i = 2400; i < 4800; ++i) half_silent[i] = -0.25F;
  write("a.wav", loud);
  write("b.wav", half_silent);
  dir.write("units.jsonl", R"({"id":"a","role":"unit","text":"A","file":"a.wav"})"
                           "\n"
                           R"({"id":"b","role":"unit","text":"B","file":"b.wav"})"
                           "\n");
  dir.write("composed.jsonl", R"({"text":"A B","units":["a","b"]})"
                              "\n"
                              R"({"text":"B","units":["b"]})"
                              "\n\n"
                              R"({"text":"B A B","units":["b","a","b"]})"
                              "\n");
  SpeechSetConfig set;
  set.manifests = {dir.file("units.jsonl")};
  set.sample_rate_hz = 24000;
  const std::vector<Utterance> units = load_units(set);
  REQUIRE(units.size() == 2);
  REQUIRE(units[1].samples.size() == 4800);  // its silence belongs to it

  const auto replies = read_composed(dir.file("composed.jsonl"), units);
  REQUIRE(replies.size() == 3);
  CHECK(replies[2].units == std::vector<uint32_t>{1, 0, 1});

  // "a" is in two of the replies: they come again until it has been heard five times.
  const auto spoken = compose_speech(units, dir.file("composed.jsonl"), 5);
  std::map<std::string, size_t> count;
  for (const Utterance& reply : spoken) {
    ++count[reply.text];
    std::vector<int16_t> want;
    const auto add = [&](size_t unit) {
      want.insert(want.end(), units[unit].samples.begin(), units[unit].samples.end());
    };
    for (const char c : reply.text)
      if (c != ' ') add(c == 'A' ? 0 : 1);
    CHECK(reply.samples == want);
  }
  CHECK(count["B"] == 1);
  CHECK(count["A B"] + count["B A B"] == 5);
  CHECK(compose_speech(units, dir.file("composed.jsonl"), 1).size() <= 3);

  dir.write("bad.jsonl", R"({"text":"A C","units":["a","c"]})"
                         "\n");
  CHECK_THROWS_WITH(compose_speech(units, dir.file("bad.jsonl"), 1),
                    Catch::Contains("bad.jsonl:1") && Catch::Contains("\"c\""));
  CHECK_THROWS_AS(read_composed(dir.file("none.jsonl"), units), duet::core::LoadError);
}
