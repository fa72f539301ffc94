#pragma once
// The bundled model's codec: K groups of FSQ at 12.5 Hz, one voice, ConvNeXt blocks and an inverse
// short-time Fourier transform (after Vocos, Siuzdak 2023; blocks of ConvNeXt, Liu et al. 2022,
// causal in the decoder). About thirty times cheaper per second than a HiFi-GAN decoder.
//
// Alignment: spectral frame h is synthesised over samples [h * hop, h * hop + window), so no sample
// depends on a later code frame and the decoder delays nothing; code frame t is still heard for
// window - hop samples after its slot. The encoder is not causal: it makes training codes and is
// never in the live path.

#include <ATen/core/Tensor.h>

#include <memory>
#include <span>
#include <vector>

#include "codecs/neural/codec.h"
#include "codecs/neural/fsq.h"
#include "models/nn/layers.h"
#include "models/weights/weight_reader.h"
#include "runtime/core/config_reader.h"

namespace duet::codecs {

struct ConvNextCodecConfig {
  int64_t sample_rate_hz = 24000;
  int64_t hop_samples = 240;     ///< Spectral frames: 100 Hz.
  int64_t window_samples = 960;  ///< 4 hops: periodic Hann at analysis and synthesis.
  int64_t hops_per_frame = 8;    ///< A power of two: 12.5 code frames a second.
  int64_t num_groups = 4;        ///< Codebooks.
  std::vector<int64_t> levels = {9, 8, 8, 7};
  int64_t kernel = 7;     ///< Depthwise kernel of every block.
  int64_t num_mels = 80;  ///< Encoder input.
  int64_t encoder_width = 192;
  int64_t encoder_blocks = 2;  ///< Per stage; log2(hops_per_frame) + 1 stages.
  int64_t decoder_width = 320;
  int64_t decoder_frame_blocks = 2;  ///< At the rate of the codes.
  int64_t decoder_hop_blocks = 6;    ///< At the rate of the spectra.

  int64_t samples_per_frame() const { return hop_samples * hops_per_frame; }
  /// Throws core::ConfigError.
  void validate() const;
  /// Reads the keys above, all optional, from the `codec` map of a model's or a trainer's config;
  /// does not finish() it.
  static ConvNextCodecConfig parse(const core::ConfigReader& config);
};

/// x + gamma * W2 gelu(W1 norm(depthwise(x))), width -> 3 * width -> width. x [B, T, D].
/// Names: depthwise.{weight [D, 1, kernel], bias}, norm, expand, project, gamma [D].
class ConvNextBlock {
 public:
  ConvNextBlock(int64_t width, int64_t kernel, bool is_causal, const models::WeightScope& weights);
  at::Tensor forward(const at::Tensor& x) const;
  /// Causal blocks only. `tails`: the inputs before x of one or several streams, each [B, kernel -
  /// 1, D] for B rows of x; updated in place.
  at::Tensor step(const at::Tensor& x, std::span<at::Tensor* const> tails) const;
  int64_t tail_length() const { return kernel_ - 1; }

 private:
  at::Tensor after_padding(const at::Tensor& x, const at::Tensor& padded) const;

  int64_t kernel_;
  bool is_causal_;
  at::Tensor depthwise_, depthwise_bias_, gamma_;
  models::nn::LayerNorm norm_;
  models::nn::Linear expand_, project_;
};

/// Prefix "decoder.". Latency 0, overlap window - hop (720 samples, 30 ms, by default).
class ConvNextDecoder : public CodecDecoder {
 public:
  ConvNextDecoder(const ConvNextCodecConfig& config, const models::WeightScope& weights);

  std::unique_ptr<State> initial_state(int64_t batch) const override;
  void reset(State& state) const override;
  at::Tensor forward(const at::Tensor& codes) const override;
  at::Tensor step(const at::Tensor& codes, State& state) const override;
  at::Tensor step_together(const at::Tensor& codes, std::span<State* const> states) const override;

  /// Quantised latents [B, latent width, T] (Fsq::quantize or decode) -> pcm [B, T *
  /// samples_per_frame()].
  at::Tensor forward_latents(const at::Tensor& latents) const;

  int64_t sample_rate_hz() const override { return config_.sample_rate_hz; }
  int64_t samples_per_frame() const override { return config_.samples_per_frame(); }
  int64_t num_codebooks() const override { return config_.num_groups; }
  int64_t codebook_size() const override { return fsq_.codebook_size(); }
  int64_t overlap_samples() const override { return config_.window_samples - config_.hop_samples; }
  const Fsq& fsq() const { return fsq_; }

 private:
  at::Tensor synthesis_frames(const at::Tensor& hidden) const;

  ConvNextCodecConfig config_;
  Fsq fsq_;
  models::nn::Linear input_;
  std::vector<ConvNextBlock> frame_blocks_;
  models::nn::Linear upsample_;
  std::vector<ConvNextBlock> hop_blocks_;
  models::nn::LayerNorm norm_;
  models::nn::Linear head_;
  at::Tensor window_;
};

/// Prefix "encoder.". Log-mel, ConvNeXt stages with stride-2 convolutions between them, linear to
/// the latents.
class ConvNextEncoder : public CodecEncoder {
 public:
  ConvNextEncoder(const ConvNextCodecConfig& config, const models::WeightScope& weights);
  at::Tensor forward(const at::Tensor& pcm) const override;
  at::Tensor latents(const at::Tensor& pcm) const override;
  const Fsq& fsq() const { return fsq_; }

 private:
  at::Tensor log_mel(const at::Tensor& pcm) const;

  ConvNextCodecConfig config_;
  Fsq fsq_;
  at::Tensor input_weight_, input_bias_;
  std::vector<ConvNextBlock> blocks_;
  std::vector<at::Tensor> down_weights_, down_biases_;
  models::nn::LayerNorm norm_;
  models::nn::Linear output_;
  at::Tensor window_, filters_;
};

}  // namespace duet::codecs
