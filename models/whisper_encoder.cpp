#include "models/whisper_encoder.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <cmath>

#include "models/nn/mel_filters.h"
#include "runtime/core/error.h"

namespace duet::models {
namespace {

constexpr int64_t kFft = 400, kHop = 160;
constexpr int64_t kLookbackSamples = 400;  // centre padding (200) + the declared delay (200)
constexpr int64_t kTailSamples = kFft - kHop;
constexpr int64_t kStack = 4;  // 50 Hz -> 12.5 Hz
constexpr double kLogFloor =
    -6.5;  // a fixed floor instead of Whisper's per-clip maximum, so that it streams

at::Tensor sinusoids(int64_t positions, int64_t width) {
  const int64_t half = width / 2;
  const at::Tensor rate =
      at::exp(at::arange(half, at::kDouble) * (-std::log(10000.0) / static_cast<double>(half - 1)));
  const at::Tensor angle = at::arange(positions, at::kDouble).unsqueeze(1) * rate;
  return at::cat({angle.sin(), angle.cos()}, 1).to(at::kFloat);
}

nn::TransformerBlock::Config bottom_config(const WhisperEncoder::Config& config) {
  nn::TransformerBlock::Config block;
  block.width = config.width;
  block.heads = config.heads;
  block.chunk = kStack;
  block.left = config.left_frames;
  return block;
}

nn::TransformerBlock::Config top_config(const WhisperEncoder::Config& config) {
  nn::TransformerBlock::Config block;
  block.width = config.top_width;
  block.heads = config.top_heads;
  block.chunk = 1;
  block.left = config.top_left;
  block.has_rotary = true;
  return block;
}

/// States of layer i of each stream.
std::vector<nn::TransformerBlock::State*> layer_states(
    std::span<WhisperEncoder::State* const> states,
    std::vector<nn::TransformerBlock::State> WhisperEncoder::State::*layers, size_t i) {
  std::vector<nn::TransformerBlock::State*> out;
  for (WhisperEncoder::State* state : states) out.push_back(&(state->*layers)[i]);
  return out;
}

}  // namespace

void WhisperEncoder::Config::validate() const {
  const auto require = [](bool good, const char* what, const char* expected, int64_t found) {
    if (!good)
      throw core::ConfigError({.subject = what,
                               .expected = expected,
                               .found = std::to_string(found),
                               .file = {},
                               .hint = {}});
  };
  require(width > 0 && heads > 0 && width % heads == 0, "encoder.width",
          "a multiple of encoder.heads", width);
  require(top_width > 0 && top_heads > 0 && top_width % (2 * top_heads) == 0, "encoder.top_width",
          "a multiple of twice encoder.top_heads", top_width);
  require(left_frames > 0 && left_frames % kStack == 0, "encoder.left_frames",
          "a positive multiple of 4", left_frames);
  require(top_left > 0, "encoder.top_left", "a positive count", top_left);
  require(layers > 0 && layers < 100, "encoder.layers", "1 to 99", layers);
  require(top_layers >= 0 && top_layers < 100, "encoder.top_layers", "0 to 99", top_layers);
  require(ctc_pieces > 0, "encoder.ctc_pieces", "a positive count", ctc_pieces);
  require(mel_bins > 0 && mel_bins <= 128, "encoder.mel_bins", "1 to 128", mel_bins);
  require(positions >= kStack, "encoder.positions", "at least 4", positions);
}

WhisperEncoder::WhisperEncoder(const Config& config, const WeightScope& weights)
    : config_((config.validate(), config)),
      filters_(nn::slaney_mel_filters(kSampleRateHz, kFft, config.mel_bins)),
      window_(at::hann_window(kFft)),
      sinusoid_(sinusoids(config.positions, config.width)),
      conv1_weight_(weights.parameter("conv1.weight", {config.width, config.mel_bins, 3})),
      conv1_bias_(weights.parameter("conv1.bias", {config.width}, Init::zeros())),
      conv2_weight_(weights.parameter("conv2.weight", {config.width, config.width, 3})),
      conv2_bias_(weights.parameter("conv2.bias", {config.width}, Init::zeros())),
      norm_(config.width, weights.sub("norm")),
      top_norm_(config.top_width, weights.sub("top_norm")),
      stack_(kStack * config.width, config.top_width, weights.sub("stack")),
      ctc_head_(config.top_width, config.ctc_pieces + 1, weights.sub("ctc_head")),
      speaking_head_(config.top_width, 1, weights.sub("speaking_head")) {
  for (int64_t i = 0; i < config.layers; ++i)
    layers_.emplace_back(bottom_config(config), weights.sub("layers", i));
  for (int64_t i = 0; i < config.top_layers; ++i)
    top_.emplace_back(top_config(config), weights.sub("top", i));
}

WhisperEncoder::State WhisperEncoder::State::clone() const {
  State copy;
  copy.pcm_tail = pcm_tail.clone();
  copy.pending = pending.clone();
  copy.mel_tail = mel_tail.clone();
  copy.conv_tail = conv_tail.clone();
  copy.position = position;
  for (const auto& layer : layers) copy.layers.push_back(layer.clone());
  for (const auto& layer : top) copy.top.push_back(layer.clone());
  return copy;
}

at::Tensor WhisperEncoder::speaking_logit(const at::Tensor& features) const {
  return speaking_head_.forward(features).squeeze(-1);
}

WhisperEncoder::State WhisperEncoder::initial_state(int64_t batch) const {
  State state;
  state.pcm_tail = at::zeros({batch, kTailSamples});
  state.pending = at::empty({batch, 0});
  state.mel_tail = at::zeros({batch, config_.mel_bins, 2});
  state.conv_tail = at::zeros({batch, config_.width, 1});
  for (const auto& layer : layers_) state.layers.push_back(layer.initial_state(batch));
  for (const auto& layer : top_) state.top.push_back(layer.initial_state(batch));
  reset(state);
  return state;
}

void WhisperEncoder::reset(State& state) const {
  state.pcm_tail.zero_();
  state.pending = state.pending.narrow(1, 0, 0);
  state.mel_tail.zero_();
  // Mel frame 0 looks only at the silence before the stream.
  state.mel_tail.select(2, 1).copy_(mel_of(at::zeros({state.pcm_tail.size(0), kFft})).select(2, 0));
  state.conv_tail.zero_();
  state.position = 0;
  for (size_t i = 0; i < layers_.size(); ++i) layers_[i].reset(state.layers[i]);
  for (size_t i = 0; i < top_.size(); ++i) top_[i].reset(state.top[i]);
}

// [B, n] -> [B, M, (n - 400) / 160 + 1]
at::Tensor WhisperEncoder::mel_of(const at::Tensor& padded_pcm) const {
  const at::Tensor frames = padded_pcm.unfold(1, kFft, kHop) * window_;
  const at::Tensor spectrum = at::view_as_real(at::fft_rfft(frames));
  const at::Tensor power = spectrum.pow(2).sum(-1);  // [B, F, 201]
  const at::Tensor mel =
      at::matmul(power, filters_.t()).clamp_min(1e-10).log10().clamp_min(kLogFloor);
  return ((mel + 4.0) / 4.0).transpose(1, 2);
}

at::Tensor WhisperEncoder::log_mel(const at::Tensor& pcm) const {
  const c10::NoGradGuard no_grad;
  const int64_t samples = pcm.size(1) / kBlockSamples * kBlockSamples;
  return mel_of(at::constant_pad_nd(pcm.narrow(1, 0, samples), {kLookbackSamples, 0})).contiguous();
}

WhisperEncoder::Output WhisperEncoder::finish(const at::Tensor& x,
                                              std::span<State* const> states) const {
  const at::Tensor normed = norm_.forward(x);
  at::Tensor y =
      stack_.forward(normed.reshape({x.size(0), x.size(1) / kStack, kStack * config_.width}));
  for (size_t i = 0; i < top_.size(); ++i)
    y = states.empty() ? top_[i].forward(y)
                       : top_[i].step_together(y, layer_states(states, &State::top, i));
  y = top_norm_.forward(y);
  return {y, ctc_logits(y), speaking_logit(y)};
}

WhisperEncoder::Output WhisperEncoder::forward_mel(const at::Tensor& mel,
                                                   int64_t position_offset) const {
  DUET_CHECK(mel.size(2) % 8 == 1);
  at::Tensor x = at::gelu(at::conv1d(at::constant_pad_nd(mel, {1, 0}), conv1_weight_, conv1_bias_));
  x = at::gelu(at::conv1d(at::constant_pad_nd(x, {1, 0}), conv2_weight_, conv2_bias_, /*stride=*/2))
          .transpose(1, 2);
  const at::Tensor row = (at::arange(x.size(1)) + position_offset).remainder(config_.positions);
  x = x + sinusoid_.index_select(0, row);
  for (const auto& layer : layers_) x = layer.forward(x);
  return finish(x, {});
}

WhisperEncoder::Output WhisperEncoder::step_together(const at::Tensor& block,
                                                     std::span<State* const> states) const {
  const int64_t batch = block.size(0) / static_cast<int64_t>(states.size());
  const auto before = [&](at::Tensor State::*member) {
    if (states.size() == 1) return states.front()->*member;
    std::vector<at::Tensor> parts;
    for (State* state : states) parts.push_back(state->*member);
    return at::cat(parts, 0);
  };
  const auto keep = [&](at::Tensor State::*member, const at::Tensor& value) {
    for (size_t s = 0; s < states.size(); ++s)
      (states[s]->*member).copy_(value.narrow(0, static_cast<int64_t>(s) * batch, batch));
  };
  const at::Tensor pcm = at::cat({before(&State::pcm_tail), block}, 1);
  const at::Tensor mel = at::cat({before(&State::mel_tail), mel_of(pcm)}, 2);      // 2 + 8 frames
  const at::Tensor first = at::gelu(at::conv1d(mel, conv1_weight_, conv1_bias_));  // 8 frames
  const at::Tensor both = at::cat({before(&State::conv_tail), first}, 2);
  at::Tensor x = at::gelu(at::conv1d(both, conv2_weight_, conv2_bias_, /*stride=*/2))
                     .transpose(1, 2);  // 4 frames
  keep(&State::pcm_tail, pcm.narrow(1, pcm.size(1) - kTailSamples, kTailSamples));
  keep(&State::mel_tail, mel.narrow(2, mel.size(2) - 2, 2));
  keep(&State::conv_tail, first.narrow(2, first.size(2) - 1, 1));
  std::vector<at::Tensor> places;
  for (State* state : states) {
    const at::Tensor row = (at::arange(kStack) + state->position).remainder(config_.positions);
    places.push_back(sinusoid_.index_select(0, row).unsqueeze(0).expand({batch, -1, -1}));
    state->position += kStack;
  }
  x = x + (places.size() == 1 ? places.front() : at::cat(places, 0));
  for (size_t i = 0; i < layers_.size(); ++i)
    x = layers_[i].step_together(x, layer_states(states, &State::layers, i));
  return finish(x, states);
}

WhisperEncoder::Output WhisperEncoder::step(const at::Tensor& pcm, State& state) const {
  const int64_t batch = pcm.size(0);
  const at::Tensor all = state.pending.size(1) ? at::cat({state.pending, pcm}, 1) : pcm;
  const int64_t blocks = all.size(1) / kBlockSamples;
  std::vector<at::Tensor> features, ctc, speaking;
  State* const own = &state;
  for (int64_t i = 0; i < blocks; ++i) {
    Output one = step_together(all.narrow(1, i * kBlockSamples, kBlockSamples), {&own, 1});
    features.push_back(one.features);
    ctc.push_back(one.ctc);
    speaking.push_back(one.speaking);
  }
  state.pending =
      all.narrow(1, blocks * kBlockSamples, all.size(1) - blocks * kBlockSamples).clone();
  if (blocks == 0)
    return {at::empty({batch, 0, config_.top_width}), at::empty({batch, 0, config_.ctc_pieces + 1}),
            at::empty({batch, 0})};
  if (blocks == 1) return {features[0], ctc[0], speaking[0]};
  return {at::cat(features, 1), at::cat(ctc, 1), at::cat(speaking, 1)};
}

int64_t WhisperEncoder::macs_per_step() const {
  int64_t macs =
      8 * 3 * config_.mel_bins * config_.width + kStack * 3 * config_.width * config_.width;
  for (const auto& layer : layers_) macs += kStack * layer.macs_per_frame();
  for (const auto& layer : top_) macs += layer.macs_per_frame();
  macs += 8 * config_.mel_bins * (kFft / 2 + 1) + kStack * config_.width * config_.top_width;
  return macs + config_.top_width * (config_.ctc_pieces + 2);
}

TensorMap import_whisper_encoder(const TensorMap& source, const std::string& prefix,
                                 int64_t layers) {
  TensorMap out;
  const auto take = [&](const std::string& from, const std::string& to) {
    const auto found = source.find("encoder/" + from);
    if (found == source.end())
      throw core::LoadError({.subject = "encoder/" + from,
                             .expected = "a tensor of Whisper's encoder",
                             .found = "nothing",
                             .file = {},
                             .hint = "use a CTranslate2 conversion of Whisper"});
    out[prefix + to] = found->second.to(at::kFloat);
  };
  for (const char* part : {"weight", "bias"}) {
    const std::string p(part);
    take("conv1/" + p, "conv1." + p);
    take("conv2/" + p, "conv2." + p);
  }
  const auto norm = [&](const std::string& from, const std::string& to) {
    take(from + "/gamma", to + ".weight");
    take(from + "/beta", to + ".bias");
  };
  norm("layer_norm", "norm");
  for (int64_t i = 0; i < layers; ++i) {
    const std::string from = "layer_" + std::to_string(i) + "/",
                      to = "layers." + std::to_string(i) + ".";
    norm(from + "self_attention/layer_norm", to + "attn_norm");
    norm(from + "ffn/layer_norm", to + "mlp_norm");
    for (const auto& [a, b] : {std::pair{"self_attention/linear_0", "qkv"},
                               {"self_attention/linear_1", "out"},
                               {"ffn/linear_0", "fc1"},
                               {"ffn/linear_1", "fc2"}})
      for (const char* part : {"weight", "bias"}) take(from + a + "/" + part, to + b + "." + part);
  }
  return out;
}

}  // namespace duet::models
