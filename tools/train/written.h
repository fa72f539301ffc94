#pragma once
// Dialogues in writing: the user's turns are word pieces on the dialogue's clock instead of
// samples, as if a recogniser had heard them; the agent's turns are its text, over codes of some
// other reply. They cost no speech and no encoder, and only the agent's words are learned from
// them: what depends on the question (operands, slots, names) comes in all its combinations, where
// speech shows a few thousand. No tensors.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "tools/train/dialogue.h"

namespace duet::train {

/// What a step hears in writing: a word piece's id, or one of these.
constexpr int64_t kHeardSilence = -1;  ///< Nobody speaks.
constexpr int64_t kHeardBlank = -2;    ///< Inside a turn, between two pieces.

struct WrittenTurn {
  std::string topic, text, reply;
  int64_t bos_slot = 0, num_tokens = 0;  ///< The reply's tokens are at bos_slot + 1 ...
};

struct WrittenDialogue {
  Dialogue dialogue;               ///< `user` and `speaking` are empty.
  std::vector<int64_t> heard;      ///< [num_steps]
  std::vector<WrittenTurn> turns;  ///< Those whose reply has room, whole.
};

struct WrittenConfig {
  int64_t num_steps = 400;
  int64_t codebook_size = 4032;
  int64_t text_pad = 0, text_bos = 1, text_eos = 2;
  int64_t num_heard_pieces = 400;  ///< Ids that a recognition error may put in place of a piece.
  double substituted = 0.015, deleted = 0.01, inserted = 0.01;  ///< Share of the pieces misheard.
  /// Share of the dialogues without the waiting of speech: pieces close together, replies that end
  /// with their words. About twice as many turns.
  double hurried = 0.6;
  int64_t gap_low = 2, gap_high = 14;  ///< Steps from the end of a reply to the next question.
};

/// Lays conversations out on the clock. Const after construction: `mix` is safe on many threads.
class WrittenMixer {
 public:
  using Encode = std::function<std::vector<int64_t>(const std::string& text)>;

  /// `heard` turns a user's text into word pieces of the encoder, `said` an agent's text into
  /// tokens. `clips` lend their codes ([K, num_frames] each, at least one); `silence` holds K
  /// codes. Throws core::ConfigError when there is no conversation or no clip.
  WrittenMixer(const WrittenConfig& config, std::vector<DialogueScript> conversations,
               std::vector<AgentClip> clips, std::vector<int64_t> silence, Encode heard,
               Encode said);

  /// A function of the seed alone.
  WrittenDialogue mix(uint64_t seed) const;

 private:
  const AgentClip& clip_for(int64_t num_tokens, Random& random) const;

  WrittenConfig config_;
  std::vector<DialogueScript> conversations_;
  std::vector<AgentClip> clips_;
  std::vector<int64_t> silence_;
  Encode heard_, said_;
};

}  // namespace duet::train
