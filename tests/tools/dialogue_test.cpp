#include "tools/train/dialogue.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <fstream>
#include <set>

using namespace duet::train;

namespace {

constexpr int64_t kCodes = 4032, kBos = kCodes, kEos = kCodes + 1;

Utterance user(const std::string& topic, const std::string& text, const std::string& reply,
               int64_t samples, int16_t amplitude = 8000) {
  Utterance item;
  item.role = "user";
  item.topic = topic;
  item.text = text;
  item.reply = reply;
  for (int64_t i = 0; i < samples; ++i)
    item.samples.push_back(i % 2 == 0 ? amplitude : static_cast<int16_t>(-amplitude));
  return item;
}

// Tokens 10, 11, ...; code of codebook k at frame i is 100 (k + 1) + i.
AgentClip agent(const std::string& text, int64_t num_tokens, int64_t num_frames) {
  AgentClip clip;
  clip.text = text;
  clip.num_frames = num_frames;
  for (int64_t i = 0; i < num_tokens; ++i) clip.tokens.push_back(10 + i);
  for (int64_t k = 0; k < 4; ++k)
    for (int64_t i = 0; i < num_frames; ++i)
      clip.codes.push_back(static_cast<int16_t>(100 * (k + 1) + i));
  clip.samples.assign(static_cast<size_t>(num_frames * kStepSamples), 1000);
  return clip;
}

DialogueMaterial small_material() {
  DialogueMaterial material;
  material.silence = {1, 2, 3, 4};
  material.users = {user("talk", "Question?", "Answer.", 20000)};
  material.agents = {agent("Answer.", 3, 10)};
  return material;
}

DialogueConfig plain() {
  DialogueConfig config;
  config.num_steps = 200;
  config.reply_early_probability = 1.0;
  config.barge_in_probability = config.second_barge_in_probability =
      config.backchannel_probability = 0.0;
  config.agent_backchannel_probability = config.pause_probability = config.lead_probability = 0.0;
  config.monologue_probability = config.script_probability = config.long_gap_probability = 0.0;
  config.distraction_probability = config.empty_probability = config.echo_probability = 0.0;
  config.user_gain_db = 0.0;
  config.has_channel = false;
  return config;
}

DialogueMaterial rich_material() {
  DialogueMaterial material;
  material.silence = {1, 2, 3, 4};
  material.users = {
      user("talk", "Hello.", "Hello!", 9000),
      user("fact", "Tell me about bees.", "A long fact.", 24000),
      user("stop", "Stop.", "Okay.", 5000),
      user("stop", "Okay, stop.", "Okay.", 14000),
      user("backchannel", "Uh-huh.", "", 6000),
      user("monologue", "So I went out.", "", 40000),
      user("lead", "Well,", "", 6000),
      user("name", "I'm Anna.", "Nice to meet you, Anna.", 16000),
      user("recall name", "What's my name?", "You haven't told me your name yet.", 17000),
      user("order", "A latte.", "A latte, coming up.", 16000),
      user("correction", "Make it large.", "You haven't ordered anything yet.", 16000)};
  material.agents = {agent("Hello!", 2, 9),
                     agent("A long fact.", 30, 80),
                     agent("Okay.", 2, 7),
                     agent("Mm-hmm.", 2, 6),
                     agent("Nice to meet you, Anna.", 6, 20),
                     agent("Your name is Anna.", 5, 18),
                     agent("You haven't told me your name yet.", 8, 28),
                     agent("A latte, coming up.", 6, 22),
                     agent("A large latte, coming up.", 7, 28),
                     agent("You haven't ordered anything yet.", 8, 26)};
  material.scripts = {{"train",
                       {{"order", "A latte.", "A latte, coming up."},
                        {"correction", "Make it large.", "A large latte, coming up."}}}};
  return material;
}

DialogueConfig lively() {
  DialogueConfig config;
  config.num_steps = 375;
  config.barge_in_probability = 0.7;
  config.second_barge_in_probability = 0.5;
  config.monologue_probability = 0.2;
  config.lead_probability = 0.2;
  config.has_channel = false;
  return config;
}

bool is_silent(const Dialogue& d, int64_t slot) {
  for (int64_t k = 0; k < 4; ++k)
    if (d.codes[static_cast<size_t>(k * d.num_steps + slot)] != k + 1) return false;
  return true;
}

int64_t code(const Dialogue& d, int64_t k, int64_t slot) {
  return d.codes[static_cast<size_t>(k * d.num_steps + slot)];
}

}  // namespace

