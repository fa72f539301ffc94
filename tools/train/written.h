#pragma once
// Dialogues in writing: the user's turns are word pieces on the dialogue's clock instead of
// samples, as if a recogniser had heard them. They cost no encoder and come in two kinds. Composed:
// what depends on the question (operands, slots, names) comes in all its combinations; over its own
// codes where every reply can be strung together from recorded units or has a recording, else over
// codes of some other reply, and only its words are learned. Recorded: questions whose replies have
// a sound, those preferred that are known as recordings. Drills: the same questions without their
// waiting. No tensors.

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tools/train/dialogue.h"

namespace duet::train {

/// What a step hears in writing: a word piece's id, or one of these.
constexpr int64_t kHeardSilence = -1;  ///< Nobody speaks.
constexpr int64_t kHeardBlank = -2;    ///< Inside a turn, between two pieces.

struct WrittenTurn {
  std::string topic, text, reply;
  int64_t bos_slot = 0, num_slots = 0;  ///< The reply's tokens are in num_slots from bos_slot + 1.
};

/// A turn that is heard as a kept recording of its words (heard_utterances.h) instead of piece by
/// piece.
struct HeardSegment {
  int64_t first_step = 0;
  int64_t id = -1;
  int64_t num_frames = 0;
  int64_t last_frame = 0;  ///< The one that holds the last sample of the words.
};

struct WrittenDialogue {
  Dialogue dialogue;                   ///< `user` and `speaking` are empty.
  std::vector<int64_t> heard;          ///< [num_steps]
  std::vector<WrittenTurn> turns;      ///< Those whose reply has room, whole.
  std::vector<HeardSegment> segments;  ///< In the place of what `heard` says there.
  /// [num_steps] Slots whose codes belong to the text beside them (BOS to EOS of recorded replies).
  std::vector<bool> has_own_codes;
  /// [num_steps] Text slots that the user's channel does not tell (its operands are misheard).
  std::vector<bool> is_unknown;
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
  double reply_early = 0.7;  ///< Behind a recording: bos is decided 1 step after the last, else 2.
  /// Share of the dialogues in which every reply has a recording (0 when there is none).
  double recorded = 0.5;
  std::map<std::string, double>
      topic_weights;  ///< Of recorded dialogues: relative share of a topic; 1 for those not named.
  /// Share of the dialogues that are drills: questions of `drill_topics` (relative shares) close
  /// together, so that what must be reckoned or copied comes many times in a batch. drills_spoken
  /// of them over their own codes; in the others a word takes one to three slots whatever its
  /// sound, and only words are learned.
  double drills = 0.0;
  double drills_spoken = 0.0;
  std::map<std::string, double> drill_topics;
  int64_t gap_low = 2, gap_high = 14;  ///< Steps from the end of a reply to the next question.
};

/// Lays conversations out on the clock. Const after construction: `mix` is safe on many threads.
class WrittenMixer {
 public:
  using Find = std::function<HeardSegment(const std::string& text, Random& random)>;
  using Encode = std::function<std::vector<int64_t>(const std::string& text)>;

  /// `heard` turns a user's text into word pieces of the encoder, `said` an agent's text into
  /// tokens. `clips` lend their codes ([K, num_frames] each, at least one); `silence` holds K
  /// codes. Recorded dialogues are made of those of `conversations` and `asked` (single questions,
  /// scripts) whose replies all have a clip; composed ones of `conversations`. Throws
  /// core::ConfigError when there is no conversation or no clip.
  WrittenMixer(const WrittenConfig& config, std::vector<DialogueScript> conversations,
               std::vector<AgentClip> clips, std::vector<int64_t> silence, Encode heard,
               Encode said, std::vector<DialogueScript> asked = {});

  /// A function of the seed and of what `find` knows: in recorded dialogues, turns whose text it
  /// knows (id >= 0) are heard as its recordings, and conversations it knows are preferred.
  WrittenDialogue mix(uint64_t seed, const Find& find = nullptr) const;
  /// Conversations all of whose replies have a recording.
  size_t num_recorded() const { return num_recorded_; }

 private:
  class Builder;
  const AgentClip& lend_clip(int64_t num_tokens, Random& random) const;
  const AgentClip& own_clip(const std::string& reply, Random& random) const;
  const DialogueScript& draw_recorded(Random& random) const;
  const DialogueScript::Turn& draw_drill(Random& random) const;
  void collect_drills();

  WrittenConfig config_;
  std::vector<DialogueScript> conversations_;  // then what was only asked
  size_t num_composed_ = 0;
  std::vector<bool> has_recordings_;  // of each conversation, for all its replies
  std::vector<AgentClip> clips_;
  std::vector<int64_t> silence_;
  Encode heard_, said_;
  std::unordered_map<std::string, std::vector<size_t>> clips_by_text_;
  std::vector<std::vector<size_t>> recorded_;  // conversations by their first topic
  std::vector<double> recorded_cumulative_;
  size_t num_recorded_ = 0;
  // Conversation and turn, by topic.
  std::vector<std::vector<std::pair<uint32_t, uint32_t>>> drills_;
  std::vector<double> drills_cumulative_;
};

}  // namespace duet::train
