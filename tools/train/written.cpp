#include "tools/train/written.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <map>

#include "runtime/core/error.h"

namespace duet::train {
namespace {

// Steps from one piece to the next: as read speech has them (about seven pieces a second), or
// hurried.
int64_t draw_gap(bool is_hurried, Random& random) {
  static constexpr std::array<int64_t, 10> kGaps = {1, 1, 1, 1, 2, 2, 2, 2, 3, 4};
  if (is_hurried) return chance(random, 0.75) ? 1 : 2;
  return kGaps[static_cast<size_t>(uniform_index(random, static_cast<int64_t>(kGaps.size())))];
}

// An index by its share: `cumulative` holds the shares summed up.
size_t draw_share(const std::vector<double>& cumulative, Random& random) {
  const double at = uniform(random, 0.0, cumulative.back());
  return static_cast<size_t>(std::upper_bound(cumulative.begin(), cumulative.end() - 1, at) -
                             cumulative.begin());
}

// What such a turn is answered depends on what was ordered or said before it.
bool depends_on_order(const std::string& topic) {
  return topic == "correction" || topic == "cancel" || topic == "repeat order";
}
bool depends_on_name(const std::string& topic) { return topic == "recall name"; }

}  // namespace

WrittenMixer::WrittenMixer(const WrittenConfig& config, std::vector<DialogueScript> conversations,
                           std::vector<AgentClip> clips, std::vector<int64_t> silence, Encode heard,
                           Encode said, std::vector<DialogueScript> asked)
    : config_(config),
      conversations_(std::move(conversations)),
      num_composed_(conversations_.size()),
      clips_(std::move(clips)),
      silence_(std::move(silence)),
      heard_(std::move(heard)),
      said_(std::move(said)) {
  if (conversations_.empty() || clips_.empty())
    throw core::ConfigError(
        {.subject = "written dialogues",
         .expected = "conversations, and replies to lend their codes",
         .found = std::to_string(conversations_.size()) + " and " + std::to_string(clips_.size())});
  std::move(asked.begin(), asked.end(), std::back_inserter(conversations_));
  for (size_t i = 0; i < clips_.size(); ++i) clips_by_text_[clips_[i].text].push_back(i);
  std::map<std::string, std::vector<size_t>> by_topic;
  for (size_t i = 0; i < conversations_.size(); ++i) {
    const auto& turns = conversations_[i].turns;
    const bool is_recorded =
        !turns.empty() && std::all_of(turns.begin(), turns.end(), [&](const auto& turn) {
          return clips_by_text_.count(turn.reply) != 0;
        });
    has_recordings_.push_back(is_recorded);
    if (!is_recorded) continue;
    by_topic[turns.size() == 1 ? turns[0].topic : "(scripts)"].push_back(i);
    ++num_recorded_;
  }
  double sum = 0.0;
  for (auto& [topic, indices] : by_topic) {
    const auto weight = config_.topic_weights.find(topic);
    sum += weight == config_.topic_weights.end() ? 1.0 : weight->second;
    recorded_.push_back(std::move(indices));
    recorded_cumulative_.push_back(sum);
  }
  collect_drills();
}

void WrittenMixer::collect_drills() {
  double sum = 0.0;
  for (const auto& [topic, share] : config_.drill_topics) {
    std::vector<std::pair<uint32_t, uint32_t>> found;
    for (size_t i = 0; i < num_composed_; ++i)
      for (size_t t = 0; t < conversations_[i].turns.size(); ++t)
        if (conversations_[i].turns[t].topic == topic)
          found.emplace_back(static_cast<uint32_t>(i), static_cast<uint32_t>(t));
    if (found.empty() || share <= 0.0) continue;
    sum += share;
    drills_.push_back(std::move(found));
    drills_cumulative_.push_back(sum);
  }
  if (config_.drills > 0.0 && drills_.empty())
    throw core::ConfigError(
        {.subject = "written_drills",
         .expected = "topics that data.written has",
         .found = std::to_string(config_.drill_topics.size()) + " topics, none of which it has"});
}

const DialogueScript::Turn& WrittenMixer::draw_drill(Random& random) const {
  const size_t topic = draw_share(drills_cumulative_, random);
  const auto& [script, turn] = drills_[topic][static_cast<size_t>(
      uniform_index(random, static_cast<int64_t>(drills_[topic].size())))];
  return conversations_[script].turns[turn];
}

// The codes are those of another reply about as long: the words must come from what was heard and
// said, not from them.
const AgentClip& WrittenMixer::lend_clip(int64_t num_tokens, Random& random) const {
  const AgentClip* best = nullptr;
  for (int attempt = 0; attempt < 12; ++attempt) {
    const AgentClip& clip =
        clips_[static_cast<size_t>(uniform_index(random, static_cast<int64_t>(clips_.size())))];
    if (best == nullptr ||
        std::abs(clip.num_frames - 2 * num_tokens) < std::abs(best->num_frames - 2 * num_tokens))
      best = &clip;
  }
  return *best;
}

const AgentClip& WrittenMixer::own_clip(const std::string& reply, Random& random) const {
  const std::vector<size_t>& known = clips_by_text_.at(reply);
  return clips_[known[static_cast<size_t>(
      uniform_index(random, static_cast<int64_t>(known.size())))]];
}

const DialogueScript& WrittenMixer::draw_recorded(Random& random) const {
  const size_t topic = draw_share(recorded_cumulative_, random);
  const std::vector<size_t>& from = recorded_[topic];
  return conversations_[from[static_cast<size_t>(
      uniform_index(random, static_cast<int64_t>(from.size())))]];
}

/// One dialogue in the making.
class WrittenMixer::Builder {
 public:
  Builder(const WrittenMixer& mixer, uint64_t seed, const Find& find)
      : mixer_(mixer),
        find_(find),
        config_(mixer.config_),
        random_(seed),
        steps_(config_.num_steps) {
    const auto& silence = mixer.silence_;
    books_ = static_cast<int64_t>(silence.size());
    Dialogue& d = out_.dialogue;
    d.num_steps = steps_;
    d.num_codebooks = books_;
    d.text.assign(static_cast<size_t>(steps_), config_.text_pad);
    d.codes.resize(static_cast<size_t>(books_ * steps_));
    for (int64_t k = 0; k < books_; ++k)
      std::fill_n(d.codes.begin() + k * steps_, steps_, silence[static_cast<size_t>(k)]);
    out_.heard.assign(static_cast<size_t>(steps_), kHeardSilence);
    out_.has_own_codes.assign(static_cast<size_t>(steps_), false);
    out_.is_unknown.assign(static_cast<size_t>(steps_), false);
    is_recorded_ = mixer.num_recorded_ > 0 && chance(random_, config_.recorded);
    is_hurried_ = chance(random_, config_.hurried);
    now_ = 2 + uniform_index(random_, 8);
  }

