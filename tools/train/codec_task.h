#pragma once
// Trains the ConvNeXt codec on one voice: spectral distances from the first step, discriminators
// from `adversarial_from` of the run on. With `decoder_only` the encoder stays as it is, so that
// codes made with it stay valid.

#include <memory>
#include <string>
#include <vector>

#include "codecs/neural/convnext_codec.h"
#include "tools/train/adamw.h"
#include "tools/train/codec_losses.h"
#include "tools/train/speech_set.h"
#include "tools/train/train_loop.h"

namespace duet::train {

class CodecTask : public TrainTask {
 public:
  struct Config {
    codecs::ConvNextCodecConfig codec;
    AdamW::Config optimizer;
    double discriminator_lr_ratio = 0.6;
    int64_t discriminator_channels = 32;
    int64_t batch_size = 8;
    int64_t segment_frames = 20;      ///< Code frames of a training segment (1.6 s at 12.5 Hz).
    int64_t adversarial_frames = 12;  ///< Of these, a random stretch is judged.
    double adversarial_from = 0.5;    ///< Share of the run after which the discriminators join.
    double mel_weight = 15.0, magnitude_weight = 5.0, adversarial_weight = 1.0,
           matching_weight = 2.0;
    double gain_low_db = -6.0, gain_high_db = 3.0;
    double silence_first_probability = 0.15;  ///< A segment starts with up to 1 s of silence.
    double pause_probability =
        0.7;  ///< A pause of up to 0.2 s (0.8 s in a third of them) after an utterance.
    bool decoder_only = false;
    bool bf16 = true;
  };

  /// Parameters of `store` are named "encoder.*", "decoder.*" and "discriminators.*".
  CodecTask(const Config& config, ParameterStore& store, std::vector<Utterance> train,
            std::vector<Utterance> heldout);
  std::string name() const override { return "codec"; }
  Metrics step(const StepContext& context, std::mt19937_64& rng) override;
  /// mel, magnitude: the distances on whole held-out utterances, without gain or pauses.
  Metrics evaluate() override;
  void save(models::TensorMap& out) const override;
  void load(const models::TensorMap& in) override;

  /// [batch, segment samples]: utterances one after another with pauses, silence being exact zeros.
  at::Tensor draw_batch(std::mt19937_64& rng) const;

 private:
  at::Tensor decode(const at::Tensor& pcm) const;
  void set_discriminators_learn(bool learn);

  Config config_;
  ParameterStore& store_;
  std::vector<Utterance> train_, heldout_;
  std::vector<double> lengths_;
  codecs::ConvNextEncoder encoder_;
  codecs::ConvNextDecoder decoder_;
  CodecDiscriminators discriminators_;
  SpectralLoss spectral_loss_;
  std::unique_ptr<AdamW> optimizer_, discriminator_optimizer_;
};

}  // namespace duet::train
