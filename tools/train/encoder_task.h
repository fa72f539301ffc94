#pragma once
// Trains the Whisper-style encoder on transcribed speech with CTC (Graves et al. 2006) over
// lower-case word pieces, plus the "user is speaking" logit from the known place of the speech.
// Recipe and figures: docs/experiments.md.

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "models/sentencepiece_library.h"
#include "models/whisper_encoder.h"
#include "tools/train/adamw.h"
#include "tools/train/augment.h"
#include "tools/train/speech_set.h"
#include "tools/train/train_loop.h"

namespace duet::train {

/// Lower case, letters and apostrophes only, single spaces: what CTC learns to write.
std::string normalise_transcript(const std::string& text);

/// Greedy CTC: repeats merged, blanks (the last class) dropped. logits [T, C].
std::vector<int> ctc_greedy(const at::Tensor& logits);

/// Word edit distance and number of reference words.
std::pair<int64_t, int64_t> word_errors(const std::string& reference,
                                        const std::string& hypothesis);

class EncoderTask : public TrainTask {
 public:
  struct Config {
    models::WhisperEncoder::Config encoder;
    std::string tokenizer;  ///< SentencePiece model of lower-case pieces.
    AdamW::Config optimizer;
    AugmentConfig augment;
    double batch_seconds = 70.0;  ///< Audio in a batch, silence around the words included.
    double pretrained_lr_ratio =
        0.17;  ///< Learning rate of imported layers relative to the new ones.
    double speaking_weight = 0.2;
    /// Relative shares of the topics in what is drawn; 1 for those not named; "(none)": what has no
    /// topic. Empty: every utterance alike.
    std::map<std::string, double> topics;
    /// Weight of an utterance by what spoke it: slow, natural speech is scarce and fast synthetic
    /// speech plentiful. 1 for those not named.
    std::map<std::string, double> engines{{"flite", 0.35}, {"espeak", 0.25}};
    bool bf16 = true;
    std::string heard_file;  ///< JSON lines: topic, voice, said, heard. "" = none.
  };

  EncoderTask(const Config& config, ParameterStore& store, std::vector<Utterance> train,
              std::vector<Utterance> heldout);
  std::string name() const override { return "encoder"; }
  Metrics step(const StepContext& context, std::mt19937_64& rng) override;
  /// On the held-out recordings, as they are: wer, the word error rate, and exact, the share of
  /// utterances without an error. What was heard of each goes to Config::heard_file.
  Metrics evaluate() override;
  void save(models::TensorMap& out) const override { optimizer_->save(out, "optimizer."); }
  void load(const models::TensorMap& in) override { optimizer_->load(in, "optimizer."); }
  const models::WhisperEncoder& encoder() const { return encoder_; }

 private:
  struct Item {
    std::vector<float> samples;
    std::vector<int64_t> target;
    int64_t speech_begin = 0, speech_end = 0;
  };
  /// Utterances of about one length: a batch has one of few shapes, for which the matrix kernels
  /// are built once.
  struct Bucket {
    int64_t frames = 0;              ///< Of every row of the batch.
    std::vector<size_t> members;     ///< Into train_.
    std::vector<double> cumulative;  ///< Sampling weights, running sum.
  };
  size_t pick(const Bucket& bucket, std::mt19937_64& rng) const;
  Item draw(const Bucket& bucket, std::mt19937_64& rng) const;

  Config config_;
  models::SentencePieceModel pieces_;
  std::vector<Utterance> train_, heldout_;
  std::vector<std::vector<int64_t>> targets_;
  std::vector<Bucket> buckets_;
  models::WhisperEncoder encoder_;
  std::unique_ptr<AdamW> optimizer_;
};

}  // namespace duet::train
