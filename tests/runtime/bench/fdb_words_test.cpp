#include "runtime/bench/fdb_words.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <filesystem>

#include "audio/audio_file.h"
#include "runtime/bench/fdb_layout.h"
#include "runtime/core/error.h"
#include "tests/support/fake_engine.h"
#include "tests/support/temp_dir.h"

using namespace duet;
using namespace duet::runtime;
using namespace duet::runtime::bench;
namespace fs = std::filesystem;

namespace {

// Sound in [1, 2) and [3, 3.5) of four seconds; "six plus three" and "nine" are heard there.
std::vector<float> two_stretches() {
  std::vector<float> samples(4 * 16000, 0.0F);
  for (std::size_t i = 0; i < samples.size(); ++i)
    if ((i >= 16000 && i < 32000) || (i >= 48000 && i < 56000))
      samples[i] = 0.3F * static_cast<float>(std::sin(0.08 * static_cast<double>(i)));
  return samples;
}

support::FakeScript recogniser() {
  support::FakeScript script;
  script.info.has_user_text = true;
  script.user_words = [](std::int64_t step) -> std::string {
    if (step == 15) return " six";    // 1.20 s
    if (step == 19) return " pl";     // 1.52 s
    if (step == 20) return "us";      // 1.60 s
    if (step == 25) return " three";  // 2.00 s, behind the sound
    if (step == 43) return " nine";   // 3.44 s
    return "";
  };
  return script;
}

}  // namespace

TEST_CASE("pieces become words between the borders of their sound", "[unit]") {
  const std::vector<fdb::HeardPiece> pieces = {
      {1.20, " six"}, {1.52, " pl"}, {1.60, "us"}, {2.00, " three"}, {3.44, " nine"}};
  const std::vector<Segment> speech = {{1.0, 2.0}, {3.0, 3.5}};
  const auto words = fdb::align_words(pieces, 0.08, speech);
  REQUIRE(words.size() == 4);
  CHECK(words[0].text == "six");
  CHECK(words[0].start_s == 1.0);  // with the sound
  CHECK(words[0].end_s == Approx(1.28));
  CHECK(words[1].text == "plus");
  CHECK(words[1].start_s == Approx(1.28));
  CHECK(words[1].end_s == Approx(1.68));
  CHECK(words[2].text == "three");
  CHECK(words[2].end_s == 2.0);  // written late, but the sound was over
  CHECK(words[3].start_s == 3.0);
  CHECK(words[3].end_s == 3.5);
}

TEST_CASE("two words of one step, a word without sound, no word at all", "[unit]") {
  const std::vector<fdb::HeardPiece> pieces = {{0.4, " a b"}, {5.0, " c"}};
  const auto words = fdb::align_words(pieces, 0.08, std::vector<Segment>{{0.3, 0.6}});
  REQUIRE(words.size() == 3);
  CHECK(words[0].text == "a");
  CHECK(words[0].start_s == 0.3);
  CHECK(words[1].text == "b");
  CHECK(words[1].end_s == 0.6);
  CHECK(words[2].end_s == Approx(5.08));
  CHECK(words[2].start_s <= words[2].end_s);
  CHECK(fdb::align_words({}, 0.08, std::vector<Segment>{{0.3, 0.6}}).empty());
}

TEST_CASE("an engine hears a channel; words written after its end are not lost", "[unit]") {
  const support::FakeEngine engine(recogniser());
  const auto words = fdb::hear_words(engine, two_stretches(), 16000);
  REQUIRE(words.size() == 4);
  CHECK(std::abs(words[0].start_s - 1.0) < 0.05);
  CHECK(words[3].text == "nine");
  CHECK(std::abs(words[3].end_s - 3.5) < 0.05);
  const support::FakeEngine deaf({});
  CHECK_THROWS_AS(fdb::hear_words(deaf, two_stretches(), 16000), core::ConfigError);
}

TEST_CASE("transcripts of a folder: every output.wav, again only when asked, failures by name",
          "[unit]") {
  const support::TempDir dir;
  const fs::path a = fs::path(dir.file("v1_0/candor_turn_taking/1")), b = a.parent_path() / "2";
  fs::create_directories(a);
  fs::create_directories(b);
  audio::write_wav_file((a / "output.wav").string(), two_stretches(), 16000);
  dir.write("v1_0/candor_turn_taking/2/output.wav", "not a sound");
  const support::FakeEngine engine(recogniser());
  const auto failures = fdb::transcribe(engine, dir.path(), false, {});
  REQUIRE(failures.size() == 1);
  CHECK(failures[0].find("candor_turn_taking/2/output.wav") == 0);
  const auto words = fdb::read_words((a / "output.json").string());
  REQUIRE(words);
  CHECK(words->size() == 4);
  fdb::write_words((a / "output.json").string(), {});
  fdb::transcribe(engine, dir.path(), false, {});
  CHECK(fdb::read_words((a / "output.json").string())->empty());
  fdb::transcribe(engine, dir.path(), true, {});
  CHECK(fdb::read_words((a / "output.json").string())->size() == 4);
}
