#include "tools/train/dialogue.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numbers>
#include <tuple>

#include "runtime/core/error.h"

namespace duet::train {
namespace {

constexpr int64_t kRate = 16000;
constexpr double kTurnLevel = 0.1;  // speech level of a turn before the channel sets the real one

int64_t samples_of(double seconds) {
  return static_cast<int64_t>(seconds * static_cast<double>(kRate));
}

// Words that may only say "I am listening": what follows decides whether the agent should stop.
bool may_be_backchannel(const std::string& text) {
  std::string word;
  for (char c : text) {
    if (c == ' ' || c == ',' || c == '.') break;
    word += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  static const std::array<const char*, 14> kWords = {"uh-huh", "mm-hmm", "yeah", "right", "okay",
                                                     "oh",     "wow",    "sure", "yes",   "ah",
                                                     "i",      "hmm",    "well", "all"};
  return std::find(kWords.begin(), kWords.end(), word) != kWords.end();
}

// Share of the letters that the first word has: where the second word starts, roughly.
double first_word_share(const std::string& text) {
  const size_t space = text.find(' ');
  return space == std::string::npos ? 1.0
                                    : static_cast<double>(space) / static_cast<double>(text.size());
}

bool starts_with(const std::string& text, const char* prefix) { return text.rfind(prefix, 0) == 0; }
bool ends_with(const std::string& text, const std::string& suffix) {
  return text.size() >= suffix.size() &&
         text.compare(text.size() - suffix.size(), suffix.size(), suffix) == 0;
}
bool is_name_question(const std::string& topic) {
  return topic == "recall name" || topic == "name?";
}

size_t pick(const std::vector<size_t>& from, Random& random) {
  return from[static_cast<size_t>(uniform_index(random, static_cast<int64_t>(from.size())))];
}

std::vector<float> at_level(std::vector<float> samples, double level) {
  const double now = speech_level(samples);
  if (now > 0.0) scale(samples, level / now);
  return samples;
}

}  // namespace

void DialogueConfig::validate() const {
  const auto require = [](bool good, const char* name, const char* expected) {
    if (!good) throw core::ConfigError({.subject = name, .expected = expected});
  };
  require(num_steps >= 100, "num_steps", "at least 100");
  require(codebook_size > 0, "codebook_size", "more than 0");
  require(reply_delay_low >= 1 && reply_delay_low <= reply_delay_high, "reply_delay_low",
          "1 to reply_delay_high");
  require(cut_steps >= 1 && ambiguous_cut_steps >= 1, "cut_steps", "at least 1");
  for (double p :
       {reply_early_probability, barge_in_probability, stop_word_probability,
        second_barge_in_probability, backchannel_probability, agent_backchannel_probability,
        pause_probability, lead_probability, monologue_probability, script_probability,
        long_gap_probability, distraction_probability, empty_probability, echo_probability})
    require(p >= 0.0 && p <= 1.0, "dialogue probability", "0 to 1");
  for (const auto& [topic, weight] : topic_weights)
    require(weight >= 0.0, topic.c_str(), "a weight of 0 or more");
  for (const auto& [engine, share] : engine_shares)
    require(share >= 0.0 && share <= 1.0, engine.c_str(), "a share of 0 to 1");
  augment.validate();
}

double DialogueConfig::engine_share(const std::string& engine) const {
  const auto found = engine_shares.find(engine);
  return found == engine_shares.end() ? 1.0 : found->second;
}

std::vector<DialogueScript> read_scripts(const std::string& path) {
  std::ifstream file(path);
  if (!file)
    throw core::LoadError(
        {.subject = "dialogue scripts", .expected = "a readable file", .file = path});
  std::vector<DialogueScript> scripts;
  std::string text;
  for (int line_number = 1; std::getline(file, text); ++line_number) {
    if (text.empty()) continue;
    const nlohmann::json line = nlohmann::json::parse(text, nullptr, false);
    if (!line.is_object() || !line.contains("turns") || !line["turns"].is_array())
      throw core::LoadError({.subject = "dialogue script",
                             .expected = "an object with \"turns\"",
                             .found = text.substr(0, 60),
                             .file = path + ":" + std::to_string(line_number)});
    DialogueScript script;
    script.split = line.value("split", "train");
    for (const auto& turn : line["turns"])
      script.turns.push_back({turn.value("topic", ""), turn.value("text", ""),
                              turn.value("reply", ""), turn.value("heard", ""),
                              turn.value("scored", "")});
    scripts.push_back(std::move(script));
  }
  return scripts;
}

AgentClip compose_clip(std::string text, const std::vector<AgentClip>& parts,
                       std::vector<uint32_t> units) {
  constexpr int64_t kLead = 2;  // frames by which a unit's text is ahead of its sound
  DUET_CHECK(!parts.empty() && parts.size() == units.size());
  AgentClip clip;
  clip.text = std::move(text);
  for (const AgentClip& part : parts) clip.num_frames += part.num_frames;
  const auto books =
      static_cast<int64_t>(parts[0].codes.size()) / std::max<int64_t>(parts[0].num_frames, 1);
  clip.codes.resize(static_cast<size_t>(books * clip.num_frames));
  int64_t begin = 0;
  for (const AgentClip& unit : parts) {
    for (int64_t k = 0; k < books; ++k)
      std::copy_n(unit.codes.begin() + k * unit.num_frames, unit.num_frames,
                  clip.codes.begin() + k * clip.num_frames + begin);
    int64_t at = begin - kLead;
    for (int64_t token : unit.tokens) {
      at = std::max(at, clip.token_frames.empty() ? 0 : clip.token_frames.back() + 1);
      clip.tokens.push_back(token);
      clip.token_frames.push_back(at);
    }
    begin += unit.num_frames;
  }
  clip.units = std::move(units);
  return clip;
}

int64_t find_pause(const std::vector<float>& samples, double low, double high) {
  constexpr int64_t kWidth = kRate * 6 / 100;
  const auto total = static_cast<double>(samples.size());
  const auto begin = static_cast<int64_t>(total * low),
             end = static_cast<int64_t>(total * high) - kWidth;
  const double level = speech_level(samples);
  int64_t best = -1;
  double quietest = level * level * std::pow(10.0, -2.5) * static_cast<double>(kWidth);
  for (int64_t start = begin; start < end; start += kRate / 100) {
    double energy = 0.0;
    for (int64_t i = start; i < start + kWidth; ++i) {
      const auto v = static_cast<double>(samples[static_cast<size_t>(i)]);
      energy += v * v;
    }
    if (energy < quietest) quietest = energy, best = start + kWidth / 2;
  }
  return best;
}

DialogueMixer::DialogueMixer(const DialogueConfig& config, DialogueMaterial material)
    : config_(config), material_(std::move(material)) {
  config_.validate();
  for (size_t i = 0; i < material_.agents.size(); ++i) {
    const AgentClip& clip = material_.agents[i];
    DUET_CHECK(clip.codes.size() ==
               static_cast<size_t>(clip.num_frames) * material_.silence.size());
    agents_by_text_[clip.text].push_back(i);
  }
  for (const char* text : {"Mm-hmm.", "Uh-huh.", "Right.", "Okay.", "Sure.", "I see.", "Go on."})
    for (size_t i :
         agents_by_text_.count(text) != 0 ? agents_by_text_.at(text) : std::vector<size_t>{})
      agent_backchannels_.push_back(i);
  std::map<std::string, std::vector<size_t>> by_topic;
  for (size_t i = 0; i < material_.users.size(); ++i) {
    const Utterance& user = material_.users[i];
    users_by_text_[user.text].push_back(i);
    if (user.topic == "backchannel") backchannels_.push_back(i);
    if (user.topic == "monologue") monologues_.push_back(i);
    if (user.topic == "lead") leads_.push_back(i);
    if (user.reply.empty() || agents_by_text_.count(user.reply) == 0) continue;
    if (starts_with(user.reply, "Okay.") && user.reply.size() == 5) stops_.push_back(i);
    by_topic[user.topic].push_back(i);
    all_.push_back(i);
  }
  double sum = 0.0;
  for (auto& [topic, indices] : by_topic) {
    const auto weight = config_.topic_weights.find(topic);
    sum += weight == config_.topic_weights.end() ? 1.0 : weight->second;
    topics_.push_back(topic);
    topic_cumulative_.push_back(sum);
    questions_.push_back(std::move(indices));
  }
  if (sum <= 0.0)
    throw core::ConfigError(
        {.subject = "dialogue material",
         .expected = "user utterances whose reply the agent can say",
         .found = std::to_string(material_.users.size()) + " user utterances and " +
                  std::to_string(material_.agents.size()) + " replies, none of which match"});
  for (size_t i = 0; i < material_.scripts.size(); ++i) {
    const auto& turns = material_.scripts[i].turns;
    const bool usable =
        turns.size() > 1 && std::all_of(turns.begin(), turns.end(), [&](const auto& turn) {
          return users_by_text_.count(turn.text) != 0 && agents_by_text_.count(turn.reply) != 0;
        });
    if (usable) scripts_.push_back(i);
  }
}

std::map<std::string, int64_t> DialogueMixer::topic_counts() const {
  std::map<std::string, int64_t> counts;
  for (size_t i = 0; i < topics_.size(); ++i)
    counts[topics_[i]] = static_cast<int64_t>(questions_[i].size());
  counts["(scripts)"] = static_cast<int64_t>(scripts_.size());
  counts["(backchannels)"] = static_cast<int64_t>(backchannels_.size());
  counts["(monologue sentences)"] = static_cast<int64_t>(monologues_.size());
  return counts;
}

/// One dialogue in the making.
class DialogueMixer::Builder {
 public:
  Builder(const DialogueMixer& mixer, uint64_t seed)
      : mixer_(mixer), config_(mixer.config_), random_(seed) {
    const int64_t steps = config_.num_steps;
    const auto& silence = mixer.material_.silence;
    out_.num_steps = steps;
    out_.num_codebooks = static_cast<int64_t>(silence.size());
    out_.user.assign(static_cast<size_t>(steps * kStepSamples), 0.0f);
    out_.text.assign(static_cast<size_t>(steps), config_.text_pad);
    for (int64_t code : silence)
      out_.codes.insert(out_.codes.end(), static_cast<size_t>(steps), code);
    out_.speaking.assign(static_cast<size_t>(steps), 0.0f);
  }

