#include "models/nn/llama.h"

#include <ATen/ATen.h>

#include <cmath>
#include <tuple>

#include "models/nn/fused.h"
#include "runtime/core/error.h"

namespace duet::models::nn {
namespace {

void require(bool good, const char* subject, const char* expected, int64_t found) {
  if (!good)
    throw core::ConfigError({.subject = subject,
                             .expected = expected,
                             .found = std::to_string(found),
                             .file = {},
                             .hint = {}});
}

const LlamaConfig& validated(const LlamaConfig& config) {
  config.validate();
  return config;
}

at::Tensor rms_weight(const LlamaConfig& config, const WeightScope& weights) {
  return weights.parameter("weight", {config.hidden}, Init::ones());
}

at::Tensor mlp(const Linear& gate, const Linear& up, const Linear& down, const at::Tensor& x) {
  return down.forward(swiglu(gate.forward(x), up.forward(x)));
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
  require(sinks >= 0 && (sinks == 0 || sinks < window), "lm.sinks", ">= 0 and below lm.window",
          sinks);
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
  return {rms_weight(c, weights.sub("input_layernorm")),
          rms_weight(c, weights.sub("post_attention_layernorm")),
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
      norm_(rms_weight(config, weights.sub("norm"))) {
  layers_.reserve(static_cast<size_t>(config.layers));
  for (int64_t i = 0; i < config.layers; ++i)
    layers_.push_back(make_layer(config, weights.sub("layers", i)));
}

Llama::State Llama::initial_state(int64_t batch) const {
  State state;
  for (const Layer& layer : layers_)
    state.caches.push_back(cache_.initial_state(batch, layer.k.weight().scalar_type()));
  return state;
}

void Llama::reset(State& state) const {
  state.position = 0;
}  // slots past the position are never read

/// The norm that follows layer i: the next layer's first or the last.
const at::Tensor& Llama::norm_after(size_t layer) const {
  return layer + 1 < layers_.size() ? layers_[layer + 1].input_norm : norm_;
}

at::Tensor Llama::forward(const at::Tensor& input) const {
  const LlamaConfig& c = config_;
  const int64_t batch = input.size(0), time = input.size(1), group = c.heads / c.kv_heads;
  const Rope::Angles angles = rope_.angles(0, time);
  const bool limited = c.window > 0 && c.sinks == 0 && time > c.window;
  const at::Tensor mask = limited ? window_mask(time, c.window) : at::Tensor();
  auto [x, h] = add_rms_norm(input, {}, layers_.front().input_norm, c.rms_eps);
  for (size_t i = 0; i < layers_.size(); ++i) {
    const Layer& layer = layers_[i];
    const at::Tensor q = split_heads(layer.q.forward(h), c.heads, 1, angles);
    const at::Tensor k = split_heads(layer.k.forward(h), c.kv_heads, group, angles);
    const at::Tensor v = split_heads(layer.v.forward(h), c.kv_heads, group, {});
    const at::Tensor mixed = attention(q, k, v, mask, /*is_causal=*/!limited);
    const at::Tensor attended =
        layer.o.forward(mixed.transpose(1, 2).reshape({batch, time, c.heads * c.head_dim}));
    std::tie(x, h) = add_rms_norm(x, attended, layer.post_norm, c.rms_eps);
    std::tie(x, h) =
        add_rms_norm(x, mlp(layer.gate, layer.up, layer.down, h), norm_after(i), c.rms_eps);
  }
  return h;
}

at::Tensor Llama::step(const at::Tensor& input, State& state) const {
  State* const one = &state;
  return step_together(input, {&one, 1});
}

// Rows of one state are neighbours: `batch` each. Positions differ between states only, so the rows
// are laid out as one long time axis, with the angles of each.
at::Tensor Llama::attend(size_t layer, const at::Tensor& h, const std::vector<Rope::Angles>& sinks,
                         const Rope::Angles& angles, std::span<State* const> states) const {
  const LlamaConfig& c = config_;
  const Layer& own = layers_[layer];
  const int64_t rows = h.size(0), batch = rows / static_cast<int64_t>(states.size()),
                group = c.heads / c.kv_heads;
  const at::Tensor raw_k = own.k.forward(h), flat = h.view({1, rows, c.hidden});
  const at::Tensor q = split_heads(own.q.forward(flat), c.heads, 1, angles)[0].transpose(0, 1);
  const at::Tensor k =
      split_heads(raw_k.view({1, rows, -1}), c.kv_heads, 1, angles)[0].transpose(0, 1);
  const at::Tensor v = own.v.forward(h).view({rows, c.kv_heads, c.head_dim}),
                   raw = raw_k.view({rows, c.kv_heads, c.head_dim});
  const at::Tensor mixed = at::empty({rows, c.kv_heads, group, c.head_dim}, q.options());
  for (size_t s = 0; s < states.size(); ++s) {
    const int64_t first = static_cast<int64_t>(s) * batch;
    const KvCache::View past =
        cache_.append(states[s]->position, raw.narrow(0, first, batch), k.narrow(0, first, batch),
                      v.narrow(0, first, batch), sinks[s], states[s]->caches[layer]);
    // One query per head: the query heads of a kv head are rows of one small matrix, nothing is
    // repeated.
    mixed.narrow(0, first, batch)
        .copy_(attention(q.narrow(0, first, batch).reshape({batch, c.kv_heads, group, c.head_dim}),
                         past.keys, past.values));
  }
  return own.o.forward(mixed.view({rows, 1, c.heads * c.head_dim}));
}

at::Tensor Llama::step_together(const at::Tensor& input, std::span<State* const> states) const {
  const LlamaConfig& c = config_;
  const auto count = static_cast<int64_t>(states.size());
  DUET_CHECK(input.size(1) == 1 && count > 0 && input.size(0) % count == 0);
  const int64_t batch = input.size(0) / count;
  std::vector<at::Tensor> cos, sin;
  std::vector<Rope::Angles> sinks(states.size());
  for (size_t s = 0; s < states.size(); ++s) {
    const int64_t position = states[s]->position;
    const Rope::Angles own = rope_.angles(position, 1);
    for (int64_t b = 0; b < batch; ++b) {
      cos.push_back(own.cos);
      sin.push_back(own.sin);
    }
    if (cache_.sinks_move(position))
      sinks[s] = rope_.angles(cache_.first_sink_position(position), cache_.sinks());
  }
  const Rope::Angles angles{at::cat(cos, 0), at::cat(sin, 0)};
  auto [x, h] = add_rms_norm(input, {}, layers_.front().input_norm, c.rms_eps);
  for (size_t i = 0; i < layers_.size(); ++i) {
    const Layer& layer = layers_[i];
    std::tie(x, h) =
        add_rms_norm(x, attend(i, h, sinks, angles, states), layer.post_norm, c.rms_eps);
    std::tie(x, h) =
        add_rms_norm(x, mlp(layer.gate, layer.up, layer.down, h), norm_after(i), c.rms_eps);
  }
  for (State* state : states) ++state->position;
  return h;
}

}  // namespace duet::models::nn
