#include "tools/train/codec_losses.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "codecs/neural/spectrum.h"
#include "models/nn/mel_filters.h"

namespace duet::train {
namespace {

at::Tensor magnitude_of(const at::Tensor& x, const at::Tensor& window) {
  return (codecs::spectrum(x, window, window.size(0) / 4).pow(2).sum(-1) + 1e-7).sqrt();
}

at::Tensor log_mel(const at::Tensor& magnitude, const at::Tensor& filters) {
  return at::log(at::matmul(magnitude * 20.0, filters).clamp_min(1e-3));
}

}  // namespace

SpectralLoss::SpectralLoss(int64_t sample_rate_hz, std::vector<Resolution> resolutions)
    : sample_rate_hz_(sample_rate_hz), resolutions_(std::move(resolutions)) {
  for (const Resolution& resolution : resolutions_) {
    windows_.push_back(codecs::hann_window(resolution.window_samples));
    filters_.push_back(models::nn::slaney_mel_filters(sample_rate_hz_, resolution.window_samples,
                                                      resolution.num_mels)
                           .t()
                           .contiguous());
  }
}

SpectralLoss::Value SpectralLoss::operator()(const at::Tensor& decoded,
                                             const at::Tensor& original) const {
  at::Tensor mel, magnitude;
  for (size_t i = 0; i < windows_.size(); ++i) {
    const at::Tensor got = magnitude_of(decoded, windows_[i]),
                     want = magnitude_of(original, windows_[i]);
    const at::Tensor mel_distance =
        at::l1_loss(log_mel(got, filters_[i]), log_mel(want, filters_[i]));
    const at::Tensor distance = at::l1_loss(got.sqrt(), want.sqrt());
    mel = mel.defined() ? mel + mel_distance : mel_distance;
    magnitude = magnitude.defined() ? magnitude + distance : distance;
  }
  const auto count = static_cast<double>(windows_.size());
  return {mel / count, magnitude / count};
}

SpectralDiscriminator::SpectralDiscriminator(int64_t window_samples, int64_t channels,
                                             const models::WeightScope& weights)
    : window_(codecs::hann_window(window_samples)) {
  struct Shape {
    int64_t in, out, time, frequency, stride_time, stride_frequency;
  };
  const Shape shapes[] = {{2, channels, 5, 7, 2, 2},
                          {channels, channels, 3, 5, 1, 2},
                          {channels, channels, 3, 5, 2, 2},
                          {channels, channels, 3, 3, 1, 1},
                          {channels, 1, 3, 3, 1, 1}};
  int64_t index = 0;
  for (const Shape& shape : shapes) {
    const models::WeightScope layer = weights.sub("layers", index++);
    layers_.push_back(
        {layer.parameter("direction", {shape.out, shape.in, shape.time, shape.frequency}),
         layer.parameter("gain", {shape.out, 1, 1, 1}, models::Init::ones()),
         layer.parameter("bias", {shape.out}, models::Init::zeros()), shape.stride_time,
         shape.stride_frequency});
  }
}

SpectralDiscriminator::Output SpectralDiscriminator::forward(const at::Tensor& x) const {
  // [B, T, F, 2] seen as [B, 2, T, F] is channels-last already, the fast layout for convolutions on
  // CPUs.
  at::Tensor h = codecs::spectrum(x, window_, window_.size(0) / 4).permute({0, 3, 1, 2});
  Output output;
  for (const Layer& layer : layers_) {
    const at::Tensor norm = layer.direction.pow(2).sum(at::IntArrayRef{1, 2, 3}, true).sqrt();
    const at::Tensor weight = layer.direction * (layer.gain / norm);
    h = at::conv2d(h, weight, layer.bias,
                   at::IntArrayRef{layer.stride_time, layer.stride_frequency},
                   at::IntArrayRef{weight.size(2) / 2, weight.size(3) / 2});
    if (&layer == &layers_.back()) break;
    h = at::leaky_relu(h, 0.1);
    output.features.push_back(h);
  }
  output.score = h;
  return output;
}

CodecDiscriminators::CodecDiscriminators(int64_t channels, const models::WeightScope& weights) {
  int64_t index = 0;
  for (const int64_t window : {1024, 512, 256})
    discriminators_.emplace_back(window, channels, weights.sub("discriminators", index++));
}

at::Tensor CodecDiscriminators::discriminator_loss(const at::Tensor& decoded,
                                                   const at::Tensor& original) const {
  at::Tensor loss;
  for (const SpectralDiscriminator& discriminator : discriminators_) {
    const at::Tensor real = discriminator.forward(original).score.to(at::kFloat);
    const at::Tensor fake = discriminator.forward(decoded.detach()).score.to(at::kFloat);
    const at::Tensor term = at::relu(1.0 - real).mean() + at::relu(1.0 + fake).mean();
    loss = loss.defined() ? loss + term : term;
  }
  return loss / static_cast<double>(discriminators_.size());
}

CodecDiscriminators::GeneratorLoss CodecDiscriminators::generator_loss(
    const at::Tensor& decoded, const at::Tensor& original) const {
  at::Tensor adversarial, matching;
  for (const SpectralDiscriminator& discriminator : discriminators_) {
    SpectralDiscriminator::Output real;
    {
      const at::NoGradGuard no_grad;
      real = discriminator.forward(original);
    }
    const SpectralDiscriminator::Output fake = discriminator.forward(decoded);
    const at::Tensor score = -fake.score.to(at::kFloat).mean();
    adversarial = adversarial.defined() ? adversarial + score : score;
    for (size_t i = 0; i < fake.features.size(); ++i) {
      const at::Tensor want = real.features[i].to(at::kFloat);
      const at::Tensor term = at::l1_loss(fake.features[i].to(at::kFloat), want) /
                              (want.abs().mean() + 1e-3) /
                              static_cast<double>(fake.features.size());
      matching = matching.defined() ? matching + term : term;
    }
  }
  const auto count = static_cast<double>(discriminators_.size());
  return {adversarial / count, matching / count};
}

}  // namespace duet::train