  Dialogue build() {
    if (!chance(random_, config_.empty_probability)) talk();
    add_echo();
    distract();
    if (config_.has_channel) channel();
    return std::move(out_);
  }

 private:
  struct Choice {
    size_t user = 0;
    std::string reply;
    std::string topic;
  };
  // A user turn as it will be heard: parts with gaps between them.
  struct Speech {
    std::vector<float> samples;
    std::string text;
    std::vector<int64_t> borders;  // first sample of a gap after which the user goes on
  };

  void talk() {
    int64_t position = samples_of(uniform(random_, 0.2, 2.0));
    bool barge_in = false;
    while (true) {
      const Choice choice = choose(barge_in);
      const Speech speech = speak(choice, barge_in);
      const auto end = position + static_cast<int64_t>(speech.samples.size());
      if (end > static_cast<int64_t>(out_.user.size()) - kStepSamples * 6) return;
      const bool interrupts =
          !out_.agent_turns.empty() && position < out_.agent_turns.back().eos_slot * kStepSamples;
      if (interrupts) cut_last(position, end, speech.text);
      add_user(speech.samples, position, speech.text, choice.reply,
               interrupts ? UserTurn::Kind::kBargeIn : UserTurn::Kind::kTurn);
      agent_backchannels(speech, position);
      remember(choice);
      const int64_t last_step = (end - 1) / kStepSamples;
      const int64_t delay =
          chance(random_, config_.reply_early_probability)
              ? config_.reply_delay_low
              : config_.reply_delay_low +
                    uniform_index(random_, config_.reply_delay_high - config_.reply_delay_low + 1);
      int64_t bos = last_step + delay + 1;
      if (!out_.agent_turns.empty()) bos = std::max(bos, out_.agent_turns.back().eos_slot + 1);
      if (!say(choice.reply, bos, /*is_backchannel=*/false)) return;
      std::tie(position, barge_in) = next_position(end, interrupts);
    }
  }

