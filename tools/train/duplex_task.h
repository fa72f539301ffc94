#pragma once
// Trains the duplex language model (and, if asked, the speech encoder with it) on mixed dialogues:
// next text token and next K codes at every 80 ms step. Loss as NeMo's DuplexS2SModel (text 3,
// audio 4), with text pads and silent codes weighted down; CTC and speech detection on the encoder
// go on when it learns too. Figures: docs/experiments.md.

#include <memory>
#include <string>
#include <vector>

#include "models/duplex_lm.h"
#include "models/sentencepiece_library.h"
#include "models/whisper_encoder.h"
#include "tools/train/adamw.h"
#include "tools/train/dialogue.h"
#include "tools/train/duplex_batch.h"
#include "tools/train/heard_bank.h"
#include "tools/train/heard_utterances.h"
#include "tools/train/train_loop.h"
#include "tools/train/written.h"

namespace duet::train {

enum class TrainEncoder { kNone, kTop, kAll };  ///< kTop: what lies above Whisper's own layers.

class DuplexTask : public TrainTask {
 public:
  struct Config {
    models::WhisperEncoder::Config encoder;
    models::DuplexLmConfig lm;  ///< user_width is set by the task.
    bool has_ctc_input = true;  ///< The LM also hears the encoder's CTC posterior.
    double ctc_input_scale =
        8.0;  ///< On the posterior: brings its share of the adapter's input to the features'.
    TrainEncoder train_encoder = TrainEncoder::kTop;
    double encoder_lr_ratio = 0.2;  ///< Learning rate of the encoder relative to the LM's.
    AdamW::Config optimizer;
    BatchConfig batch;
    int64_t batch_dialogues = 8;
    /// With a frozen encoder: how many of a batch are new (0 = all); the others come from the last
    /// `pool_dialogues`, whose encoder frames are kept. The encoder's forward pass costs about as
    /// much as the LM's step. A resumed run starts an empty pool, so it is not bit-identical.
    int64_t fresh_dialogues = 0;
    int64_t pool_dialogues = 200;
    double text_weight = 3.0, audio_weight = 4.0;  ///< Audio: the mean over codebooks.
    /// Text positions count by 1 - p of the right token (focal loss, Lin et al. 2017, gamma 1): the
    /// few words that depend on the question are else lost among those that follow by themselves.
    bool text_focus = true;
    /// Dialogues in writing beside those of a batch (needs a WrittenMixer and has_ctc_input); their
    /// text loss counts `written_weight` times the spoken ones'.
    int64_t written_dialogues = 0;
    double written_weight = 1.0;
    /// Are written dialogues heard with the features of the kept frames (which bring words of where
    /// they come from) or with zeros in their place, by the CTC posterior alone?
    bool written_features = false;
    /// With written dialogues: recordings that are heard by themselves at every step, to be the
    /// questions of recorded dialogues; 0 = those are written piece by piece. `utterance_channel`
    /// says through what rooms and noises.
    int64_t heard_utterances = 12;
    AugmentConfig utterance_channel;
    /// Share of the spoken dialogues in which the features are zeros, too (needs has_ctc_input), so
    /// that both kinds are understood in one way.
    double feature_dropout = 0.3;
    double ctc_weight = 0.3, speaking_weight = 0.1;
    bool bf16 = true;
    uint64_t data_seed = 1;
    size_t ahead = 16;  ///< Dialogues mixed in advance.
  };

  /// `pieces` is the agent's tokenizer, `ctc_pieces` the encoder's. Parameters: "encoder." and
  /// "lm." in `store`.
  DuplexTask(const Config& config, ParameterStore& store,
             std::shared_ptr<const DialogueMixer> mixer, const std::string& pieces,
             const std::string& ctc_pieces, std::vector<Utterance> questions,
             std::shared_ptr<const WrittenMixer> written = nullptr);

