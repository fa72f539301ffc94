#pragma once
// What the codec is trained on: multi-resolution mel and short-time magnitude distances, and
// spectral discriminators. Sources: HiFi-GAN (Kong 2020) mel loss and feature matching; EnCodec
// (Defossez 2022) discriminators on complex short-time spectra; hinge losses as in both.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "models/weights/weight_reader.h"

namespace duet::train {

/// Mean over resolutions of L1 distances. Waveforms [B, N] fp32, N a multiple of every hop.
/// Immutable.
class SpectralLoss {
 public:
  struct Resolution {
    int64_t window_samples;  ///< Hop is a quarter of it.
    int64_t num_mels;
  };
  explicit SpectralLoss(int64_t sample_rate_hz, std::vector<Resolution> resolutions = {
                                                    {2048, 80}, {1024, 80}, {512, 60}, {256, 40}});
  struct Value {
    at::Tensor mel;        ///< L1 of log mel magnitudes, scalar.
    at::Tensor magnitude;  ///< L1 of square-rooted magnitudes, scalar: loud harmonics count more
                           ///< than noise.
  };
  Value operator()(const at::Tensor& decoded, const at::Tensor& original) const;

 private:
  int64_t sample_rate_hz_;
  std::vector<Resolution> resolutions_;
  std::vector<at::Tensor> windows_, filters_;
};

/// One stack of weight-normalised 2-D convolutions over (time, frequency) of a complex spectrum.
class SpectralDiscriminator {
 public:
  SpectralDiscriminator(int64_t window_samples, int64_t channels,
                        const models::WeightScope& weights);
  struct Output {
    at::Tensor score;                  ///< [B, 1, T', F'], high = taken for real.
    std::vector<at::Tensor> features;  ///< After each hidden layer.
  };
  /// x [B, N], N a multiple of window / 4.
  Output forward(const at::Tensor& x) const;

 private:
  struct Layer {
    at::Tensor direction, gain, bias;  // W = gain * direction / |direction| per output channel
    int64_t stride_time, stride_frequency;
  };
  at::Tensor window_;
  std::vector<Layer> layers_;
};

/// Windows of 1024, 512 and 256 samples. Prefix "discriminators.".
class CodecDiscriminators {
 public:
  CodecDiscriminators(int64_t channels, const models::WeightScope& weights);
  /// Hinge loss that teaches the discriminators, scalar. `decoded` is detached here.
  at::Tensor discriminator_loss(const at::Tensor& decoded, const at::Tensor& original) const;
  struct GeneratorLoss {
    at::Tensor adversarial;       ///< -mean score.
    at::Tensor feature_matching;  ///< L1 of features, relative to their mean size on the original.
  };
  GeneratorLoss generator_loss(const at::Tensor& decoded, const at::Tensor& original) const;

 private:
  std::vector<SpectralDiscriminator> discriminators_;
};

}  // namespace duet::train
