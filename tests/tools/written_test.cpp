#include "tools/train/written.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <map>

#include "runtime/core/error.h"

using namespace duet::train;

namespace {

// A letter is a piece, heard as 0..25 and said as 100..125.
std::vector<int64_t> letters(const std::string& text, int64_t first) {
  std::vector<int64_t> out;
  for (char c : text) out.push_back(first + (c - 'a'));
  return out;
}

AgentClip clip(int64_t frames, int16_t code) {
  AgentClip out;
  out.num_frames = frames;
  out.codes.assign(static_cast<size_t>(2 * frames), code);
  return out;
}

WrittenConfig exact() {
  WrittenConfig config;
  config.num_steps = 300;
  config.codebook_size = 1000;
  config.num_heard_pieces = 26;
  config.substituted = config.deleted = config.inserted = 0.0;
  return config;
}

WrittenMixer mixer(const WrittenConfig& config) {
  DialogueScript script;
  script.turns = {{"a", "abba", "xyz"}, {"b", "caa", "zy"}};
  return WrittenMixer(
      config, {script}, {clip(8, 5), clip(20, 6)}, {7, 8},
      [](const std::string& text) { return letters(text, 0); },
      [](const std::string& text) { return letters(text, 100); });
}

std::vector<int64_t> pieces_between(const WrittenDialogue& d, int64_t from, int64_t to) {
  std::vector<int64_t> out;
  for (int64_t t = from; t < to; ++t)
    if (d.heard[static_cast<size_t>(t)] >= 0) out.push_back(d.heard[static_cast<size_t>(t)]);
  return out;
}

}  // namespace

TEST_CASE("every turn of a conversation is heard before its reply is written, in order", "[unit]") {
  const WrittenMixer written = mixer(exact());
  for (uint64_t seed = 0; seed < 50; ++seed) {
    const WrittenDialogue d = written.mix(seed);
    REQUIRE(d.heard.size() == 300);
    REQUIRE(d.dialogue.user.empty());
    std::vector<int64_t> bos, eos;
    for (int64_t t = 0; t < 300; ++t) {
      if (d.dialogue.text[static_cast<size_t>(t)] == 1) bos.push_back(t);
      if (d.dialogue.text[static_cast<size_t>(t)] == 2) eos.push_back(t);
    }
    REQUIRE(bos.size() == 2);
    REQUIRE(eos.size() == 2);
    REQUIRE(d.turns.size() == 2);
    CHECK(d.turns[1].topic == "b");
    CHECK(d.turns[1].bos_slot == bos[1]);
    CHECK(d.turns[1].num_tokens == 2);
    CHECK(pieces_between(d, 0, bos[0]) == letters("abba", 0));
    CHECK(pieces_between(d, bos[0], eos[0]).empty());
    CHECK(pieces_between(d, eos[0], bos[1]) == letters("caa", 0));
    CHECK(std::vector<int64_t>(d.dialogue.text.begin() + bos[0] + 1,
                               d.dialogue.text.begin() + bos[0] + 4) == letters("xyz", 100));
    CHECK(std::vector<int64_t>(d.dialogue.text.begin() + bos[1] + 1,
                               d.dialogue.text.begin() + bos[1] + 3) == letters("zy", 100));
    CHECK(d.dialogue.text[static_cast<size_t>(bos[1] + 3)] == 0);
    // Two of the same piece in a row are apart, or CTC would have made one of them.
    for (size_t t = 1; t < d.heard.size(); ++t)
      CHECK_FALSE((d.heard[t] >= 0 && d.heard[t] == d.heard[t - 1]));
    // Codes: BOS, the frames of a clip, EOS, silence elsewhere.
    const auto& codes = d.dialogue.codes;
    for (int64_t k = 0; k < 2; ++k) {
      const auto at = [&](int64_t t) { return codes[static_cast<size_t>(k * 300 + t)]; };
      CHECK(at(bos[0]) == 1000);
      CHECK((at(bos[0] + 1) == 5 || at(bos[0] + 1) == 6));
      CHECK(at(eos[0]) == 1001);
      CHECK(at(eos[0] + 1) == 7 + k);
      CHECK(at(0) == 7 + k);
    }
  }
}

TEST_CASE("written dialogues are a function of the seed", "[unit]") {
  const WrittenMixer written = mixer(exact());
  CHECK(written.mix(4).heard == written.mix(4).heard);
  CHECK(written.mix(4).heard != written.mix(5).heard);
}

TEST_CASE("recognition errors come as often as asked for", "[unit]") {
  WrittenConfig config = exact();
  config.substituted = 0.2;
  const WrittenMixer written = mixer(config);
  std::map<bool, int> wrong;
  for (uint64_t seed = 0; seed < 400; ++seed) {
    const WrittenDialogue d = written.mix(seed);
    const auto all = pieces_between(d, 0, 300);
    const auto want = letters("abbacaa", 0);
    REQUIRE(all.size() == want.size());
    for (size_t i = 0; i < all.size(); ++i) ++wrong[all[i] != want[i]];
  }
  const double share = wrong[true] / 2800.0;  // 0.2 * 25 / 26, +- 3 sigma
  CHECK(share > 0.167);
  CHECK(share < 0.218);
}

TEST_CASE("a reply longer than the dialogue is cut, not written outside", "[unit]") {
  WrittenConfig config = exact();
  config.num_steps = 12;
  const WrittenMixer written = mixer(config);
  for (uint64_t seed = 0; seed < 50; ++seed) {
    const WrittenDialogue d = written.mix(seed);
    CHECK(d.heard.size() == 12);
    CHECK(d.dialogue.text.size() == 12);
    CHECK(d.dialogue.codes.size() == 24);
  }
}

TEST_CASE("nothing to write is an error that says so", "[unit]") {
  CHECK_THROWS_AS(WrittenMixer(exact(), {}, {clip(3, 1)}, {7, 8}, nullptr, nullptr),
                  duet::core::ConfigError);
}
