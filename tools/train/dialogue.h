#pragma once
// Mixes training dialogues from single utterances: the user's samples, the agent's text tokens and
// codes, one clock. The timing rules here are where every latency of the trained model comes from.
// No tensors.
//
// Clock and layout (docs of DuplexLm; NeMo DuplexS2SModel, `s2s_dataset.py`). Step t covers user
// samples [1280 t, 1280 (t + 1)). The text and the code channel have one slot per step. An agent
// turn with m tokens and n codec frames that starts at slot p: text[p] = bos, text[p + 1 ...] =
// tokens, text[p + 1 + n] = eos; codes[p] = speech BOS in all codebooks, codes[p + 1 ... p + n] =
// the frames, codes[p + 1 + n] = speech EOS; else pad and the silence codes. Step t hears text slot
// t and code slot t - 1 and decides text slot t + 1 and code slot t. So bos is decided at step p -
// 1, and the first frame sounds at step p + 1.

#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "tools/train/augment.h"
#include "tools/train/speech_set.h"

namespace duet::train {

constexpr int64_t kStepSamples = 1280;  ///< 80 ms at 16 kHz.

/// One thing the agent can say: a recording, or units (recorded words) strung together.
struct AgentClip {
  std::string text;
  std::vector<int64_t> tokens;  ///< Of the text, no bos or eos.
  /// [num_tokens] Rising; the frame from whose slot on each token is known. Empty: token i at frame
  /// i.
  std::vector<int64_t> token_frames;
  std::vector<int16_t> codes;  ///< [K, num_frames], codebook-major.
  int64_t num_frames = 0;
  std::vector<int16_t> samples;  ///< At 16 kHz, for the echo; may be empty.
  std::vector<uint32_t> units;   ///< Of the material: what it is made of, in the place of samples.

  int64_t token_frame(size_t i) const {
    return token_frames.empty() ? static_cast<int64_t>(i) : token_frames[i];
  }
};

/// Strings `parts` together, at least one: codes, and the text of each a little ahead of its sound,
/// so that the next word is settled when its first frame is. `units`: their indices in the
/// material.
AgentClip compose_clip(std::string text, const std::vector<AgentClip>& parts,
                       std::vector<uint32_t> units);

/// Turns that belong together: what is said depends on what was said before (names, orders and
/// their corrections).
struct DialogueScript {
  struct Turn {
    std::string topic, text, reply;
    /// In writing only. What the user's channel holds instead of `text` (misheard operands: the
    /// reply's own words then tell the result), and the end of the reply that is still scored.
    std::string heard = {}, scored = {};
  };
  std::string split;
  std::vector<Turn> turns;
};

/// One JSON object a line: {"split", "turns": [{"topic", "text", "reply"}, ...]}; a turn may hold
/// "heard" and "scored" too. Throws core::LoadError.
std::vector<DialogueScript> read_scripts(const std::string& path);

struct DialogueMaterial {
  std::vector<Utterance> users;  ///< At 16 kHz, trimmed.
  std::vector<AgentClip> agents;
  std::vector<AgentClip> units;  ///< What composed replies of `agents` are made of.
  std::vector<DialogueScript> scripts;
  std::vector<int64_t> silence;  ///< K codes of encoded silence.
};

struct DialogueConfig {
  int64_t num_steps = 400;
  int64_t codebook_size = 4032;  ///< C; then speech BOS = C, EOS = C + 1.
  int64_t text_pad = 0, text_bos = 1, text_eos = 2;

  // Reply: bos is decided `reply_delay` steps after the step that holds the user's last sample.
  int64_t reply_delay_low = 1, reply_delay_high = 2;
  double reply_early_probability = 0.7;  ///< Of the low delay.
  // Barge-in: code slots up to onset step + cut_steps - 1 stay, that slot itself is EOS, then
  // silence.
  int64_t cut_steps = 3;
  int64_t ambiguous_cut_steps =
      2;  ///< After the first word, where that word could be a backchannel.

