#include "tools/train/written.h"

#include <algorithm>
#include <array>

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

}  // namespace

WrittenMixer::WrittenMixer(const WrittenConfig& config, std::vector<DialogueScript> conversations,
                           std::vector<AgentClip> clips, std::vector<int64_t> silence, Encode heard,
                           Encode said)
    : config_(config),
      conversations_(std::move(conversations)),
      clips_(std::move(clips)),
      silence_(std::move(silence)),
      heard_(std::move(heard)),
      said_(std::move(said)) {
  if (conversations_.empty() || clips_.empty())
    throw core::ConfigError(
        {.subject = "written dialogues",
         .expected = "conversations, and replies to lend their codes",
         .found = std::to_string(conversations_.size()) + " and " + std::to_string(clips_.size())});
}

// The codes are those of another reply about as long: the words must come from what was heard and
// said, not from them.
const AgentClip& WrittenMixer::clip_for(int64_t num_tokens, Random& random) const {
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

WrittenDialogue WrittenMixer::mix(uint64_t seed) const {
  Random random(seed);
  const int64_t steps = config_.num_steps, books = static_cast<int64_t>(silence_.size());
  WrittenDialogue out;
  Dialogue& d = out.dialogue;
  d.num_steps = steps;
  d.num_codebooks = books;
  d.text.assign(static_cast<size_t>(steps), config_.text_pad);
  d.codes.resize(static_cast<size_t>(books * steps));
  for (int64_t k = 0; k < books; ++k)
    std::fill_n(d.codes.begin() + k * steps, steps, silence_[static_cast<size_t>(k)]);
  out.heard.assign(static_cast<size_t>(steps), kHeardSilence);
  const auto set = [&](int64_t slot, int64_t token, int64_t code) {
    if (slot >= steps) return;
    d.text[static_cast<size_t>(slot)] = token;
    for (int64_t k = 0; k < books; ++k) d.codes[static_cast<size_t>(k * steps + slot)] = code;
  };

  const bool is_hurried = chance(random, config_.hurried);
  int64_t t = 2 + uniform_index(random, 8);
  const DialogueScript* script = nullptr;
  size_t turn_index = 0;
  while (t + 8 < steps) {
    // One conversation a dialogue: what was ordered in another one must not be asked for here.
    if (script == nullptr)
      script = &conversations_[static_cast<size_t>(
          uniform_index(random, static_cast<int64_t>(conversations_.size())))];
    if (turn_index == script->turns.size()) break;
    const DialogueScript::Turn& turn = script->turns[turn_index++];

    int64_t last = -1, previous = kHeardSilence;
    const auto hear = [&](int64_t piece) {
      int64_t at = last < 0 ? t + 1 : last + draw_gap(is_hurried, random);
      if (piece == previous && at == last + 1) ++at;  // CTC needs a blank between two of the same
      for (int64_t s = last < 0 ? t : last + 1; s < std::min(at, steps); ++s)
        out.heard[static_cast<size_t>(s)] = kHeardBlank;
      if (at < steps) out.heard[static_cast<size_t>(at)] = piece;
      last = at;
      previous = piece;
    };
    for (int64_t piece : heard_(turn.text)) {
      if (chance(random, config_.deleted)) continue;
      if (chance(random, config_.inserted)) hear(uniform_index(random, config_.num_heard_pieces));
      hear(chance(random, config_.substituted) ? uniform_index(random, config_.num_heard_pieces)
                                               : piece);
    }
    if (last < 0) continue;
    // The recogniser writes the last piece up to two steps around the last sample.
    const int64_t bos = last + 2 + uniform_index(random, 3);
    const std::vector<int64_t> tokens = said_(turn.reply);
    const auto num_tokens = static_cast<int64_t>(tokens.size());
    const AgentClip& clip = clip_for(num_tokens, random);
    const int64_t spoken = is_hurried ? std::min(clip.num_frames, num_tokens + 2) : clip.num_frames;
    const int64_t frames = std::max(spoken, num_tokens);
    if (bos + 1 + num_tokens < steps)
      out.turns.push_back({turn.topic, turn.text, turn.reply, bos, num_tokens});
    set(bos, config_.text_bos, config_.codebook_size);
    for (int64_t i = 0; i < frames && bos + 1 + i < steps; ++i) {
      if (i < num_tokens) d.text[static_cast<size_t>(bos + 1 + i)] = tokens[static_cast<size_t>(i)];
      if (i < spoken)
        for (int64_t k = 0; k < books; ++k)
          d.codes[static_cast<size_t>(k * steps + bos + 1 + i)] =
              clip.codes[static_cast<size_t>(k * clip.num_frames + i)];
    }
    set(bos + 1 + frames, config_.text_eos, config_.codebook_size + 1);
    t = bos + 2 + frames + config_.gap_low;
    if (!is_hurried) t += uniform_index(random, config_.gap_high - config_.gap_low + 1);
  }
  return out;
}

}  // namespace duet::train