  WrittenDialogue build() {
    if (mixer_.config_.drills > 0.0 && chance(random_, config_.drills)) {
      const bool is_spoken = chance(random_, config_.drills_spoken);
      is_hurried_ = true;
      while (now_ + 8 < steps_) {
        const DialogueScript::Turn& turn = mixer_.draw_drill(random_);
        is_recorded_ = is_spoken && mixer_.clips_by_text_.count(turn.reply) != 0;
        if (is_recorded_)
          add(turn);
        else
          drill(turn);
      }
      return std::move(out_);
    }
    if (is_recorded_) {
      bool has_order = false, has_name = false;
      while (now_ + 8 < steps_) {
        const DialogueScript& script = draw_recorded();
        const std::string& topic = script.turns[0].topic;
        // A single question was answered as if nothing had been said before it.
        if (script.turns.size() == 1 &&
            ((has_order && depends_on_order(topic)) || (has_name && depends_on_name(topic))))
          continue;
        for (const auto& turn : script.turns) {
          if (now_ + 8 >= steps_) break;
          add(turn);
          has_order = has_order || turn.topic == "order" || turn.topic == "correction";
          has_name = has_name || turn.topic == "name";
        }
      }
      return std::move(out_);
    }
    // One conversation a dialogue: what was ordered in another one must not be asked for here.
    const auto index =
        static_cast<size_t>(uniform_index(random_, static_cast<int64_t>(mixer_.num_composed_)));
    const DialogueScript& script = mixer_.conversations_[index];
    is_recorded_ = mixer_.has_recordings_[index];
    for (const auto& turn : script.turns)
      if (now_ + 8 < steps_) add(turn);
    return std::move(out_);
  }