  // Where the user speaks next, and whether that interrupts the reply just placed.
  std::pair<int64_t, bool> next_position(int64_t user_end, bool after_barge_in) {
    const AgentTurn turn = out_.agent_turns.back();
    const int64_t frames = turn.eos_slot - turn.bos_slot - 1;
    const bool is_long = frames > config_.long_reply_steps;
    const bool again =
        after_barge_in && frames >= 8 && chance(random_, config_.second_barge_in_probability);
    if (again || (is_long && chance(random_, config_.barge_in_probability))) {
      const int64_t first = turn.bos_slot + 3, last = turn.eos_slot - 5;
      if (last > first) {
        const int64_t step = first + uniform_index(random_, last - first + 1);
        const int64_t position = step * kStepSamples + uniform_index(random_, kStepSamples);
        return {std::max(position, user_end + kRate / 2), true};
      }
    }
    if (is_long) user_backchannels(turn);
    const double gap = chance(random_, config_.long_gap_probability) ? uniform(random_, 2.0, 6.0)
                                                                     : uniform(random_, 0.2, 1.8);
    return {std::max(turn.eos_slot * kStepSamples + samples_of(gap), quiet_from_), false};
  }

  // One of `from`, engines as often as configured.
  size_t pick_user(const std::vector<size_t>& from) {
    for (int attempt = 0; attempt < 50; ++attempt) {
      const size_t index = pick(from, random_);
      const double share = config_.engine_share(mixer_.material_.users[index].engine);
      if (share >= 1.0 || chance(random_, share)) return index;
    }
    return pick(from, random_);
  }