TEST_CASE("a reply lies where the layout says, slot by slot", "[unit]") {
  DialogueMixer mixer(plain(), small_material());
  const Dialogue d = mixer.mix(1);
  REQUIRE(d.user_turns.size() >= 2);
  REQUIRE(d.user.size() == 200 * 1280);
  // The last sample of the user, found in the audio itself.
  const UserTurn& turn = d.user_turns[0];
  CHECK(turn.end_sample - turn.begin_sample == 20000);
  CHECK(d.user[static_cast<size_t>(turn.begin_sample)] != 0.0f);
  CHECK(d.user[static_cast<size_t>(turn.begin_sample) - 1] == 0.0f);
  CHECK(d.user[static_cast<size_t>(turn.end_sample) - 1] != 0.0f);
  CHECK(d.user[static_cast<size_t>(turn.end_sample)] == 0.0f);
  const int64_t last_step = (turn.end_sample - 1) / 1280;
  const int64_t p = last_step + 2;  // bos is decided at step last_step + 1, into slot last_step + 2
  for (int64_t s = 0; s < p; ++s) {
    CHECK(d.text[static_cast<size_t>(s)] == 0);
    CHECK(is_silent(d, s));
  }
  const std::vector<int64_t> want_text = {1, 10, 11, 12, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0};
  for (size_t i = 0; i < want_text.size(); ++i) {
    INFO("slot p + " << i);
    CHECK(d.text[static_cast<size_t>(p) + i] == want_text[i]);
    for (int64_t k = 0; k < 4; ++k) {
      const auto slot = static_cast<int64_t>(i);
      const int64_t want = slot == 0    ? kBos
                           : slot <= 10 ? 100 * (k + 1) + slot - 1
                           : slot == 11 ? kEos
                                        : k + 1;
      CHECK(code(d, k, p + slot) == want);
    }
  }
  CHECK(d.agent_turns[0].bos_slot == p);
  CHECK(d.agent_turns[0].eos_slot == p + 11);
  CHECK_FALSE(d.agent_turns[0].is_cut);
  for (int64_t s = 0; s < 200; ++s) {
    const bool spoken = d.speaking[static_cast<size_t>(s)] > 0.5f;
    if (s > turn.begin_sample / 1280 && s < last_step) CHECK(spoken);
    if (s < turn.begin_sample / 1280 || s == p) CHECK_FALSE(spoken);
  }
}

TEST_CASE("text longer than its audio is cut, the end token stays at the end of the audio",
          "[unit]") {
  DialogueMaterial material = small_material();
  material.agents = {agent("Answer.", 9, 4)};
  const Dialogue d = DialogueMixer(plain(), material).mix(1);
  const auto p = static_cast<size_t>(d.agent_turns.at(0).bos_slot);
  CHECK(std::vector<int64_t>(d.text.begin() + static_cast<long>(p),
                             d.text.begin() + static_cast<long>(p) + 7) ==
        std::vector<int64_t>{1, 10, 11, 12, 13, 2, 0});
}

TEST_CASE("an interruption ends the reply three steps after its onset", "[unit]") {
  DialogueConfig config = plain();
  config.num_steps = 375;
  config.barge_in_probability = 1.0;
  DialogueMaterial material = small_material();
  material.agents = {agent("Answer.", 40, 60)};
  DialogueMixer mixer(config, material);
  int64_t cuts = 0;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const Dialogue d = mixer.mix(seed);
    for (size_t i = 1; i < d.user_turns.size(); ++i) {
      if (d.user_turns[i].kind != UserTurn::Kind::kBargeIn) continue;
      const AgentTurn& reply = d.agent_turns[i - 1];
      const int64_t onset = d.user_turns[i].begin_sample / 1280;
      INFO("seed " << seed << " turn " << i);
      REQUIRE(onset > reply.bos_slot);
      if (!reply.is_cut) {
        CHECK(onset + 3 >= reply.bos_slot + 61);
        continue;
      }
      ++cuts;
      CHECK(reply.eos_slot == onset + 3);
      // its frames go on through slots onset .. onset + 2, unchanged
      for (int64_t s = onset; s < onset + 3; ++s)
        CHECK(code(d, 2, s) == 300 + s - reply.bos_slot - 1);
      CHECK(code(d, 2, onset + 3) == kEos);
      CHECK(d.text[static_cast<size_t>(onset + 3)] == 2);
      const int64_t next = i < d.agent_turns.size() ? d.agent_turns[i].bos_slot : d.num_steps;
      for (int64_t s = onset + 4; s < std::min(next, d.num_steps); ++s) {
        CHECK(is_silent(d, s));
        CHECK(d.text[static_cast<size_t>(s)] == 0);
      }
    }
  }
  CHECK(cuts > 20);
}

