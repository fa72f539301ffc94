#pragma once
// The decoder stack of the Llama family (Llama, TinyLlama, Qwen2): pre-norm layers of grouped-query
// attention with rotary positions and a SwiGLU, one norm at the end. Embedding and heads belong to
// the caller. Checkpoint names (transformers LlamaModel):
// layers.{i}.self_attn.{q,k,v,o}_proj.weight, layers.{i}.mlp.{gate,up,down}_proj.weight,
// layers.{i}.{input,post_attention}_layernorm.weight, norm.weight; with attention_bias also
// {q,k,v}_proj.bias (Qwen2). Unsupported: RoPE scaling, biases elsewhere, MoE.

#include <ATen/core/Tensor.h>

#include <span>
#include <vector>

#include "models/nn/kv_cache.h"
#include "models/nn/layers.h"
#include "models/nn/rope.h"

namespace duet::models::nn {

struct LlamaConfig {
  int64_t hidden = 512;
  int64_t layers = 8;
  int64_t heads = 8;
  int64_t kv_heads = 4;  ///< Divides heads.
  int64_t head_dim = 64;
  int64_t intermediate = 1408;
  double rope_theta = 10000.0;
  double rms_eps = 1e-5;
  int64_t window = 0;  ///< Positions attended to, the current one included; 0: all.
  int64_t sinks = 0;   ///< > 0: the model was trained without a window; see KvCache.
  bool attention_bias = false;

  void validate() const;  ///< Throws core::ConfigError.
};

/// Latency 0.
/// forward: x [B, T, hidden] from position 0 -> [B, T, hidden] after the last norm. With sinks = 0
/// attends within
///          `window`; with sinks > 0 to the whole past, as in training. Safe for autograd and CPU
///          autocast.
/// step:    the same for the next position, x [B, 1, hidden]; equals forward on the concatenation
/// (with sinks: for the
///          first `window` positions). Assumes InferenceMode or NoGradMode.
/// Thread: const methods are safe on many threads as long as each has its own State.
class Llama {
 public:
  struct State : core::MoveOnly {
    std::vector<KvCache::State> caches;
    int64_t position = 0;
    State clone() const;
    int64_t num_bytes() const;
  };

  Llama(const LlamaConfig& config, const WeightScope& weights);
  State initial_state(int64_t batch) const;
  void reset(State& state) const;
  at::Tensor forward(const at::Tensor& x) const;
  at::Tensor step(const at::Tensor& x, State& state) const;
  /// One step of each of several streams, wherever each is: x [N, 1, hidden], state i is that of
  /// row i and was made for one stream. Every row is what step gives for it alone, to the bit for
  /// fp32 weights.
  at::Tensor step_together(const at::Tensor& x, std::span<State* const> states) const;
  const LlamaConfig& config() const { return config_; }

 private:
  struct Layer {
    at::Tensor input_norm, post_norm;  // RMS norms, [hidden]
    Linear q, k, v, o, gate, up, down;
  };
  const at::Tensor& norm_after(size_t layer) const;
  at::Tensor attend(size_t layer, const at::Tensor& h, const std::vector<Rope::Angles>& sinks,
                    const Rope::Angles& angles, std::span<State* const> states) const;
  static Layer make_layer(const LlamaConfig& config, const WeightScope& weights);

  LlamaConfig config_;
  Rope rope_;
  KvCache cache_;
  std::vector<Layer> layers_;
  at::Tensor norm_;
};

}  // namespace duet::models::nn