  Choice choose(bool barge_in) {
    if (barge_in && !mixer_.stops_.empty() && script_ == nullptr &&
        chance(random_, config_.stop_word_probability)) {
      const size_t user = pick_user(mixer_.stops_);
      return {user, mixer_.material_.users[user].reply, mixer_.material_.users[user].topic};
    }
    if (script_ == nullptr && !mixer_.scripts_.empty() &&
        chance(random_, config_.script_probability)) {
      script_ = &mixer_.material_.scripts[pick(mixer_.scripts_, random_)];
      script_turn_ = 0;
    }
    if (script_ != nullptr) {
      const auto& turn = script_->turns[script_turn_];
      if (++script_turn_ == script_->turns.size()) script_ = nullptr;
      return {pick_user(mixer_.users_by_text_.at(turn.text)), turn.reply, turn.topic};
    }
    for (int attempt = 0; attempt < 50; ++attempt) {
      const double dice = uniform(random_, 0.0, mixer_.topic_cumulative_.back());
      const auto topic = static_cast<size_t>(
          std::upper_bound(mixer_.topic_cumulative_.begin(), mixer_.topic_cumulative_.end(), dice) -
          mixer_.topic_cumulative_.begin());
      const auto& questions = mixer_.questions_[std::min(topic, mixer_.questions_.size() - 1)];
      const size_t index = pick_user(questions);
      const Utterance& user = mixer_.material_.users[index];
      // "Okay." to a stop word is for barge-ins; said into silence it is still right, but rare.
      if (is_stop(user) && !barge_in && chance(random_, 0.7)) continue;
      // What depends on the order or the name: as the dialogue stands.
      if (!order_.empty() && (user.topic == "correction" || user.topic == "cancel")) continue;
      if (!order_.empty() && user.topic == "repeat order") return {index, order_, user.topic};
      if (is_name_question(user.topic) && !name_.empty()) {
        const std::string reply = "Your name is " + name_;
        if (mixer_.agents_by_text_.count(reply) == 0) continue;
        return {index, reply, user.topic};
      }
      return {index, user.reply, user.topic};
    }
    const size_t index = pick_user(mixer_.all_);
    return {index, mixer_.material_.users[index].reply, ""};
  }

  static bool is_stop(const Utterance& user) { return user.reply == "Okay."; }

  void remember(const Choice& choice) {
    static const std::string kMeet = "Nice to meet you, ", kOrdered = ", coming up.";
    if (starts_with(choice.reply, kMeet.c_str())) name_ = choice.reply.substr(kMeet.size());
    if (ends_with(choice.reply, kOrdered)) order_ = choice.reply;
    if (choice.topic == "cancel") order_.clear();
  }

  std::vector<float> voice(size_t user) {
    std::vector<float> samples = to_float(mixer_.material_.users[user].samples);
    if (config_.has_channel && chance(random_, config_.augment.speed_probability))
      samples = change_speed(
          samples, uniform(random_, config_.augment.speed_low, config_.augment.speed_high));
    return at_level(std::move(samples), kTurnLevel * from_db(uniform(random_, -config_.user_gain_db,
                                                                     config_.user_gain_db)));
  }

