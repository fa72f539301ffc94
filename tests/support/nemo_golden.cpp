#include "tests/support/nemo_golden.h"

#include <ATen/ATen.h>

#include <cmath>
#include <numbers>
#include <random>

namespace duet::test {

at::Tensor golden_signal(int64_t num_samples) {
  at::Tensor out = at::empty({1, num_samples}, at::kFloat);
  float* values = out.data_ptr<float>();
  constexpr double kTwoPi = 2.0 * std::numbers::pi;
  for (int64_t n = 0; n < num_samples; ++n) {
    const double t = static_cast<double>(n) / 16000.0;
    values[n] =
        static_cast<float>(0.5 * std::sin(kTwoPi * 440.0 * t) +
                           0.25 * std::sin(kTwoPi * 1000.0 * t) * std::cos(kTwoPi * 3.0 * t));
  }
  return out;
}

at::Tensor noise(at::IntArrayRef shape, uint64_t seed) {
  at::Tensor out = at::empty(shape, at::kFloat);
  std::mt19937_64 random(seed);
  float* values = out.data_ptr<float>();
  for (int64_t i = 0; i < out.numel(); ++i)
    values[i] = static_cast<float>(static_cast<double>(random() >> 11) / 9007199254740992.0 - 0.5);
  return out;
}

models::NemoPerceptionConfig tiny_perception(models::nn::ChunkContext context) {
  models::NemoPerceptionConfig config;
  config.encoder.in_features = 80;
  config.encoder.subsampling_factor = 8;
  config.encoder.subsampling_channels = 8;
  models::nn::ConformerConfig& conformer = config.encoder.conformer;
  conformer.width = 32;
  conformer.num_layers = 2;
  conformer.num_heads = 4;
  conformer.feed_forward_factor = 2;
  conformer.conv_kernel = 9;
  conformer.context = context;
  config.adapter = config.encoder;
  config.adapter->in_features = 32;
  config.adapter->subsampling_factor = 1;
  config.adapter->conformer.num_layers = 1;
  config.projection_in = 32;
  config.out_width = 48;
  return config;
}

}  // namespace duet::test