TEST_CASE("where the first word may be a backchannel the agent waits for the second", "[unit]") {
  DialogueConfig config = plain();
  config.num_steps = 375;
  config.barge_in_probability = 1.0;
  DialogueMaterial material = small_material();
  material.users = {user("talk", "Okay, stop.", "Answer.", 22000)};
  material.agents = {agent("Answer.", 40, 60)};
  DialogueMixer mixer(config, material);
  bool seen = false;
  for (uint64_t seed = 0; seed < 10; ++seed) {
    const Dialogue d = mixer.mix(seed);
    for (size_t i = 1; i < d.user_turns.size(); ++i) {
      if (d.user_turns[i].kind != UserTurn::Kind::kBargeIn || !d.agent_turns[i - 1].is_cut)
        continue;
      // "Okay," is 5 of 11 letters of 22000 samples: the second word starts 10000 samples after the
      // onset
      CHECK(d.agent_turns[i - 1].eos_slot == (d.user_turns[i].begin_sample + 10000) / 1280 + 2);
      seen = true;
    }
  }
  CHECK(seen);
}

TEST_CASE("laws that every dialogue keeps", "[property]") {
  DialogueMixer mixer(lively(), rich_material());
  std::set<std::string> seen;
  for (uint64_t seed = 0; seed < 300; ++seed) {
    const Dialogue d = mixer.mix(seed);
    INFO("seed " << seed);
    REQUIRE(d.text.size() == 375);
    REQUIRE(d.codes.size() == 4 * 375);
    // bos and eos go together in all codebooks, and alternate
    bool open = false;
    for (int64_t s = 0; s < d.num_steps; ++s) {
      const int64_t token = d.text[static_cast<size_t>(s)];
      for (int64_t k = 0; k < 4; ++k) {
        CHECK((token == 1) == (code(d, k, s) == kBos));
        CHECK((token == 2) == (code(d, k, s) == kEos));
      }
      if (token == 1) {
        CHECK_FALSE(open);
        open = true;
      } else if (token == 2) {
        CHECK(open);
        open = false;
      } else if (open) {
        CHECK_FALSE(is_silent(d, s));
      } else {
        CHECK(token == 0);
        CHECK(is_silent(d, s));
      }
    }
    size_t reply = 0;
    int64_t busy_until = 0;
    for (const UserTurn& turn : d.user_turns) {
      if (turn.kind == UserTurn::Kind::kBackchannel) {
        seen.insert("user backchannel");
        continue;
      }
      CHECK(turn.begin_sample >= busy_until);
      busy_until = turn.end_sample;
      while (reply < d.agent_turns.size() && d.agent_turns[reply].is_backchannel) {
        seen.insert("agent backchannel");
        ++reply;
      }
      if (reply == d.agent_turns.size()) continue;  // no room at the end
      const AgentTurn& answer = d.agent_turns[reply++];
      const int64_t last_step = (turn.end_sample - 1) / 1280;
      const int64_t previous = reply >= 2 ? d.agent_turns[reply - 2].eos_slot : -1;
      // nothing is decided before the user's last sample has been heard
      CHECK(answer.bos_slot - 1 > last_step);
      CHECK(answer.bos_slot <= std::max(last_step + 3, previous + 1));
      CHECK(mixer.material().agents[answer.clip].text == turn.reply);
      if (answer.is_cut) seen.insert("cut");
    }
    // a user backchannel never cuts: cut slots follow a barge-in
    for (const AgentTurn& turn : d.agent_turns) {
      if (!turn.is_cut) continue;
      bool found = false;
      for (const UserTurn& u : d.user_turns)
        found |= u.kind == UserTurn::Kind::kBargeIn && u.begin_sample / 1280 + 3 <= turn.eos_slot &&
                 u.end_sample / 1280 + 3 >= turn.eos_slot - 3;
      CHECK(found);
    }
  }
  CHECK(seen == std::set<std::string>{"user backchannel", "agent backchannel", "cut"});
}