  Speech speak(const Choice& choice, bool barge_in) {
    Speech speech;
    const auto append = [&](std::vector<float> part, const std::string& text, double gap_s) {
      if (!speech.samples.empty()) {
        speech.borders.push_back(static_cast<int64_t>(speech.samples.size()));
        speech.samples.resize(speech.samples.size() + static_cast<size_t>(samples_of(gap_s)), 0.0f);
        speech.text += " ";
      }
      speech.samples.insert(speech.samples.end(), part.begin(), part.end());
      speech.text += text;
    };
    const auto& users = mixer_.material_.users;
    if (!barge_in && !mixer_.monologues_.empty() &&
        chance(random_, config_.monologue_probability)) {
      for (int64_t i = uniform_index(random_, 3) + 2; i > 0; --i) {
        const size_t user = pick_user(mixer_.monologues_);
        append(voice(user), users[user].text, uniform(random_, 0.2, 0.9));
      }
    }
    if (!mixer_.leads_.empty() && chance(random_, config_.lead_probability)) {
      const size_t user = pick_user(mixer_.leads_);
      append(voice(user), users[user].text, uniform(random_, 0.2, 0.9));
    }
    std::vector<float> main = voice(choice.user);
    if (chance(random_, config_.pause_probability)) {
      const int64_t at = find_pause(main, 0.15, choice.topic == "order" ? 0.45 : 0.6);
      if (at > 0)
        main.insert(main.begin() + at, static_cast<size_t>(samples_of(uniform(random_, 0.3, 1.5))),
                    0.0f);
    }
    append(std::move(main), users[choice.user].text, uniform(random_, 0.2, 0.9));
    return speech;
  }

  void add_user(const std::vector<float>& samples, int64_t position, const std::string& text,
                const std::string& reply, UserTurn::Kind kind) {
    const auto total = static_cast<int64_t>(out_.user.size());
    const int64_t end = std::min(total, position + static_cast<int64_t>(samples.size()));
    for (int64_t i = position; i < end; ++i)
      out_.user[static_cast<size_t>(i)] += samples[static_cast<size_t>(i - position)];
    for (int64_t i = position; i < end; i += 80)
      out_.speaking[static_cast<size_t>(i / kStepSamples)] +=
          80.0f / static_cast<float>(kStepSamples);
    for (int64_t s = position / kStepSamples; s <= (end - 1) / kStepSamples; ++s)
      out_.speaking[static_cast<size_t>(s)] = std::min(1.0f, out_.speaking[static_cast<size_t>(s)]);
    out_.user_turns.push_back({kind, position, end, text, reply});
    quiet_from_ = std::max(quiet_from_, end + kRate / 5);
  }

  // Ends the reply that is being said when the user starts at `onset`.
  void cut_last(int64_t onset, int64_t end, const std::string& text) {
    AgentTurn& turn = out_.agent_turns.back();
    int64_t cut = onset / kStepSamples + config_.cut_steps;
    if (may_be_backchannel(text)) {
      const auto second_word =
          onset + static_cast<int64_t>(static_cast<double>(end - onset) * first_word_share(text));
      cut = std::max(cut, second_word / kStepSamples + config_.ambiguous_cut_steps);
    }
    if (cut >= turn.eos_slot) return;  // it ends by itself first
    DUET_CHECK_MSG(cut > turn.bos_slot, std::to_string(cut) + " " + std::to_string(turn.bos_slot));
    clear_slots(cut, turn.eos_slot + 1);
    set_slot(cut, config_.text_eos, config_.codebook_size + 1);
    // Text may run on behind the audio's end where it has more tokens than frames; nothing is left
    // of it now.
    turn.eos_slot = cut;
    turn.is_cut = true;
  }

  void clear_slots(int64_t from, int64_t to) {
    for (int64_t s = from; s < std::min(to, out_.num_steps); ++s) {
      out_.text[static_cast<size_t>(s)] = config_.text_pad;
      for (int64_t k = 0; k < out_.num_codebooks; ++k)
        out_.codes[static_cast<size_t>(k * out_.num_steps + s)] =
            mixer_.material_.silence[static_cast<size_t>(k)];
    }
  }

  void set_slot(int64_t slot, int64_t token, int64_t code) {
    if (slot >= out_.num_steps) return;
    out_.text[static_cast<size_t>(slot)] = token;
    for (int64_t k = 0; k < out_.num_codebooks; ++k)
      out_.codes[static_cast<size_t>(k * out_.num_steps + slot)] = code;
  }