  double barge_in_probability = 0.35;        ///< Of a reply longer than long_reply_steps.
  double stop_word_probability = 0.3;        ///< Of a barge-in.
  double second_barge_in_probability = 0.2;  ///< Into the reply to a barge-in, however short.
  double backchannel_probability =
      0.3;  ///< By the user, into a long reply that is not interrupted.
  double agent_backchannel_probability = 0.5;  ///< At a border of a long user turn.
  double pause_probability = 0.12;             ///< Inside a user turn, 0.3-1.5 s.
  double lead_probability = 0.08;              ///< "Well," ... before a question.
  double monologue_probability = 0.05;         ///< Two to four sentences before a question.
  double script_probability = 0.3;
  double long_gap_probability = 0.12;  ///< 2-6 s between turns, else 0.2-1.8 s.
  double distraction_probability =
      0.3;  ///< Cough, door, tones, a voice in the background; per dialogue, repeated.
  double empty_probability = 0.03;  ///< Dialogues in which nobody speaks to the agent.
  double echo_probability = 0.35;   ///< The agent's own voice at -20 to -40 dB, 10-500 ms late.
  double user_gain_db = 4.0;        ///< Turns differ by up to this.
  int64_t long_reply_steps = 25;
  std::map<std::string, double>
      topic_weights;  ///< Relative share of a topic; 1 for those not named.
  std::map<std::string, double>
      engine_shares;  ///< How often an utterance is taken where one is drawn, by what spoke it:
                      ///< 0 to 1; 1 for engines not named. Few natural voices outweigh many fast
                      ///< ones.
  bool has_channel = true;  ///< Augment the mixed channel.
  AugmentConfig augment;

  double engine_share(const std::string& engine) const;
  void validate() const;  ///< Throws core::ConfigError.
};

struct UserTurn {
  enum class Kind { kTurn, kBargeIn, kBackchannel };
  Kind kind = Kind::kTurn;
  int64_t begin_sample = 0, end_sample = 0;  ///< On the dialogue's clock.
  std::string text;
  std::string reply;  ///< Empty when nothing is to be said.
};

struct AgentTurn {
  int64_t bos_slot = 0;  ///< p
  int64_t eos_slot = 0;  ///< p + 1 + n, or the slot of the cut; may lie at or behind num_steps.
  bool is_cut = false;
  bool is_backchannel = false;
  size_t clip = 0;  ///< Index into the material.
};

struct Dialogue {
  int64_t num_steps = 0, num_codebooks = 0;
  std::vector<float> user;     ///< [num_steps * 1280]
  std::vector<int64_t> text;   ///< [num_steps]
  std::vector<int64_t> codes;  ///< [K, num_steps], codebook-major
  std::vector<float>
      speaking;  ///< [num_steps] share of the step in which the user speaks (to the agent)
  std::vector<UserTurn> user_turns;
  std::vector<AgentTurn> agent_turns;
};

/// Const after construction: `mix` is safe on many threads.
class DialogueMixer {
 public:
  /// Users without an answer in `material.agents` (but for backchannels, monologues and leads) are
  /// left out. Throws core::ConfigError when nothing is left to talk about.
  DialogueMixer(const DialogueConfig& config, DialogueMaterial material);

  /// A function of the seed alone.
  Dialogue mix(uint64_t seed) const;

  const DialogueConfig& config() const { return config_; }
  const DialogueMaterial& material() const { return material_; }
  /// Questions that can be drawn, by topic.
  std::map<std::string, int64_t> topic_counts() const;

 private:
  class Builder;

  DialogueConfig config_;
  DialogueMaterial material_;
  std::unordered_map<std::string, std::vector<size_t>> agents_by_text_, users_by_text_;
  std::vector<std::string> topics_;
  std::vector<double> topic_cumulative_;
  std::vector<std::vector<size_t>> questions_;  // per topic
  std::vector<size_t> stops_, backchannels_, monologues_, leads_, agent_backchannels_, scripts_,
      all_;
};

/// Where a pause may be put: the middle of the quietest 60 ms between `low` and `high` (shares of
/// the length), or -1 when nothing there lies 25 dB under the speech.
int64_t find_pause(const std::vector<float>& samples, double low, double high);

}  // namespace duet::train
