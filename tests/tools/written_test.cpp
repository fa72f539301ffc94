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
    CHECK(d.turns[1].num_slots == 2);
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

namespace {

AgentClip named_clip(const std::string& text, int64_t frames, int16_t code) {
  AgentClip out = clip(frames, code);
  out.text = text;
  return out;
}

WrittenMixer mixer_with_recordings(WrittenConfig config) {
  DialogueScript both{"train", {{"a", "abba", "xyz"}, {"b", "caa", "zy"}}};
  DialogueScript unspoken{"train", {{"order", "abc", "nobodysaidthis"}}};
  DialogueScript order{"train", {{"order", "cab", "xx"}}};
  DialogueScript without_order{"train", {{"correction", "dd", "yy"}}};
  return WrittenMixer(
      config, {both, unspoken},
      {named_clip("xyz", 8, 5), named_clip("zy", 11, 6), named_clip("xx", 5, 9),
       named_clip("yy", 5, 10)},
      {7, 8}, [](const std::string& text) { return letters(text, 0); },
      [](const std::string& text) { return letters(text, 100); }, {order, without_order});
}

}  // namespace

TEST_CASE("recorded dialogues: every reply over its own codes, marked from BOS to EOS", "[unit]") {
  WrittenConfig config = exact();
  config.recorded = 1.0;
  const WrittenMixer written = mixer_with_recordings(config);
  CHECK(written.num_recorded() == 3);  // not the one that nobody has said
  const std::map<std::string, std::pair<int64_t, int64_t>> clips = {
      {"xyz", {8, 5}}, {"zy", {11, 6}}, {"xx", {5, 9}}, {"yy", {5, 10}}};
  for (uint64_t seed = 0; seed < 50; ++seed) {
    const WrittenDialogue d = written.mix(seed);
    REQUIRE(d.turns.size() > 3);
    size_t marked = 0;
    bool has_order = false;
    for (const WrittenTurn& turn : d.turns) {
      const auto [frames, code] = clips.at(turn.reply);
      if (turn.bos_slot + 1 + frames >= 300) continue;
      for (int64_t k = 0; k < 2; ++k) {
        const auto at = [&](int64_t t) {
          return d.dialogue.codes[static_cast<size_t>(k * 300 + t)];
        };
        CHECK(at(turn.bos_slot) == 1000);
        for (int64_t i = 1; i <= frames; ++i) CHECK(at(turn.bos_slot + i) == code);
        CHECK(at(turn.bos_slot + 1 + frames) == 1001);
      }
      CHECK_FALSE(d.has_own_codes[static_cast<size_t>(turn.bos_slot - 1)]);
      for (int64_t i = 0; i <= frames + 1; ++i, ++marked)
        CHECK(d.has_own_codes[static_cast<size_t>(turn.bos_slot + i)]);
      // Alone, a correction is answered as if nothing had been ordered: not after an order.
      CHECK_FALSE((has_order && turn.topic == "correction"));
      has_order = has_order || turn.topic == "order";
    }
    const auto all =
        static_cast<size_t>(std::count(d.has_own_codes.begin(), d.has_own_codes.end(), true));
    CHECK(all - marked < 15);  // but for a last reply that has no room
  }
}

TEST_CASE("composed dialogues are over their own codes where every reply has a sound, else none is",
          "[unit]") {
  WrittenConfig config = exact();
  config.recorded = 0.0;
  const WrittenMixer written = mixer_with_recordings(config);
  size_t num_without = 0;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const WrittenDialogue d = written.mix(seed);
    const auto own = std::count(d.has_own_codes.begin(), d.has_own_codes.end(), true);
    REQUIRE_FALSE(d.turns.empty());
    const bool is_without = d.turns[0].reply == "nobodysaidthis";
    num_without += is_without;
    CHECK(own == (is_without ? 0 : 8 + 11 + 4));  // two replies from BOS to EOS
    for (const WrittenTurn& turn : d.turns) CHECK(turn.topic != "correction");  // only asked
  }
  CHECK(num_without > 0);
  CHECK(num_without < 20);
}

TEST_CASE("the topics of recorded dialogues come by their weights", "[unit]") {
  WrittenConfig config = exact();
  config.recorded = 1.0;
  config.topic_weights = {{"(scripts)", 0.0}, {"order", 3.0}, {"correction", 0.0}};
  const WrittenMixer written = mixer_with_recordings(config);
  for (uint64_t seed = 0; seed < 20; ++seed)
    for (const WrittenTurn& turn : written.mix(seed).turns) CHECK(turn.topic == "order");
}

TEST_CASE("recorded dialogues are heard as recordings where there are some", "[unit]") {
  WrittenConfig config = exact();
  config.recorded = 1.0;
  const WrittenMixer written = mixer_with_recordings(config);
  const auto find = [](const std::string& text, Random&) {
    return text == "cab" ? HeardSegment{0, 42, 9, 6} : HeardSegment{};
  };
  int64_t heard = 0, all = 0;
  for (uint64_t seed = 0; seed < 30; ++seed) {
    const WrittenDialogue d = written.mix(seed, find);
    size_t next = 0;
    int64_t end = 0;
    for (const WrittenTurn& turn : d.turns) {
      ++all;
      if (turn.text == "cab") {
        ++heard;
        REQUIRE(next < d.segments.size());
        const HeardSegment& segment = d.segments[next++];
        CHECK(segment.id == 42);
        CHECK(segment.first_step >= end);
        const int64_t delay = turn.bos_slot - (segment.first_step + segment.last_frame);
        CHECK((delay == 2 || delay == 3));  // decided one step earlier: 1 or 2 after the last word
        CHECK(pieces_between(d, segment.first_step, turn.bos_slot).empty());
      }
      end = turn.bos_slot;
    }
  }
  CHECK(heard > all / 2);  // what is known is preferred
}