 private:
  static const std::string& heard_text(const DialogueScript::Turn& turn) {
    return turn.heard.empty() ? turn.text : turn.heard;
  }

  bool is_known(const DialogueScript& script) {
    return std::all_of(script.turns.begin(), script.turns.end(),
                       [&](const auto& turn) { return find_(heard_text(turn), random_).id >= 0; });
  }

  const DialogueScript& draw_recorded() {
    const DialogueScript* script = &mixer_.draw_recorded(random_);
    for (int attempt = 0; find_ && attempt < 20 && !is_known(*script); ++attempt)
      script = &mixer_.draw_recorded(random_);
    return *script;
  }

  void set(int64_t slot, int64_t token, int64_t code) {
    if (slot >= steps_) return;
    out_.dialogue.text[static_cast<size_t>(slot)] = token;
    for (int64_t k = 0; k < books_; ++k)
      out_.dialogue.codes[static_cast<size_t>(k * steps_ + slot)] = code;
  }

  void hear(int64_t piece) {
    int64_t at = last_ < 0 ? now_ + 1 : last_ + draw_gap(is_hurried_, random_);
    if (piece == previous_ && at == last_ + 1) ++at;  // CTC needs a blank between two of the same
    for (int64_t s = last_ < 0 ? now_ : last_ + 1; s < std::min(at, steps_); ++s)
      out_.heard[static_cast<size_t>(s)] = kHeardBlank;
    if (at < steps_) out_.heard[static_cast<size_t>(at)] = piece;
    last_ = at;
    previous_ = piece;
  }

  /// The user's words from now_ on; false when there are none.
  bool hear_all(const std::string& text) {
    last_ = -1;
    previous_ = kHeardSilence;
    for (int64_t piece : mixer_.heard_(text)) {
      if (chance(random_, config_.deleted)) continue;
      if (chance(random_, config_.inserted)) hear(uniform_index(random_, config_.num_heard_pieces));
      hear(chance(random_, config_.substituted) ? uniform_index(random_, config_.num_heard_pieces)
                                                : piece);
    }
    return last_ >= 0;
  }

  void drill(const DialogueScript::Turn& turn) {
    if (!hear_all(heard_text(turn))) return;
    const int64_t bos = last_ + 2 + uniform_index(random_, 3);
    const std::vector<int64_t> tokens = mixer_.said_(turn.reply);
    const auto found = mixer_.clips_by_text_.find(turn.reply);
    const AgentClip* clip =
        found == mixer_.clips_by_text_.end() ? nullptr : &mixer_.own_clip(turn.reply, random_);
    if (clip != nullptr && clip->tokens.size() != tokens.size()) clip = nullptr;
    const size_t scored = turn.scored.empty()
                              ? tokens.size()
                              : std::min(tokens.size(), mixer_.said_(turn.scored).size());
    set(bos, config_.text_bos, config_.codebook_size);
    Dialogue& d = out_.dialogue;
    int64_t slot = bos + 1;
    for (size_t i = 0; i < tokens.size(); ++i) {
      const int64_t next = slot + 1 + uniform_index(random_, 3);
      for (int64_t s = slot; s < std::min(next, steps_); ++s) {
        if (i + scored < tokens.size()) out_.is_unknown[static_cast<size_t>(s)] = true;
        if (clip == nullptr) continue;
        const int64_t frame =
            std::min(clip->num_frames - 1, clip->token_frame(i) + (s - slot));  // of this word
        for (int64_t k = 0; k < books_; ++k)
          d.codes[static_cast<size_t>(k * steps_ + s)] =
              clip->codes[static_cast<size_t>(k * clip->num_frames + frame)];
      }
      if (slot < steps_) d.text[static_cast<size_t>(slot)] = tokens[i];
      slot = next;
    }
    if (slot <= steps_ && turn.scored.empty())
      out_.turns.push_back({turn.topic, turn.text, turn.reply, bos, slot - 1 - bos});
    set(slot, config_.text_eos, config_.codebook_size + 1);
    now_ = slot + 2 + uniform_index(random_, 3);
  }