  // Places a reply. False when the dialogue has no room for its first frames.
  bool say(const std::string& text, int64_t bos, bool is_backchannel) {
    if (bos + 4 > out_.num_steps) return false;
    const size_t index = pick(mixer_.agents_by_text_.at(text), random_);
    const AgentClip& clip = mixer_.material_.agents[index];
    AgentTurn turn;
    turn.bos_slot = bos;
    turn.eos_slot = bos + 1 + clip.num_frames;
    turn.is_backchannel = is_backchannel;
    turn.clip = index;
    set_slot(bos, config_.text_bos, config_.codebook_size);
    set_slot(turn.eos_slot, config_.text_eos, config_.codebook_size + 1);
    const auto num_tokens =
        std::min<int64_t>(static_cast<int64_t>(clip.tokens.size()), clip.num_frames);
    for (size_t i = 0; i < static_cast<size_t>(num_tokens); ++i)
      if (const int64_t slot = bos + 1 + clip.token_frame(i);
          slot < std::min(out_.num_steps, turn.eos_slot))
        out_.text[static_cast<size_t>(slot)] = clip.tokens[i];
    for (int64_t k = 0; k < out_.num_codebooks; ++k)
      for (int64_t i = 0; i < clip.num_frames && bos + 1 + i < out_.num_steps; ++i)
        out_.codes[static_cast<size_t>(k * out_.num_steps + bos + 1 + i)] =
            clip.codes[static_cast<size_t>(k * clip.num_frames + i)];
    out_.agent_turns.push_back(turn);
    return true;
  }

  // "Mm-hmm" while the user goes on: starts as a reply would, at a border after at least 2 s of
  // speech.
  void agent_backchannels(const Speech& speech, int64_t position) {
    if (mixer_.agent_backchannels_.empty()) return;
    int64_t spoken_from = 0;
    for (int64_t border : speech.borders) {
      if (border - spoken_from < 2 * kRate ||
          !chance(random_, config_.agent_backchannel_probability))
        continue;
      const int64_t bos = (position + border - 1) / kStepSamples + config_.reply_delay_low + 1;
      if (!out_.agent_turns.empty() && bos <= out_.agent_turns.back().eos_slot) continue;
      const size_t clip = pick(mixer_.agent_backchannels_, random_);
      const int64_t turn_end =
          (position + static_cast<int64_t>(speech.samples.size()) - 1) / kStepSamples;
      if (bos + 1 + mixer_.material_.agents[clip].num_frames > turn_end) continue;
      say(mixer_.material_.agents[clip].text, bos, /*is_backchannel=*/true);
      spoken_from = border;
    }
  }

  void user_backchannels(const AgentTurn& turn) {
    if (mixer_.backchannels_.empty() || !chance(random_, config_.backchannel_probability)) return;
    int64_t step = turn.bos_slot + 5 + uniform_index(random_, 12);
    while (step < turn.eos_slot - 10) {
      const size_t user = pick_user(mixer_.backchannels_);
      const std::vector<float> samples = voice(user);
      const int64_t position = step * kStepSamples + uniform_index(random_, kStepSamples);
      if (position + static_cast<int64_t>(samples.size()) >= static_cast<int64_t>(out_.user.size()))
        return;
      add_user(samples, position, mixer_.material_.users[user].text, "",
               UserTurn::Kind::kBackchannel);
      step += 25 + uniform_index(random_, 50);
    }
  }

  std::vector<float> sound_of(const AgentClip& clip) const {
    std::vector<float> out = to_float(clip.samples);
    for (uint32_t unit : clip.units) {
      const std::vector<float> part = to_float(mixer_.material_.units[unit].samples);
      out.insert(out.end(), part.begin(), part.end());
    }
    return out;
  }

  void add_echo() {
    if (!chance(random_, config_.echo_probability)) return;
    const auto delay = samples_of(uniform(random_, 0.010, 0.500));
    const double level = kTurnLevel * from_db(-uniform(random_, 20.0, 40.0));
    std::vector<float> echo(out_.user.size(), 0.0f);
    for (const AgentTurn& turn : out_.agent_turns) {
      const std::vector<float> clip = sound_of(mixer_.material_.agents[turn.clip]);
      const int64_t length = std::min<int64_t>(static_cast<int64_t>(clip.size()),
                                               (turn.eos_slot - turn.bos_slot - 1) * kStepSamples);
      const int64_t begin = (turn.bos_slot + 2) * kStepSamples +
                            delay;  // slot p + 1 sounds when its step has returned
      for (int64_t i = 0; i < length && begin + i < static_cast<int64_t>(echo.size()); ++i)
        echo[static_cast<size_t>(begin + i)] += clip[static_cast<size_t>(i)];
    }
    echo = at_level(convolve(echo, make_room_response(random_, uniform(random_, 0.1, 0.4), 0.7)),
                    level);
    for (size_t i = 0; i < echo.size(); ++i) out_.user[i] += echo[i];
  }