TEST_CASE("conversations whose replies all have a sound are over their own codes, at its pace",
          "[unit]") {
  WrittenConfig config = exact();
  config.recorded = 0.0;
  AgentClip paced = named_clip("xy", 9, 5);
  paced.tokens = letters("xy", 100);
  paced.token_frames = {0, 6};
  const auto encode = [](int64_t first) {
    return [first](const std::string& text) { return letters(text, first); };
  };
  DialogueScript script;
  script.turns = {{"sum", "abc", "xy"}};
  const WrittenMixer written(config, {script}, {paced}, {7, 8}, encode(0), encode(100));
  const WrittenDialogue d = written.mix(3);
  const int64_t bos = d.turns.at(0).bos_slot;
  CHECK(d.turns[0].num_slots == 7);
  CHECK(d.dialogue.text[static_cast<size_t>(bos + 1)] == letters("x", 100)[0]);
  CHECK(d.dialogue.text[static_cast<size_t>(bos + 2)] == 0);
  CHECK(d.dialogue.text[static_cast<size_t>(bos + 7)] == letters("y", 100)[0]);
  CHECK(d.dialogue.text[static_cast<size_t>(bos + 10)] == 2);  // with the last frame, not before
  for (int64_t slot = bos; slot < bos + 11; ++slot)
    CHECK(d.has_own_codes[static_cast<size_t>(slot)]);
}

TEST_CASE("a misheard turn: the channel holds other words, and only the end of the reply is scored",
          "[unit]") {
  WrittenConfig config = exact();
  config.recorded = 0.0;
  const auto encode = [](int64_t first) {
    return [first](const std::string& text) { return letters(text, first); };
  };
  DialogueScript script;
  script.turns = {{"sum", "abc", "xyz", "ddd", "z"}};
  const WrittenMixer written(config, {script}, {named_clip("xyz", 9, 5)}, {7, 8}, encode(0),
                             encode(100));
  const WrittenDialogue d = written.mix(3);
  CHECK(d.turns.empty());  // "right" cannot be asked of it
  int64_t bos = 0;
  while (d.dialogue.text[static_cast<size_t>(bos)] != 1) ++bos;
  CHECK(pieces_between(d, 0, bos) == letters("ddd", 0));
  CHECK(d.is_unknown[static_cast<size_t>(bos + 1)]);
  CHECK(d.is_unknown[static_cast<size_t>(bos + 2)]);
  CHECK_FALSE(d.is_unknown[static_cast<size_t>(bos + 3)]);
  CHECK_FALSE(d.is_unknown[static_cast<size_t>(bos - 1)]);
}

TEST_CASE("drills: questions close together, one to three slots a word, in its own sound",
          "[unit]") {
  WrittenConfig config = exact();
  config.drills = 1.0;
  config.drill_topics = {{"sum", 1.0}};
  AgentClip paced = named_clip("xyz", 30, 5);
  paced.tokens = letters("xyz", 100);
  paced.token_frames = {0, 9, 19};
  for (int64_t i = 0; i < 30; ++i) paced.codes[static_cast<size_t>(i)] = static_cast<int16_t>(i);
  const auto encode = [](int64_t first) {
    return [first](const std::string& text) { return letters(text, first); };
  };
  DialogueScript script;
  script.turns = {{"talk", "qqqq", "w"}, {"sum", "abc", "xyz"}, {"sum", "abc", "xyz", "dbc", "z"}};
  const WrittenMixer written(config, {script}, {paced}, {7, 8}, encode(0), encode(100));
  size_t num_scored = 0, num_misheard = 0;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const WrittenDialogue d = written.mix(seed);
    CHECK(
        std::none_of(d.has_own_codes.begin(), d.has_own_codes.end(), [](bool own) { return own; }));
    CHECK(std::count(d.heard.begin(), d.heard.end(), 'q' - 'a') == 0);
    num_misheard += static_cast<size_t>(std::count(d.heard.begin(), d.heard.end(), 'd' - 'a'));
    for (const WrittenTurn& turn : d.turns) {
      ++num_scored;
      int64_t last = turn.bos_slot;
      for (int64_t i = 0; i < 3; ++i) {
        int64_t slot = last + 1;
        while (d.dialogue.text[static_cast<size_t>(slot)] == 0) ++slot;
        CHECK(d.dialogue.text[static_cast<size_t>(slot)] == 100 + 23 + i);
        CHECK(slot - last <= (i == 0 ? 1 : 3));
        CHECK(d.dialogue.codes[static_cast<size_t>(slot)] ==
              paced.token_frames[static_cast<size_t>(i)]);
        last = slot;
      }
    }
  }
  CHECK(num_scored > 100);  // ten and more a dialogue of 300 steps, half of them misheard
  CHECK(num_misheard > 100);
  config.drills_spoken = 1.0;  // over their own codes, at their own pace
  const WrittenDialogue spoken =
      WrittenMixer(config, {script}, {paced}, {7, 8}, encode(0), encode(100)).mix(1);
  REQUIRE_FALSE(spoken.turns.empty());
  const int64_t bos = spoken.turns[0].bos_slot;
  CHECK(spoken.dialogue.text[static_cast<size_t>(bos + 1 + 19)] == 100 + 25);
  CHECK(spoken.dialogue.codes[static_cast<size_t>(bos + 30)] == 29);
  CHECK(spoken.has_own_codes[static_cast<size_t>(bos + 30)]);
  config.drill_topics = {{"fact", 1.0}};
  CHECK_THROWS_AS(WrittenMixer(config, {script}, {paced}, {7, 8}, encode(0), encode(100)),
                  duet::core::ConfigError);
}