  void add(const DialogueScript::Turn& turn) {
    HeardSegment segment;
    if (find_ && is_recorded_) segment = find_(heard_text(turn), random_);
    int64_t bos = 0;
    if (segment.id >= 0) {
      segment.first_step = now_;
      out_.segments.push_back(segment);
      bos = now_ + segment.last_frame + (chance(random_, config_.reply_early) ? 2 : 3);
    } else {
      if (!hear_all(heard_text(turn))) return;
      // The recogniser writes the last piece up to two steps around the last sample.
      bos = last_ + 2 + uniform_index(random_, 3);
    }
    const std::vector<int64_t> tokens = mixer_.said_(turn.reply);
    const auto num_tokens = static_cast<int64_t>(tokens.size());
    const AgentClip& clip =
        is_recorded_ ? mixer_.own_clip(turn.reply, random_) : mixer_.lend_clip(num_tokens, random_);
    const bool is_paced = is_recorded_ && clip.tokens.size() == tokens.size();
    const auto slot_of = [&](int64_t i) {
      return bos + 1 + (is_paced ? clip.token_frame(static_cast<size_t>(i)) : i);
    };
    const int64_t num_slots = num_tokens == 0 ? 0 : slot_of(num_tokens - 1) - bos;
    const int64_t spoken =
        is_hurried_ && !is_recorded_ ? std::min(clip.num_frames, num_tokens + 2) : clip.num_frames;
    const int64_t frames = std::max(spoken, num_slots);
    if (bos + 1 + num_slots < steps_ && turn.scored.empty())
      out_.turns.push_back({turn.topic, turn.text, turn.reply, bos, num_slots});
    if (!turn.scored.empty()) {
      const auto scored = static_cast<int64_t>(mixer_.said_(turn.scored).size());
      for (int64_t slot = bos;
           slot < std::min(steps_, slot_of(std::max<int64_t>(0, num_tokens - scored))); ++slot)
        out_.is_unknown[static_cast<size_t>(slot)] = true;
    }
    set(bos, config_.text_bos, config_.codebook_size);
    Dialogue& d = out_.dialogue;
    for (int64_t i = 0; i < num_tokens && slot_of(i) < steps_; ++i)
      d.text[static_cast<size_t>(slot_of(i))] = tokens[static_cast<size_t>(i)];
    for (int64_t i = 0; i < spoken && bos + 1 + i < steps_; ++i)
      for (int64_t k = 0; k < books_; ++k)
        d.codes[static_cast<size_t>(k * steps_ + bos + 1 + i)] =
            clip.codes[static_cast<size_t>(k * clip.num_frames + i)];
    set(bos + 1 + frames, config_.text_eos, config_.codebook_size + 1);
    if (is_recorded_)
      for (int64_t slot = bos; slot < std::min(steps_, bos + 2 + frames); ++slot)
        out_.has_own_codes[static_cast<size_t>(slot)] = true;
    now_ = bos + 2 + frames + config_.gap_low;
    if (!is_hurried_) now_ += uniform_index(random_, config_.gap_high - config_.gap_low + 1);
  }

  const WrittenMixer& mixer_;
  const Find& find_;
  const WrittenConfig& config_;
  Random random_;
  int64_t steps_, books_ = 0;
  bool is_recorded_ = false, is_hurried_ = false;
  int64_t now_ = 0;                               // first free step
  int64_t last_ = -1, previous_ = kHeardSilence;  // piece of this turn: step, id
  WrittenDialogue out_;
};

WrittenDialogue WrittenMixer::mix(uint64_t seed, const Find& find) const {
  return Builder(*this, seed, find).build();
}

}  // namespace duet::train
