#pragma once
// Causal Conformer layers and the stack of them, in chunks with a limited past (FastConformer,
// arXiv:2305.05084; cache-aware streaming, arXiv:2312.17279). Source: NeMo ConformerLayer,
// ConformerConvolution, ConformerEncoder. Checkpoint names: layers.{i}.* of a ConformerEncoder.
// Look-ahead: the rest of the frame's chunk. Not supported: non-causal convolutions, unlimited
// past, local attention with global tokens.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "models/nn/layers.h"
#include "models/nn/rel_attention.h"
#include "models/weights/weight_reader.h"
#include "runtime/core/move_only.h"

namespace duet::models::nn {

struct ConformerConfig {
  enum class ConvNorm { kLayerNorm, kBatchNorm };
  int64_t width = 512;
  int64_t num_layers = 17;
  int64_t num_heads = 8;
  int64_t feed_forward_factor = 4;
  int64_t conv_kernel = 9;
  ConvNorm conv_norm = ConvNorm::kLayerNorm;
  bool has_bias =
      true;  ///< Biases of the layers' linears and convolutions; norms always have theirs.
  bool has_untied_biases = true;  ///< false: one pos_bias_u / pos_bias_v pair for all layers.
  ChunkContext context;
  void validate() const;  ///< Throws core::ConfigError.
};

/// pointwise -> GLU -> causal depthwise -> norm -> SiLU -> pointwise. Prefix: conv.
class ConformerConv {
 public:
  struct State : core::MoveOnly {
    at::Tensor tail;  ///< [B, kernel - 1, D] last gated inputs of the depthwise convolution.
    State clone() const;
  };
  ConformerConv(const ConformerConfig& config, const WeightScope& weights);
  State initial_state(int64_t batch) const;
  at::Tensor forward(const at::Tensor& x) const;  ///< [B, T, D] -> [B, T, D]
  at::Tensor step(const at::Tensor& x, State& state) const;

 private:
  at::Tensor gate(const at::Tensor& x) const;
  at::Tensor finish(const at::Tensor& padded) const;

  int64_t width_, kernel_;
  at::Tensor in_, in_bias_, depthwise_, depthwise_bias_, out_, out_bias_;
  at::Tensor norm_, norm_bias_, mean_, variance_;  // mean_ and variance_ only with batch norm
};

/// x [B, T, D] -> [B, T, D]; x += FF/2; x += attention; x += conv; x += FF/2; norm.
class ConformerLayer {
 public:
  struct State : core::MoveOnly {
    RelativeAttention::State attention;
    ConformerConv::State conv;
    State clone() const;
    int64_t num_bytes() const;
  };
  ConformerLayer(const ConformerConfig& config, const WeightScope& weights,
                 const at::Tensor& pos_bias_u, const at::Tensor& pos_bias_v);
  State initial_state(int64_t batch) const;
  void reset(State& state) const;
  at::Tensor forward(const at::Tensor& x) const;
  at::Tensor step(const at::Tensor& x, State& state) const;

 private:
  at::Tensor feed_forward(const at::Tensor& x, const Linear& in, const Linear& out) const;

  LayerNorm norm_ff1_, norm_attention_, norm_conv_, norm_ff2_, norm_out_;
  Linear ff1_in_, ff1_out_, ff2_in_, ff2_out_;
  RelativeAttention attention_;
  ConformerConv conv_;
};

/// The layers of one encoder. Frames wait until their chunk is full, so frame i appears with the
/// last of its chunk.
class ConformerStack {
 public:
  struct State : core::MoveOnly {
    std::vector<ConformerLayer::State> layers;
    at::Tensor pending;  ///< [B, chunk - 1, D] frames whose chunk is not full; the first
                         ///< num_pending are valid.
    int64_t num_pending = 0;
    State clone() const;
    int64_t num_bytes() const;
  };
  ConformerStack(const ConformerConfig& config, const WeightScope& weights);

  State initial_state(int64_t batch) const;
  void reset(State& state) const;
  at::Tensor forward(const at::Tensor& x) const;             ///< [B, T, D] -> [B, T, D]
  at::Tensor step(const at::Tensor& x, State& state) const;  ///< [B, t, D] -> [B, whole chunks, D]
  at::Tensor flush(State& state) const;  ///< The short last chunk: [B, num_pending, D]
  /// Multiply-adds for one frame of a full chunk with its whole past.
  int64_t macs_per_frame() const;
  const ConformerConfig& config() const { return config_; }

 private:
  at::Tensor run(const at::Tensor& x, State& state) const;

  ConformerConfig config_;
  std::vector<ConformerLayer> layers_;
};

}  // namespace duet::models::nn