TEST_CASE("names and orders are answered as the dialogue stands", "[property]") {
  DialogueMixer mixer(lively(), rich_material());
  std::set<std::string> told;
  for (uint64_t seed = 0; seed < 300; ++seed) {
    bool has_name = false, has_order = false;
    for (const UserTurn& turn : mixer.mix(seed).user_turns) {
      if (turn.reply == "Your name is Anna.") CHECK(has_name);
      if (turn.reply == "You haven't told me your name yet.") CHECK_FALSE(has_name);
      if (turn.reply == "A large latte, coming up.") CHECK(has_order);
      if (turn.reply == "You haven't ordered anything yet.") CHECK_FALSE(has_order);
      has_name |= turn.reply == "Nice to meet you, Anna.";
      has_order |= turn.reply == "A latte, coming up.";
      told.insert(turn.reply);
    }
  }
  CHECK(told.count("Your name is Anna.") == 1);
  CHECK(told.count("A large latte, coming up.") == 1);
  CHECK(told.count("You haven't ordered anything yet.") == 1);
}

TEST_CASE("a dialogue is a function of its seed", "[unit]") {
  DialogueConfig config = lively();
  config.has_channel = true;
  DialogueMixer mixer(config, rich_material());
  const Dialogue a = mixer.mix(7), b = mixer.mix(7), c = mixer.mix(8);
  CHECK(a.user == b.user);
  CHECK(a.codes == b.codes);
  CHECK(a.text == b.text);
  CHECK(a.user != c.user);
  for (float v : a.user) REQUIRE(std::abs(v) <= 1.0f);
}

TEST_CASE("the agent's echo comes after its sound and at its level", "[unit]") {
  DialogueConfig config = plain();
  config.echo_probability = 1.0;
  DialogueMaterial material = small_material();
  DialogueMixer mixer(config, material);
  const Dialogue with = mixer.mix(3);
  const AgentTurn& turn = with.agent_turns.at(0);
  const auto heard = static_cast<size_t>((turn.bos_slot + 2) * 1280);
  const auto user_end = static_cast<size_t>(with.user_turns[0].end_sample);
  double before = 0.0, after = 0.0;
  for (size_t i = user_end; i < heard; ++i)
    before = std::max(before, std::abs(static_cast<double>(with.user[i])));
  for (size_t i = heard; i < heard + 16000; ++i)
    after = std::max(after, std::abs(static_cast<double>(with.user[i])));
  CHECK(before < 1e-6);
  CHECK(after > 1e-4);
  CHECK(after < 0.1);
}

TEST_CASE("with nobody there the agent says nothing", "[unit]") {
  DialogueConfig config = lively();
  config.empty_probability = 1.0;
  config.has_channel = true;
  const Dialogue d = DialogueMixer(config, rich_material()).mix(5);
  CHECK(d.user_turns.empty());
  CHECK(d.agent_turns.empty());
  CHECK(std::all_of(d.text.begin(), d.text.end(), [](int64_t token) { return token == 0; }));
}

TEST_CASE("topic weights change the shares; a weight of zero removes a topic", "[unit]") {
  DialogueConfig config = plain();
  config.num_steps = 375;
  config.topic_weights = {{"talk", 0.0},        {"fact", 3.0},  {"stop", 0.0},      {"name", 0.0},
                          {"recall name", 0.0}, {"order", 1.0}, {"correction", 0.0}};
  DialogueMixer mixer(config, rich_material());
  std::map<std::string, int64_t> count;
  for (uint64_t seed = 0; seed < 200; ++seed)
    for (const UserTurn& turn : mixer.mix(seed).user_turns) ++count[turn.text];
  CHECK(count["Hello."] == 0);
  CHECK(static_cast<double>(count["Tell me about bees."]) /
            static_cast<double>(count["A latte."]) ==
        Approx(3.0).epsilon(0.3));
}

