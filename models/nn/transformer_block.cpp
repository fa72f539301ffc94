#include "models/nn/transformer_block.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "runtime/core/error.h"

namespace duet::models::nn {
namespace {

constexpr double kRotaryTheta = 10000.0;

// Angles in double: at hour three (frame 135,000) a float position would already be a hundredth of
// a radian off.
at::Tensor rotate(const at::Tensor& x, int64_t first_position) {
  const int64_t frames = x.size(2), half = x.size(3) / 2;
  const at::Tensor position =
      at::arange(first_position, first_position + frames, at::kDouble).unsqueeze(1);
  const at::Tensor frequency = at::exp(at::arange(half, at::kDouble) *
                                       (-std::log(kRotaryTheta) / static_cast<double>(half)));
  const at::Tensor angle = position * frequency;  // [T, half]
  const at::Tensor cosine = angle.cos().to(x.scalar_type()), sine = angle.sin().to(x.scalar_type());
  const at::Tensor a = x.narrow(3, 0, half), b = x.narrow(3, half, half);
  return at::cat({a * cosine - b * sine, b * cosine + a * sine}, 3);
}

}  // namespace

at::Tensor chunk_mask(int64_t frames, int64_t chunk, int64_t left) {
  const at::Tensor index = at::arange(frames).div(chunk, "floor");
  const at::Tensor distance = index.unsqueeze(1) - index.unsqueeze(0);
  return distance.ge(0).logical_and(distance.le(left / chunk));
}

TransformerBlock::State TransformerBlock::State::clone() const {
  State copy;
  copy.keys = keys.clone();
  copy.values = values.clone();
  copy.frames = frames;
  return copy;
}

TransformerBlock::TransformerBlock(const Config& config, const WeightScope& weights)
    : config_(config),
      attn_norm_(config.width, weights.sub("attn_norm")),
      mlp_norm_(config.width, weights.sub("mlp_norm")),
      qkv_(config.width, 3 * config.width, weights.sub("qkv")),
      out_(config.width, config.width, weights.sub("out")),
      fc1_(config.width, config.mlp_ratio * config.width, weights.sub("fc1")),
      fc2_(config.mlp_ratio * config.width, config.width, weights.sub("fc2")) {
  DUET_CHECK(config.left % config.chunk == 0 && config.width % config.heads == 0);
}

TransformerBlock::State TransformerBlock::initial_state(int64_t batch) const {
  State state;
  const int64_t capacity = config_.left + config_.chunk;
  state.keys = at::zeros({batch, config_.heads, capacity, config_.width / config_.heads});
  state.values = at::zeros_like(state.keys);
  return state;
}

void TransformerBlock::reset(State& state) const {
  state.keys.zero_();
  state.values.zero_();
  state.frames = 0;
}

TransformerBlock::Heads TransformerBlock::project(const at::Tensor& x) const {
  const int64_t batch = x.size(0), frames = x.size(1);
  const at::Tensor qkv = qkv_.forward(attn_norm_.forward(x))
                             .view({batch, frames, 3, config_.heads, config_.width / config_.heads})
                             .permute({2, 0, 3, 1, 4});
  return {qkv.select(0, 0), qkv.select(0, 1), qkv.select(0, 2)};
}

TransformerBlock::Heads TransformerBlock::placed(const Heads& heads, int64_t first_position) const {
  if (!config_.has_rotary) return heads;
  return {rotate(heads.q, first_position), rotate(heads.k, first_position), heads.v};
}

at::Tensor TransformerBlock::finish(const at::Tensor& x, const at::Tensor& context) const {
  const at::Tensor y = x + out_.forward(context.transpose(1, 2).reshape(x.sizes()));
  return y + fc2_.forward(at::gelu(fc1_.forward(mlp_norm_.forward(y))));
}

// Long inputs: queries in blocks of `left` frames, each against its own and the previous block, so
// that the cost grows with T and not with T^2. The first block's "previous" keys are padding and
// masked out.
at::Tensor TransformerBlock::attend_local(const Heads& heads, int64_t frames) const {
  const int64_t block = config_.left, blocks = (frames + block - 1) / block,
                padded = blocks * block;
  const int64_t batch = heads.q.size(0), count = config_.heads, depth = heads.q.size(3);
  const auto pad_right = [&](const at::Tensor& x) {
    return at::constant_pad_nd(x, {0, 0, 0, padded - frames});
  };
  const at::Tensor q = pad_right(heads.q).reshape({batch, count * blocks, block, depth});
  const auto windows = [&](const at::Tensor& x) {  // [B, H * blocks, 2 * block, d]
    const at::Tensor wide = at::constant_pad_nd(x, {0, 0, block, padded - frames});
    return wide.unfold(2, 2 * block, block)
        .transpose(3, 4)
        .reshape({batch, count * blocks, 2 * block, depth});
  };
  const at::Tensor chunk_of_key = at::arange(2 * block).div(config_.chunk, "floor");
  const at::Tensor chunk_of_query = chunk_of_key.narrow(0, block, block);
  const at::Tensor distance = chunk_of_query.unsqueeze(1) - chunk_of_key.unsqueeze(0);
  const at::Tensor inner =
      distance.ge(0).logical_and(distance.le(config_.left / config_.chunk));  // [block, 2 block]
  at::Tensor mask = inner.unsqueeze(0).repeat({blocks, 1, 1});
  mask.select(0, 0).narrow(1, 0, block).zero_();
  mask = mask.repeat({count, 1, 1}).unsqueeze(0);  // [1, H * blocks, block, 2 block]
  return attention(q, windows(heads.k), windows(heads.v), mask)
      .reshape({batch, count, padded, depth})
      .narrow(2, 0, frames);
}

at::Tensor TransformerBlock::forward(const at::Tensor& x) const {
  const int64_t frames = x.size(1);
  DUET_CHECK(frames % config_.chunk == 0);
  const Heads heads = placed(project(x), 0);
  if (frames > 2 * config_.left) return finish(x, attend_local(heads, frames));
  return finish(
      x, attention(heads.q, heads.k, heads.v, chunk_mask(frames, config_.chunk, config_.left)));
}

at::Tensor TransformerBlock::step(const at::Tensor& x, State& state) const {
  State* const one = &state;
  return step_together(x, {&one, 1});
}

at::Tensor TransformerBlock::step_together(const at::Tensor& x,
                                           std::span<State* const> states) const {
  DUET_CHECK(x.size(1) == config_.chunk);
  const int64_t batch = x.size(0) / static_cast<int64_t>(states.size()),
                capacity = config_.left + config_.chunk;
  const Heads all = project(x);
  std::vector<at::Tensor> contexts;
  for (size_t s = 0; s < states.size(); ++s) {
    State& state = *states[s];
    const int64_t first = static_cast<int64_t>(s) * batch;
    const Heads heads = placed({all.q.narrow(0, first, batch), all.k.narrow(0, first, batch),
                                all.v.narrow(0, first, batch)},
                               state.frames);
    const int64_t slot = state.frames % capacity;
    state.keys.narrow(2, slot, config_.chunk).copy_(heads.k);
    state.values.narrow(2, slot, config_.chunk).copy_(heads.v);
    state.frames += config_.chunk;
    const int64_t filled = std::min(state.frames, capacity);
    contexts.push_back(
        attention(heads.q, state.keys.narrow(2, 0, filled), state.values.narrow(2, 0, filled)));
  }
  return finish(x, contexts.size() == 1 ? contexts.front() : at::cat(contexts, 0));
}

int64_t TransformerBlock::macs_per_frame() const {
  const int64_t d = config_.width;
  return (4 + 2 * config_.mlp_ratio) * d * d + 2 * d * (config_.left + config_.chunk);
}

}  // namespace duet::models::nn
