#include "models/nn/llama.h"

#include <ATen/ATen.h>

#include <cmath>

#include "runtime/core/error.h"

namespace duet::models::nn {
namespace {

void require(bool good, const char* subject, const char* expected, int64_t found) {
  if (!good)
    throw core::ConfigError(
        {.subject = subject, .expected = expected, .found = std::to_string(found), .file = {}, .hint = {}});
}

const LlamaConfig& validated(const LlamaConfig& config) {
  config.validate();
  return config;
}

/// [B, T, kv_heads, d] -> [B, heads, T, d], each kv head repeated for its query heads.
at::Tensor spread_heads(const at::Tensor& x, int64_t heads) {
  const int64_t batch = x.size(0), time = x.size(1), kv_heads = x.size(2), dim = x.size(3);
  if (kv_heads == heads) return x.transpose(1, 2);
  return x.transpose(1, 2)
      .unsqueeze(2)
      .expand({batch, kv_heads, heads / kv_heads, time, dim})
      .reshape({batch, heads, time, dim});
}

/// [T, T], true where query row may attend to key column: the last `window` positions.
at::Tensor window_mask(int64_t time, int64_t window) {
  const at::Tensor position = at::arange(time, at::kLong);
  const at::Tensor distance = position.unsqueeze(1) - position.unsqueeze(0);
  return at::logical_and(distance.ge(0), distance.lt(window));
}

}  // namespace

void LlamaConfig::validate() const {
  require(hidden > 0, "lm.hidden", "> 0", hidden);
  require(layers > 0, "lm.layers", "> 0", layers);
  require(heads > 0, "lm.heads", "> 0", heads);
  require(kv_heads > 0 && heads % kv_heads == 0, "lm.kv_heads", "a divisor of lm.heads", kv_heads);
  require(head_dim > 0 && head_dim % 2 == 0, "lm.head_dim", "> 0 and even", head_dim);
  require(intermediate > 0, "lm.intermediate", "> 0", intermediate);
  require(window >= 0, "lm.window", ">= 0", window);
  require(sinks >= 0 && (sinks == 0 || sinks < window), "lm.sinks", ">= 0 and below lm.window", sinks);
}

Llama::State Llama::State::clone() const {
  State copy;
  copy.caches.reserve(caches.size());
  for (const KvCache::State& cache : caches) copy.caches.push_back(cache.clone());
  copy.position = position;
  return copy;
}

int64_t Llama::State::num_bytes() const {
  int64_t total = static_cast<int64_t>(sizeof(State));
  for (const KvCache::State& cache : caches) total += cache.num_bytes();
  return total;
}

Llama::Layer Llama::make_layer(const LlamaConfig& c, const WeightScope& weights) {
  const WeightScope attention = weights.sub("self_attn"), mlp = weights.sub("mlp");
  // Residual branches start small: 2 * layers of them add up (GPT-2).
  const Init residual = Init::fan_in(1.0 / std::sqrt(2.0 * static_cast<double>(c.layers)));
  return {RmsNorm(c.hidden, weights.sub("input_layernorm"), c.rms_eps),
          RmsNorm(c.hidden, weights.sub("post_attention_layernorm"), c.rms_eps),
          Linear(c.hidden, c.heads * c.head_dim, attention.sub("q_proj"), c.attention_bias),
          Linear(c.hidden, c.kv_heads * c.head_dim, attention.sub("k_proj"), c.attention_bias),
          Linear(c.hidden, c.kv_heads * c.head_dim, attention.sub("v_proj"), c.attention_bias),
          Linear(c.heads * c.head_dim, c.hidden, attention.sub("o_proj"), false, residual),
          Linear(c.hidden, c.intermediate, mlp.sub("gate_proj"), false),
          Linear(c.hidden, c.intermediate, mlp.sub("up_proj"), false),
          Linear(c.intermediate, c.hidden, mlp.sub("down_proj"), false, residual)};
}

Llama::Llama(const LlamaConfig& config, const WeightScope& weights)
    : config_(validated(config)),
      rope_(config.head_dim, config.rope_theta),
      cache_(config.kv_heads, config.head_dim, config.window, config.sinks),
      norm_(config.hidden, weights.sub("norm"), config.rms_eps) {
  layers_.reserve(static_cast<size_t>(config.layers));
  for (int64_t i = 0; i < config.layers; ++i) layers_.push_back(make_layer(config, weights.sub("layers", i)));
}

Llama::State Llama::initial_state(int64_t batch) const {
  State state;
  for (const Layer& layer : layers_) state.caches.push_back(cache_.initial_state(batch, layer.k.weight().scalar_type()));
  return state;
}

void Llama::reset(State& state) const { state.position = 0; }  // slots past the position are never read

at::Tensor Llama::mlp(const Layer& layer, const at::Tensor& x) const {
  return layer.down.forward(at::silu(layer.gate.forward(x)) * layer.up.forward(x));
}

at::Tensor Llama::forward(const at::Tensor& input) const {
  const LlamaConfig& c = config_;
  const int64_t batch = input.size(0), time = input.size(1);
  const Rope::Angles angles = rope_.angles(0, time);
  const bool limited = c.window > 0 && c.sinks == 0 && time > c.window;
  const at::Tensor mask = limited ? window_mask(time, c.window) : at::Tensor();
  at::Tensor x = input;
  for (const Layer& layer : layers_) {
    const at::Tensor h = layer.input_norm.forward(x);
    const at::Tensor q = Rope::rotate(layer.q.forward(h).view({batch, time, c.heads, c.head_dim}), angles);
    const at::Tensor k = Rope::rotate(layer.k.forward(h).view({batch, time, c.kv_heads, c.head_dim}), angles);
    const at::Tensor v = layer.v.forward(h).view({batch, time, c.kv_heads, c.head_dim});
    const at::Tensor mixed = attention(q.transpose(1, 2), spread_heads(k, c.heads), spread_heads(v, c.heads), mask,
                                       /*is_causal=*/!limited);
    x = x + layer.o.forward(mixed.transpose(1, 2).reshape({batch, time, c.heads * c.head_dim}));
    x = x + mlp(layer, layer.post_norm.forward(x));
  }
  return norm_.forward(x);
}

at::Tensor Llama::step(const at::Tensor& input, State& state) const {
  const LlamaConfig& c = config_;
  DUET_CHECK(input.size(1) == 1);
  const int64_t batch = input.size(0), group = c.heads / c.kv_heads;
  const Rope::Angles angles = rope_.angles(state.position, 1);
  Rope::Angles sink_angles;
  if (cache_.sinks_move(state.position))
    sink_angles = rope_.angles(cache_.first_sink_position(state.position), cache_.sinks());
  at::Tensor x = input;
  for (size_t i = 0; i < layers_.size(); ++i) {
    const Layer& layer = layers_[i];
    const at::Tensor h = layer.input_norm.forward(x);
    const at::Tensor q = Rope::rotate(layer.q.forward(h).view({batch, 1, c.heads, c.head_dim}), angles);
    const at::Tensor raw_k = layer.k.forward(h).view({batch, 1, c.kv_heads, c.head_dim});
    const at::Tensor k = Rope::rotate(raw_k, angles);
    const at::Tensor v = layer.v.forward(h).view({batch, c.kv_heads, c.head_dim});
    const KvCache::View past =
        cache_.append(state.position, raw_k.select(1, 0), k.select(1, 0), v, sink_angles, state.caches[i]);
    // One query per head: the query heads of a kv head are rows of one small matrix, nothing is repeated.
    const at::Tensor mixed = attention(q.view({batch, c.kv_heads, group, c.head_dim}), past.keys, past.values);
    x = x + layer.o.forward(mixed.reshape({batch, 1, c.heads * c.head_dim}));
    x = x + mlp(layer, layer.post_norm.forward(x));
  }
  ++state.position;
  return norm_.forward(x);
}

}  // namespace duet::models::nn