  void distract() {
    const auto total = static_cast<int64_t>(out_.user.size());
    const auto mix_in = [&](const std::vector<float>& sound, int64_t position) {
      for (size_t i = 0; i < sound.size() && position + static_cast<int64_t>(i) < total; ++i)
        out_.user[static_cast<size_t>(position) + i] += sound[i];
    };
    while (chance(random_, config_.distraction_probability)) {
      const int64_t position = uniform_index(random_, total);
      const double dice = uniform(random_, 0.0, 1.0);
      if (dice < 0.35) {  // cough, door, click: a burst that decays
        std::vector<float> burst =
            make_noise(random_, static_cast<NoiseColour>(uniform_index(random_, 3)),
                       samples_of(uniform(random_, 0.05, 0.4)));
        const double decay = uniform(random_, 3.0, 12.0) / static_cast<double>(burst.size());
        for (size_t i = 0; i < burst.size(); ++i)
          burst[i] *= static_cast<float>(std::exp(-decay * static_cast<double>(i)) *
                                         std::min(1.0, static_cast<double>(i) / 80.0));
        band_limit(burst, uniform(random_, 80.0, 500.0), uniform(random_, 1500.0, 6000.0));
        mix_in(at_level(std::move(burst), kTurnLevel * from_db(-uniform(random_, 0.0, 24.0))),
               position);
      } else if (dice < 0.55) {  // tones: a telephone, a melody
        std::vector<float> tones(static_cast<size_t>(samples_of(uniform(random_, 0.5, 5.0))));
        double hz = uniform(random_, 150.0, 900.0), phase = 0.0;
        for (size_t i = 0; i < tones.size(); ++i) {
          if (i % 4000 == 0)
            hz *= std::pow(2.0, static_cast<double>(uniform_index(random_, 15) - 7) / 12.0);
          hz = std::clamp(hz, 80.0, 2000.0);
          phase += 2.0 * std::numbers::pi * hz / static_cast<double>(kRate);
          tones[i] = static_cast<float>(std::sin(phase) + 0.4 * std::sin(2.0 * phase) +
                                        0.2 * std::sin(3.0 * phase));
        }
        mix_in(at_level(std::move(tones), kTurnLevel * from_db(-uniform(random_, 6.0, 26.0))),
               position);
      } else {  // somebody else, further away
        const size_t user = static_cast<size_t>(
            uniform_index(random_, static_cast<int64_t>(mixer_.material_.users.size())));
        std::vector<float> other =
            convolve(to_float(mixer_.material_.users[user].samples),
                     make_room_response(random_, uniform(random_, 0.3, 0.8), 1.2));
        mix_in(at_level(std::move(other), kTurnLevel * from_db(-uniform(random_, 16.0, 28.0))),
               position);
      }
    }
  }

  // The microphone: noise, room, level. Where nobody speaks the level is that of noise.
  void channel() {
    if (!out_.user_turns.empty()) {
      AugmentConfig config = config_.augment;
      config.speaker_probability = 0.0;  // distract() has placed the others
      augment_channel(out_.user, {}, config, random_);
      return;
    }
    if (chance(random_, 0.2)) return;  // digital silence
    const auto colour = static_cast<NoiseColour>(uniform_index(random_, 5));
    std::vector<float> noise = make_noise(
        random_, colour, std::min<int64_t>(4 * kRate, static_cast<int64_t>(out_.user.size())));
    add_noise(out_.user, noise, uniform(random_, 20.0, 70.0), 1.0);
    for (float& v : out_.user) v = std::clamp(v, -1.0f, 1.0f);
  }

  const DialogueMixer& mixer_;
  const DialogueConfig& config_;
  Random random_;
  Dialogue out_;
  const DialogueScript* script_ = nullptr;
  size_t script_turn_ = 0;
  std::string name_, order_;
  int64_t quiet_from_ =
      0;  // no user turn before this sample: the last one, or a backchannel, is still going on
};

Dialogue DialogueMixer::mix(uint64_t seed) const { return Builder(*this, seed).build(); }

}  // namespace duet::train