  std::string name() const override { return "duplex"; }
  /// loss; text (weighted), written (as text, in writing), word (tokens that are no pad), code (of
  /// speech): nats; right: share of those tokens; ctc; norm.
  Metrics step(const StepContext& context, std::mt19937_64& rng) override;
  /// Asks the held-out questions, each in a conversation of its own; prints question and reply.
  /// With written dialogues also written_right: replies all of whose words are foreseen. answered,
  /// right, ended (shares) and onset_ms (median, from the user's last sample to the step's end that
  /// brings the first sound).
  Metrics evaluate() override;
  void save(models::TensorMap& out) const override { optimizer_->save(out, "optimizer."); }
  void load(const models::TensorMap& in) override { optimizer_->load(in, "optimizer."); }

  /// What the LM takes: features and, with has_ctc_input, the scaled CTC posterior. pcm [B, T *
  /// 1280] -> [B, T, U].
  at::Tensor user_vectors(const at::Tensor& pcm) const;
  const models::DuplexLm& lm() const { return *lm_; }
  const models::WhisperEncoder& encoder() const { return *encoder_; }
  std::string decode(const std::vector<int64_t>& tokens) const;

 private:
  at::Tensor user_vectors(const models::WhisperEncoder::Output& heard) const;
  /// The next batch's dialogues and, with a pool, their user vectors.
  struct Drawn {
    std::vector<Dialogue> dialogues;
    at::Tensor user;  ///< [B, T, U]; undefined when all are new
  };
  Drawn draw(std::mt19937_64& rng);
  /// Written dialogues as the LM takes them. Fewer than asked for while the bank lacks pieces; none
  /// at first.
  struct Written {
    std::vector<Dialogue> dialogues;
    std::vector<std::vector<WrittenTurn>> turns;
    std::vector<std::vector<bool>> own_codes;  ///< Slots whose codes are scored.
    std::vector<std::vector<bool>> unknown;    ///< Text slots that are not.
    std::vector<at::Tensor> user;              ///< [1, T, U] each
  };
  /// The next recordings through the encoder, into heard_.
  void hear_utterances(std::mt19937_64& rng);
  void remember_frames(const at::Tensor& user, const std::vector<Dialogue>& dialogues);
  void remember_frames(const at::Tensor& user,
                       const std::vector<const std::vector<float>*>& speaking);
  /// Zeros in place of the features in user [B, T, U], for the dialogues that the dropout hits.
  at::Tensor drop_features(const at::Tensor& user, std::mt19937_64& rng) const;
  /// Sets text_weight of written dialogues by slots with their own codes and slots that nothing
  /// tells.
  void score_written_words(const std::vector<std::vector<bool>>& own,
                           const std::vector<std::vector<bool>>& unknown,
                           DuplexBatch& written) const;
  Written draw_written(std::mt19937_64& rng);
  /// Share of the replies in new written dialogues whose every word is the most likely one after
  /// the right words before it: all, and by topic (printed). Empty before the bank is filled.
  Metrics evaluate_written();
  /// Mean cross-entropy of text_logits [B, T, V], each position by its weight and, with text_focus,
  /// by 1 - p. `losses` gets the plain ones [B * T].
  at::Tensor text_loss(const at::Tensor& logits, const at::Tensor& target, at::Tensor weights,
                       at::Tensor& losses) const;
  struct Pooled {
    Dialogue dialogue;
    at::Tensor user;  ///< [1, T, U] bf16
  };
  at::Tensor ctc_loss(const models::WhisperEncoder::Output& heard,
                      const std::vector<Dialogue>& dialogues) const;

  Config config_;
  models::SentencePieceModel pieces_, ctc_pieces_;
  std::unique_ptr<models::WhisperEncoder> encoder_;
  std::unique_ptr<models::DuplexLm> lm_;
  std::unique_ptr<AdamW> optimizer_;
  std::shared_ptr<const DialogueMixer> mixer_;
  std::shared_ptr<const WrittenMixer> written_;
  HeardBank bank_;
  HeardUtterances heard_;
  std::vector<size_t> hearing_order_;  // users, of like lengths together
  size_t next_heard_ = 0;
  uint64_t written_index_ = 0;
  std::unique_ptr<DialogueStream>
      stream_;  // made at the first step: it starts where the run resumes
  std::vector<Utterance> questions_;
  std::vector<Pooled> pool_;
  size_t oldest_ = 0;
};

}  // namespace duet::train