TEST_CASE(
    "engine shares: what fast voices say is taken less often, and still where it is all there is",
    "[unit]") {
  DialogueConfig config = plain();
  config.num_steps = 375;
  config.topic_weights = {{"talk", 0.0}, {"stop", 0.0},       {"name", 0.0}, {"recall name", 0.0},
                          {"fact", 1.0}, {"correction", 0.0}, {"order", 1.0}};
  config.engine_shares = {{"flite", 0.25}};
  DialogueMaterial material = rich_material();
  for (Utterance& user : material.users) user.engine = user.topic == "order" ? "flite" : "kokoro";
  Utterance fast = *std::find_if(material.users.begin(), material.users.end(),
                                 [](const Utterance& user) { return user.topic == "fact"; });
  const std::string slow = fast.text;
  fast.engine = "flite";
  fast.text = "Bees, please.";
  material.users.push_back(fast);
  DialogueMixer mixer(config, material);
  std::map<std::string, int64_t> count;
  for (uint64_t seed = 0; seed < 300; ++seed)
    for (const UserTurn& turn : mixer.mix(seed).user_turns) ++count[turn.text];
  const auto share = [&](const std::string& text) { return static_cast<double>(count[text]); };
  CHECK(share(fast.text) / share(slow) == Approx(0.25).epsilon(0.3));
  CHECK(share("A latte.") / (share(fast.text) + share(slow)) == Approx(1.0).epsilon(0.3));
  config.engine_shares = {{"flite", 1.5}};
  CHECK_THROWS_WITH(config.validate(), Catch::Contains("flite"));
}

TEST_CASE("a pause goes where it is quiet, or nowhere", "[unit]") {
  std::vector<float> speech(32000, 0.3f);
  for (size_t i = 10000; i < 11600; ++i) speech[i] = 0.001f;
  const int64_t at = find_pause(speech, 0.15, 0.6);
  CHECK(at >= 10400);
  CHECK(at <= 11200);
  CHECK(find_pause(speech, 0.5, 0.9) == -1);
}

TEST_CASE("material without one answer is refused", "[unit]") {
  DialogueMaterial material = small_material();
  material.agents.clear();
  CHECK_THROWS_WITH(DialogueMixer(plain(), material), Catch::Contains("none of which match"));
}

namespace {

std::vector<AgentClip> three_units() {
  std::vector<AgentClip> units = {agent("A small", 2, 5), agent("latte,", 1, 4),
                                  agent("coming up.", 4, 6)};
  for (size_t u = 0; u < units.size(); ++u)
    for (int16_t& code : units[u].codes) code = static_cast<int16_t>(code + 1000 * (u + 1));
  return units;
}

}  // namespace

TEST_CASE("a composed reply: its units' codes in order, their words two frames ahead", "[unit]") {
  const AgentClip clip =
      compose_clip("A small latte, coming up.", three_units(), std::vector<uint32_t>{0, 1, 2});
  REQUIRE(clip.num_frames == 15);
  CHECK(clip.tokens == std::vector<int64_t>{10, 11, 10, 10, 11, 12, 13});
  // Units begin at frames 0, 5 and 9.
  CHECK(clip.token_frames == std::vector<int64_t>{0, 1, 3, 7, 8, 9, 10});
  for (int64_t k = 0; k < 4; ++k) {
    const auto at = [&](int64_t frame) { return clip.codes[static_cast<size_t>(k * 15 + frame)]; };
    CHECK(at(0) == 1000 + 100 * (k + 1));
    CHECK(at(4) == 1000 + 100 * (k + 1) + 4);
    CHECK(at(5) == 2000 + 100 * (k + 1));
    CHECK(at(9) == 3000 + 100 * (k + 1));
    CHECK(at(14) == 3000 + 100 * (k + 1) + 5);
  }
}

TEST_CASE("words that do not fit before their unit push the next ones on, never back", "[unit]") {
  std::vector<AgentClip> units = {agent("cappuccino", 4, 1), agent("x", 1, 3)};
  const AgentClip clip = compose_clip("cappuccino x", units, {0, 1});
  CHECK(clip.token_frames == std::vector<int64_t>{0, 1, 2, 3, 4});
}

TEST_CASE("a composed reply's words stand in the slots of their frames, pads between", "[unit]") {
  DialogueMaterial material = small_material();
  material.units = three_units();
  material.agents = {compose_clip("Answer.", material.units, {0, 1, 2})};
  DialogueConfig config = plain();
  config.echo_probability = 1.0;  // its sound is that of the units
  const Dialogue d = DialogueMixer(config, material).mix(1);
  const int64_t bos = d.agent_turns.at(0).bos_slot;
  CHECK(d.agent_turns[0].eos_slot == bos + 16);
  const std::vector<int64_t> expected = {10, 11, 0, 10, 0, 0, 0, 10, 11, 12, 13, 0, 0, 0, 0};
  for (size_t i = 0; i < expected.size(); ++i)
    CHECK(d.text[static_cast<size_t>(bos) + 1 + i] == expected[i]);
  CHECK(code(d, 0, bos + 1) == 1100);
  CHECK(code(d, 3, bos + 15) == 3405);
}
