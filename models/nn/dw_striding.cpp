#include "models/nn/dw_striding.h"

#include <ATen/ATen.h>

#include <string>

#include "runtime/core/error.h"

namespace duet::models::nn {

void DwStriding::Config::validate() const {
  const auto fail = [](const char* subject, const std::string& expected, int64_t found) {
    throw core::ConfigError({.subject = subject,
                             .expected = expected,
                             .found = std::to_string(found),
                             .file = {},
                             .hint = {}});
  };
  if (factor < 2 || (factor & (factor - 1)) != 0)
    fail("subsampling_factor", "a power of two >= 2", factor);
  if (num_mels < 1) fail("feat_in", ">= 1", num_mels);
  if (num_channels < 1) fail("subsampling_conv_channels", ">= 1", num_channels);
  if (width < 1) fail("d_model", ">= 1", width);
}

DwStriding::State DwStriding::State::clone() const {
  State copy;
  for (const Stage& stage : stages) copy.stages.push_back({stage.carry.clone(), stage.num_carry});
  return copy;
}

int64_t DwStriding::State::num_bytes() const {
  int64_t bytes = 0;
  for (const Stage& stage : stages) bytes += static_cast<int64_t>(stage.carry.nbytes());
  return bytes;
}

DwStriding::DwStriding(const Config& config, const WeightScope& weights) : config_(config) {
  config_.validate();
  const int64_t channels = config_.num_channels;
  // Channels last throughout: a depthwise 3x3 is then nine multiply-adds over rows, a 1x1 is a
  // linear layer.
  const auto taps = [&](const WeightScope& conv) {
    return conv.parameter("weight", {channels, 1, 3, 3}).squeeze(1).permute({1, 2, 0});
  };
  sizes_.push_back(config_.num_mels);
  int64_t index = 0;
  for (int64_t rest = config_.factor; rest > 1; rest /= 2) {
    StageWeights stage;
    const WeightScope conv = weights.sub("conv", index);
    stage.taps = taps(conv);
    stage.bias = conv.parameter("bias", {channels}, Init::zeros());
    if (index > 0) {
      const WeightScope pointwise = weights.sub("conv", index + 1);
      stage.pointwise = pointwise.parameter("weight", {channels, channels, 1, 1}).flatten(1);
      stage.pointwise_bias = pointwise.parameter("bias", {channels}, Init::zeros());
    }
    index += index == 0 ? 2 : 3;
    stages_.push_back(std::move(stage));
    sizes_.push_back(sizes_.back() / 2 + 1);
  }
  out_.emplace_back(channels * sizes_.back(), config_.width, weights.sub("out"));
}

int64_t DwStriding::num_frames(int64_t num_mel_frames) const {
  for (size_t s = 0; s < stages_.size(); ++s) num_mel_frames = num_mel_frames / 2 + 1;
  return num_mel_frames;
}

int64_t DwStriding::macs_per_frame() const {
  const int64_t channels = config_.num_channels;
  int64_t macs = channels * sizes_.back() * config_.width, frames = config_.factor;
  for (size_t s = 0; s < stages_.size(); ++s) {
    frames /= 2;  // of this stage's output, for one of the last stage's
    macs += frames * sizes_[s + 1] * channels * (9 + (s > 0 ? channels : 0));
  }
  return macs;
}

/// x [B, 2j + 1, F, C] already padded in time -> [B, j, F/2 + 1, C'].
at::Tensor DwStriding::convolve(const at::Tensor& x, const StageWeights& stage) const {
  const int64_t count = (x.size(1) - 1) / 2, bins = x.size(2) / 2 + 1;
  const at::Tensor padded = at::constant_pad_nd(x, {0, 0, 2, 1});
  at::Tensor sum = stage.bias;
  for (int64_t a = 0; a < 3; ++a)
    for (int64_t b = 0; b < 3; ++b)
      sum = sum + padded.slice(1, a, a + 2 * count - 1, 2).slice(2, b, b + 2 * bins - 1, 2) *
                      stage.taps[a][b];
  if (stage.pointwise.defined()) sum = at::linear(sum, stage.pointwise, stage.pointwise_bias);
  return at::relu(sum);
}

at::Tensor DwStriding::project(const at::Tensor& x) const {
  return out_.front().forward(x.transpose(2, 3).flatten(2));
}

at::Tensor DwStriding::forward(const at::Tensor& mel) const {
  at::Tensor x = mel.unsqueeze(3);
  for (const StageWeights& stage : stages_) {
    // 2 zeros before, 1 after; with an odd count the last one is never reached.
    x = convolve(at::constant_pad_nd(x, {0, 0, 0, 0, 2, x.size(1) % 2 == 0 ? 1 : 0}), stage);
  }
  return project(x);
}

DwStriding::State DwStriding::initial_state(int64_t batch) const {
  State state;
  for (size_t s = 0; s < stages_.size(); ++s) {
    const int64_t channels = s == 0 ? 1 : config_.num_channels;
    state.stages.push_back(
        {at::zeros({batch, 2, sizes_[s], channels}, stages_[0].bias.options()), 2});
  }
  return state;
}

void DwStriding::reset(State& state) const {
  for (State::Stage& stage : state.stages) {
    stage.carry.zero_();
    stage.num_carry = 2;
  }
}

at::Tensor DwStriding::step(const at::Tensor& mel, State& state) const {
  at::Tensor x = mel.unsqueeze(3);
  for (size_t s = 0; s < stages_.size(); ++s) {
    State::Stage& stage = state.stages[s];
    if (x.size(1) == 0) return at::zeros({mel.size(0), 0, config_.width}, mel.options());
    const at::Tensor joined =
        at::cat({stage.carry.narrow(1, 2 - stage.num_carry, stage.num_carry), x}, 1);
    const int64_t total = joined.size(1), count = (total - 1) / 2;
    x = count > 0 ? convolve(joined.narrow(1, 0, 2 * count + 1), stages_[s])
                  : at::zeros({mel.size(0), 0, sizes_[s + 1], config_.num_channels}, mel.options());
    stage.num_carry = total - 2 * count;
    stage.carry.narrow(1, 2 - stage.num_carry, stage.num_carry)
        .copy_(joined.narrow(1, 2 * count, stage.num_carry));
  }
  return project(x);
}

at::Tensor DwStriding::flush(State& state) const {
  // A stage with an even number of inputs so far still owes the output at its end: one zero frame
  // completes it. That output may complete the next stage by itself; else the next stage gets its
  // own zero.
  const int64_t batch = state.stages[0].carry.size(0);
  at::Tensor x = at::zeros({batch, 0, sizes_[0], 1}, state.stages[0].carry.options());
  for (size_t s = 0; s < stages_.size(); ++s) {
    State::Stage& stage = state.stages[s];
    at::Tensor joined =
        at::cat({stage.carry.narrow(1, 2 - stage.num_carry, stage.num_carry), x}, 1);
    if (joined.size(1) % 2 == 0) joined = at::constant_pad_nd(joined, {0, 0, 0, 0, 0, 1});
    const int64_t count = (joined.size(1) - 1) / 2;
    x = count > 0
            ? convolve(joined, stages_[s])
            : at::zeros({batch, 0, sizes_[s + 1], config_.num_channels}, stage.carry.options());
  }
  return x.size(1) > 0 ? project(x) : at::zeros({batch, 0, config_.width}, x.options());
}

}  // namespace duet::models::nn
