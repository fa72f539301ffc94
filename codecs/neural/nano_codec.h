#pragma once
// NVIDIA's NanoCodec family: HiFi-GAN generators made causal, with grouped FSQ between them.
// Source: NVIDIA/NeMo nemo/collections/tts/modules/audio_codec_modules.py (`CausalHiFiGANDecoder`,
// `HiFiGANEncoder`, `CausalHiFiGANEncoder`, `CodecActivation`, `HalfSnake`),
// .../tts/models/audio_codec.py; HiFi-GAN (Kong 2020), snake (Ziyin 2020). Always fp32. Weight norm
// is accepted in both spellings and folded while loading. Deliberately unsupported:
// `HiFiGANDecoder`, whose symmetric convolutions need 13 future code frames.

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>
#include <vector>

#include "codecs/neural/codec.h"
#include "codecs/neural/fsq.h"
#include "models/weights/weight_reader.h"
#include "runtime/core/config_reader.h"

namespace duet::codecs {

enum class NanoActivation { kHalfSnake, kSnake, kLeakyRelu, kElu };
enum class NanoPadding { kZeros, kReflect, kReplicate };

struct NanoCodecConfig {
  /// What encoder and decoder have in common.
  struct Stack {
    std::vector<int64_t> rates;  ///< Up- or down-sampling, one per stage.
    int64_t base_channels = 0;   ///< Of the widest (decoder) or narrowest (encoder) convolution.
    int64_t in_kernel = 7;
    int64_t out_kernel = 3;  ///< 7 in encoders.
    std::vector<int64_t> kernels = {3, 7, 11};
    std::vector<int64_t> dilations = {1, 3, 5};
    NanoActivation activation = NanoActivation::kLeakyRelu;
  };
  int64_t sample_rate_hz = 22050;
  int64_t num_groups = 4;
  std::vector<int64_t> levels = {9, 8, 8, 7};
  Stack decoder;
  bool clamps_output = false;  ///< Else tanh.
  bool is_grouped = true;      ///< Up-sampling convolutions have as many groups as output channels.
  Stack encoder;               ///< No rates: there is no encoder.
  bool is_encoder_causal = false;
  NanoPadding encoder_padding = NanoPadding::kReflect;

  int64_t samples_per_frame() const;
  /// Throws core::ConfigError.
  void validate() const;

  /// From the `model_config.yaml` of a NeMo codec (audio_encoder, audio_decoder, vector_quantizer,
  /// sample_rate); keys for training are passed over. Throws core::ConfigError; non-causal decoders
  /// are refused.
  static NanoCodecConfig parse(const core::ConfigReader& model_config);
};

/// CodecActivation of `channels`: names activation.snake_act.alpha [1, C/2, 1] or activation.alpha
/// [1, C, 1].
class NanoActivationLayer {
 public:
  NanoActivationLayer(NanoActivation kind, int64_t channels, const models::WeightScope& weights);
  at::Tensor forward(const at::Tensor& x) const;

 private:
  NanoActivation kind_;
  int64_t num_snake_ = 0;
  at::Tensor alpha_, inverse_alpha_;
};

/// Convolution of NeMo's Conv1dNorm and CausalConv1dNorm: x [B, C, T]. Names: conv.<weight or its
/// two norm parts>, conv.bias.
class NanoConv {
 public:
  struct Shape {
    int64_t in, out, kernel, stride = 1, dilation = 1;
    int64_t pad_left, pad_right;
    NanoPadding padding = NanoPadding::kZeros;
  };
  NanoConv(const Shape& shape, const models::WeightScope& weights);
  at::Tensor forward(const at::Tensor& x) const;
  /// Stride 1, causal: `tail` [B, C, pad_left] holds the inputs before x; updated in place.
  at::Tensor step(const at::Tensor& x, at::Tensor& tail) const;
  at::Tensor initial_tail(int64_t batch) const;

 private:
  at::Tensor valid(const at::Tensor& padded) const;
  Shape shape_;
  at::Tensor weight_, bias_;
};

/// CausalConvTranspose1dNorm: kernel 2 * rate, stride rate, the last `rate` outputs cut off.
class NanoUpsampler {
 public:
  NanoUpsampler(int64_t in, int64_t out, int64_t rate, bool is_grouped,
                const models::WeightScope& weights);
  at::Tensor forward(const at::Tensor& x) const;
  at::Tensor step(const at::Tensor& x,
                  at::Tensor& tail) const;  ///< tail [B, in, 1]: the input column before x.
  at::Tensor initial_tail(int64_t batch) const;

 private:
  int64_t in_, rate_, groups_;
  at::Tensor weight_, bias_;
};

/// HiFiGANResLayer: mean over kernel sizes of chains of residual blocks, one per dilation.
class NanoResidualLayer {
 public:
  NanoResidualLayer(const NanoCodecConfig::Stack& stack, int64_t channels, bool is_causal,
                    NanoPadding padding, const models::WeightScope& weights);
  at::Tensor forward(const at::Tensor& x) const;
  at::Tensor step(const at::Tensor& x, std::vector<at::Tensor>& tails, size_t& next) const;
  void append_tails(int64_t batch, std::vector<at::Tensor>& tails) const;

 private:
  struct Block {
    NanoActivationLayer input_activation, skip_activation;
    NanoConv input_conv, skip_conv;
  };
  std::vector<std::vector<Block>> chains_;
};

/// Prefixes audio_decoder. and vector_quantizer. inside the scope. Latency 0; frames are heard
/// through the receptive field of the convolutions only, so overlap_samples() is 0.
class NanoDecoder : public CodecDecoder {
 public:
  NanoDecoder(const NanoCodecConfig& config, const models::WeightScope& weights);

  std::unique_ptr<State> initial_state(int64_t batch) const override;
  void reset(State& state) const override;
  at::Tensor forward(const at::Tensor& codes) const override;
  at::Tensor step(const at::Tensor& codes, State& state) const override;

  int64_t sample_rate_hz() const override { return config_.sample_rate_hz; }
  int64_t samples_per_frame() const override { return config_.samples_per_frame(); }
  int64_t num_codebooks() const override { return config_.num_groups; }
  int64_t codebook_size() const override { return fsq_.codebook_size(); }
  int64_t overlap_samples() const override { return 0; }
  const Fsq& fsq() const { return fsq_; }

 private:
  struct Stage {
    NanoActivationLayer activation;
    NanoUpsampler upsampler;
    NanoResidualLayer residual;
  };
  at::Tensor to_pcm(const at::Tensor& x) const;

  NanoCodecConfig config_;
  Fsq fsq_;
  NanoConv pre_conv_;
  std::vector<Stage> stages_;
  NanoActivationLayer post_activation_;
  NanoConv post_conv_;
};

/// HiFiGANEncoder or CausalHiFiGANEncoder, by the config. Prefix audio_encoder. inside the scope.
/// Whole sequences only.
class NanoEncoder : public CodecEncoder {
 public:
  NanoEncoder(const NanoCodecConfig& config, const models::WeightScope& weights);
  at::Tensor forward(const at::Tensor& pcm) const override;
  at::Tensor latents(const at::Tensor& pcm) const override;

 private:
  struct Stage {
    NanoResidualLayer residual;
    NanoActivationLayer activation;
    NanoConv downsampler;
  };
  NanoCodecConfig config_;
  Fsq fsq_;
  NanoConv pre_conv_;
  std::vector<Stage> stages_;
  NanoActivationLayer post_activation_;
  NanoConv post_conv_;
};

}  // namespace duet::codecs
