#include "tools/train/codec_task.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "runtime/core/error.h"
#include "tools/train/autocast.h"

namespace duet::train {
namespace {

AdamW::Config scaled(AdamW::Config config, double factor) {
  config.learning_rate *= factor;
  config.clip_norm = 10.0;
  return config;
}

}  // namespace

CodecTask::CodecTask(const Config& config, ParameterStore& store, std::vector<Utterance> train,
                     std::vector<Utterance> heldout)
    : config_(config),
      store_(store),
      train_(std::move(train)),
      heldout_(std::move(heldout)),
      encoder_(config.codec, models::WeightScope(store).sub("encoder")),
      decoder_(config.codec, models::WeightScope(store).sub("decoder")),
      discriminators_(config.discriminator_channels, models::WeightScope(store)),
      spectral_loss_(config.codec.sample_rate_hz) {
  if (train_.empty())
    throw core::ConfigError({"data.train", "at least one utterance", "none", {}, {}});
  // The largest analysis window needs 2048 samples, its hop of 512 and the discriminators' of 256
  // whole frames.
  const int64_t frame = config_.codec.samples_per_frame();
  for (const int64_t samples : {config_.segment_frames * frame, config_.adversarial_frames * frame})
    if (samples < 2048 || samples % 512 != 0)
      throw core::ConfigError({"segment_frames, adversarial_frames",
                               "a multiple of 512 samples, at least 2048",
                               std::to_string(samples),
                               {},
                               {}});
  if (config_.adversarial_frames > config_.segment_frames)
    throw core::ConfigError({"adversarial_frames",
                             "at most segment_frames",
                             std::to_string(config_.adversarial_frames),
                             {},
                             {}});
  for (const Utterance& utterance : train_)
    lengths_.push_back(static_cast<double>(utterance.samples.size()));
  std::vector<std::string> learning = {"decoder."};
  if (config_.decoder_only)
    store.freeze("encoder.");
  else
    learning.push_back("encoder.");
  optimizer_ = std::make_unique<AdamW>(config_.optimizer, store, learning);
  discriminator_optimizer_ =
      std::make_unique<AdamW>(scaled(config_.optimizer, config_.discriminator_lr_ratio), store,
                              std::vector<std::string>{"discriminators."});
}

at::Tensor CodecTask::draw_batch(std::mt19937_64& rng) const {
  const int64_t length = config_.segment_frames * config_.codec.samples_per_frame();
  const auto second = static_cast<double>(config_.codec.sample_rate_hz);
  const auto uniform = [&](double high) {
    return std::uniform_real_distribution<double>(0.0, high)(rng);
  };
  std::discrete_distribution<size_t> pick(lengths_.begin(), lengths_.end());
  at::Tensor batch = at::zeros({config_.batch_size, length});
  for (int64_t b = 0; b < config_.batch_size; ++b) {
    float* out = batch[b].data_ptr<float>();
    const double gain_db =
        config_.gain_low_db + uniform(config_.gain_high_db - config_.gain_low_db);
    const auto gain = static_cast<float>(std::pow(10.0, gain_db / 20.0) / 32768.0);
    int64_t at = uniform(1.0) < config_.silence_first_probability
                     ? static_cast<int64_t>(uniform(second))
                     : 0;
    bool is_first = at == 0;
    while (at < length) {
      const std::vector<int16_t>& samples = train_[pick(rng)].samples;
      const auto size = static_cast<int64_t>(samples.size());
      // The first one starts anywhere, so that segments do not always hold beginnings.
      const int64_t from =
          is_first && size > length / 2
              ? static_cast<int64_t>(uniform(static_cast<double>(size - length / 2)))
              : 0;
      is_first = false;
      const int64_t count = std::min(size - from, length - at);
      for (int64_t i = 0; i < count; ++i)
        out[at + i] = static_cast<float>(samples[static_cast<size_t>(from + i)]) * gain;
      at += count;
      if (uniform(1.0) < config_.pause_probability)
        at += static_cast<int64_t>(uniform((uniform(1.0) < 0.3 ? 0.8 : 0.2) * second));
    }
  }
  return batch;
}

at::Tensor CodecTask::decode(const at::Tensor& pcm) const {
  const Autocast autocast(config_.bf16);
  at::Tensor latents;
  if (config_.decoder_only) {
    const at::NoGradGuard no_grad;
    latents = encoder_.fsq().decode(encoder_.forward(pcm));
  } else {
    latents = encoder_.fsq().quantize(encoder_.latents(pcm));
  }
  return decoder_.forward_latents(latents);
}

void CodecTask::set_discriminators_learn(bool learn) {
  for (const auto& [name, parameter] : store_.parameters())
    if (name.starts_with("discriminators.")) {
      at::Tensor leaf = parameter;
      leaf.set_requires_grad(learn);
    }
}

Metrics CodecTask::step(const StepContext& context, std::mt19937_64& rng) {
  const at::Tensor original = draw_batch(rng);
  optimizer_->zero_grad();
  const at::Tensor decoded = decode(original);
  const SpectralLoss::Value spectral = spectral_loss_(decoded, original);
  at::Tensor loss =
      config_.mel_weight * spectral.mel + config_.magnitude_weight * spectral.magnitude;
  Metrics metrics;
  if (context.progress >= config_.adversarial_from) {
    const int64_t frame = config_.codec.samples_per_frame();
    const int64_t last = config_.segment_frames - config_.adversarial_frames;
    const int64_t from = std::uniform_int_distribution<int64_t>(0, last)(rng) * frame;
    const int64_t count = config_.adversarial_frames * frame;
    const at::Tensor real = original.narrow(1, from, count), fake = decoded.narrow(1, from, count);
    discriminator_optimizer_->zero_grad();
    at::Tensor taught;
    {
      const Autocast autocast(config_.bf16);
      taught = discriminators_.discriminator_loss(fake, real);
    }
    taught.backward();
    discriminator_optimizer_->step(context.lr_factor);
    set_discriminators_learn(false);
    CodecDiscriminators::GeneratorLoss judged;
    {
      const Autocast autocast(config_.bf16);
      judged = discriminators_.generator_loss(fake, real);
    }
    // Faded in over 3 % of the run: a fresh discriminator's opinion is noise.
    const double fade = config_.adversarial_from == 0.0
                            ? 1.0
                            : std::min(1.0, (context.progress - config_.adversarial_from) / 0.03);
    loss = loss + fade * (config_.adversarial_weight * judged.adversarial +
                          config_.matching_weight * judged.feature_matching);
    metrics["discriminator"] = taught.item<double>();
    metrics["adversarial"] = judged.adversarial.item<double>();
    metrics["matching"] = judged.feature_matching.item<double>();
  }
  loss.backward();
  set_discriminators_learn(true);
  metrics["gradient"] = optimizer_->step(context.lr_factor);
  metrics["loss"] = loss.item<double>();
  metrics["mel"] = spectral.mel.item<double>();
  metrics["magnitude"] = spectral.magnitude.item<double>();
  return metrics;
}

Metrics CodecTask::evaluate() {
  const at::NoGradGuard no_grad;
  const int64_t frame = config_.codec.samples_per_frame(), unit = std::lcm(frame, int64_t{512});
  double mel = 0.0, magnitude = 0.0;
  int64_t count = 0;
  for (const Utterance& utterance : heldout_) {
    const std::vector<float> samples = to_float(utterance.samples);
    const auto length = static_cast<int64_t>(samples.size()) / unit * unit;
    if (length == 0) continue;
    const at::Tensor original =
        at::tensor(at::ArrayRef<float>(samples.data(), static_cast<size_t>(length))).unsqueeze(0);
    const SpectralLoss::Value value =
        spectral_loss_(decoder_.forward(encoder_.forward(original)), original);
    mel += value.mel.item<double>();
    magnitude += value.magnitude.item<double>();
    ++count;
  }
  if (count == 0) return {};
  const auto total = static_cast<double>(count);
  return {{"heldout_mel", mel / total}, {"heldout_magnitude", magnitude / total}};
}

void CodecTask::save(models::TensorMap& out) const {
  optimizer_->save(out, "optimizer.");
  discriminator_optimizer_->save(out, "discriminator_optimizer.");
}

void CodecTask::load(const models::TensorMap& in) {
  optimizer_->load(in, "optimizer.");
  discriminator_optimizer_->load(in, "discriminator_optimizer.");
}

}  // namespace duet::train
