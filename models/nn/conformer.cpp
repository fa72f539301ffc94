#include "models/nn/conformer.h"

#include <ATen/ATen.h>

#include <string>

#include "runtime/core/error.h"

namespace duet::models::nn {
namespace {

void require(bool condition, const char* subject, const std::string& expected,
             const std::string& found) {
  if (!condition)
    throw core::ConfigError(
        {.subject = subject, .expected = expected, .found = found, .file = {}, .hint = {}});
}

/// A pos_bias that all layers share. NeMo lists it at the encoder and in every layer; a safetensors
/// file keeps one.
at::Tensor shared_bias(const ConformerConfig& config, const WeightScope& weights,
                       const std::string& name) {
  const std::vector<int64_t> shape{config.num_heads, config.width / config.num_heads};
  at::Tensor bias;
  const auto read = [&](const WeightScope& scope) {
    if (!scope.contains(name)) return;
    const at::Tensor found = scope.parameter(name, shape, Init::zeros());
    if (!bias.defined()) bias = found;
  };
  read(weights);
  for (int64_t i = 0; i < config.num_layers; ++i) read(weights.sub("layers", i).sub("self_attn"));
  return bias.defined() ? bias : weights.parameter(name, shape, Init::zeros());
}

}  // namespace

void ConformerConfig::validate() const {
  require(width > 0 && width % 2 == 0, "d_model", "an even number > 0", std::to_string(width));
  require(num_layers > 0, "n_layers", ">= 1", std::to_string(num_layers));
  require(num_heads > 0 && width % num_heads == 0, "n_heads",
          "a divisor of d_model " + std::to_string(width), std::to_string(num_heads));
  require(feed_forward_factor > 0, "ff_expansion_factor", ">= 1",
          std::to_string(feed_forward_factor));
  require(conv_kernel > 0, "conv_kernel_size", ">= 1", std::to_string(conv_kernel));
  require(context.chunk >= 1 && context.chunk <= RelativeAttention::kMaxStepFrames,
          "att_context_size (right)",
          "0 to " + std::to_string(RelativeAttention::kMaxStepFrames - 1) + " frames",
          std::to_string(context.chunk - 1));
  require(context.left >= 0, "att_context_size (left)",
          "a number of frames >= 0 (an unlimited past cannot be streamed)",
          std::to_string(context.left));
  require(context.left % context.chunk == 0, "att_context_size (left)",
          "a multiple of right + 1 = " + std::to_string(context.chunk),
          std::to_string(context.left));
}

ConformerConv::State ConformerConv::State::clone() const {
  State copy;
  copy.tail = tail.clone();
  return copy;
}

ConformerConv::ConformerConv(const ConformerConfig& config, const WeightScope& weights)
    : width_(config.width), kernel_(config.conv_kernel) {
  const auto bias = [&](const char* name, int64_t size) {
    return config.has_bias ? weights.sub(name).parameter("bias", {size}, Init::zeros())
                           : at::Tensor();
  };
  in_ = weights.sub("pointwise_conv1").parameter("weight", {2 * width_, width_, 1}).squeeze(-1);
  in_bias_ = bias("pointwise_conv1", 2 * width_);
  depthwise_ = weights.sub("depthwise_conv").parameter("weight", {width_, 1, kernel_}).squeeze(1);
  depthwise_bias_ = bias("depthwise_conv", width_);
  out_ = weights.sub("pointwise_conv2").parameter("weight", {width_, width_, 1}).squeeze(-1);
  out_bias_ = bias("pointwise_conv2", width_);
  const WeightScope norm = weights.sub("batch_norm");  // the name also when it is a LayerNorm
  norm_ = norm.parameter("weight", {width_}, Init::ones());
  norm_bias_ = norm.parameter("bias", {width_}, Init::zeros());
  if (config.conv_norm == ConformerConfig::ConvNorm::kBatchNorm) {
    mean_ = norm.buffer("running_mean", {width_});
    variance_ = norm.buffer("running_var", {width_});
  }
}

ConformerConv::State ConformerConv::initial_state(int64_t batch) const {
  State state;
  state.tail = at::zeros({batch, kernel_ - 1, width_}, in_.options());
  return state;
}

at::Tensor ConformerConv::gate(const at::Tensor& x) const {
  return at::glu(at::linear(x, in_, in_bias_), -1);
}

/// padded [B, kernel - 1 + T, D] -> [B, T, D].
at::Tensor ConformerConv::finish(const at::Tensor& padded) const {
  at::Tensor y = (padded.unfold(1, kernel_, 1) * depthwise_).sum(-1);
  if (depthwise_bias_.defined()) y = y + depthwise_bias_;
  constexpr double kEpsilon = 1e-5;
  y = mean_.defined() ? (y - mean_) * at::rsqrt(variance_ + kEpsilon) * norm_ + norm_bias_
                      : at::layer_norm(y, {width_}, norm_, norm_bias_, kEpsilon);
  return at::linear(at::silu(y), out_, out_bias_);
}

at::Tensor ConformerConv::forward(const at::Tensor& x) const {
  return finish(at::constant_pad_nd(gate(x), {0, 0, kernel_ - 1, 0}));
}

at::Tensor ConformerConv::step(const at::Tensor& x, State& state) const {
  const at::Tensor padded = at::cat({state.tail, gate(x)}, 1);
  state.tail.copy_(padded.narrow(1, x.size(1), kernel_ - 1));
  return finish(padded);
}

ConformerLayer::State ConformerLayer::State::clone() const {
  State copy;
  copy.attention = attention.clone();
  copy.conv = conv.clone();
  return copy;
}

int64_t ConformerLayer::State::num_bytes() const {
  return attention.num_bytes() + static_cast<int64_t>(conv.tail.nbytes());
}

ConformerLayer::ConformerLayer(const ConformerConfig& config, const WeightScope& weights,
                               const at::Tensor& pos_bias_u, const at::Tensor& pos_bias_v)
    : norm_ff1_(config.width, weights.sub("norm_feed_forward1")),
      norm_attention_(config.width, weights.sub("norm_self_att")),
      norm_conv_(config.width, weights.sub("norm_conv")),
      norm_ff2_(config.width, weights.sub("norm_feed_forward2")),
      norm_out_(config.width, weights.sub("norm_out")),
      ff1_in_(config.width, config.width * config.feed_forward_factor,
              weights.sub("feed_forward1.linear1"), config.has_bias),
      ff1_out_(config.width * config.feed_forward_factor, config.width,
               weights.sub("feed_forward1.linear2"), config.has_bias),
      ff2_in_(config.width, config.width * config.feed_forward_factor,
              weights.sub("feed_forward2.linear1"), config.has_bias),
      ff2_out_(config.width * config.feed_forward_factor, config.width,
               weights.sub("feed_forward2.linear2"), config.has_bias),
      attention_({config.width, config.num_heads, config.has_bias, config.context},
                 weights.sub("self_attn"), pos_bias_u, pos_bias_v),
      conv_(config, weights.sub("conv")) {}

ConformerLayer::State ConformerLayer::initial_state(int64_t batch) const {
  State state;
  state.attention = attention_.initial_state(batch);
  state.conv = conv_.initial_state(batch);
  return state;
}

void ConformerLayer::reset(State& state) const {
  attention_.reset(state.attention);
  state.conv.tail.zero_();
}

at::Tensor ConformerLayer::feed_forward(const at::Tensor& x, const Linear& in,
                                        const Linear& out) const {
  return out.forward(at::silu(in.forward(x)));
}

at::Tensor ConformerLayer::forward(const at::Tensor& x) const {
  at::Tensor y = x + 0.5 * feed_forward(norm_ff1_.forward(x), ff1_in_, ff1_out_);
  y = y + attention_.forward(norm_attention_.forward(y));
  y = y + conv_.forward(norm_conv_.forward(y));
  y = y + 0.5 * feed_forward(norm_ff2_.forward(y), ff2_in_, ff2_out_);
  return norm_out_.forward(y);
}

at::Tensor ConformerLayer::step(const at::Tensor& x, State& state) const {
  at::Tensor y = x + 0.5 * feed_forward(norm_ff1_.forward(x), ff1_in_, ff1_out_);
  y = y + attention_.step(norm_attention_.forward(y), state.attention);
  y = y + conv_.step(norm_conv_.forward(y), state.conv);
  y = y + 0.5 * feed_forward(norm_ff2_.forward(y), ff2_in_, ff2_out_);
  return norm_out_.forward(y);
}

ConformerStack::State ConformerStack::State::clone() const {
  State copy;
  for (const ConformerLayer::State& layer : layers) copy.layers.push_back(layer.clone());
  copy.pending = pending.clone();
  copy.num_pending = num_pending;
  return copy;
}

int64_t ConformerStack::State::num_bytes() const {
  int64_t bytes = static_cast<int64_t>(pending.nbytes());
  for (const ConformerLayer::State& layer : layers) bytes += layer.num_bytes();
  return bytes;
}

ConformerStack::ConformerStack(const ConformerConfig& config, const WeightScope& weights)
    : config_(config) {
  config_.validate();
  at::Tensor bias_u, bias_v;
  if (!config_.has_untied_biases) {
    bias_u = shared_bias(config_, weights, "pos_bias_u");
    bias_v = shared_bias(config_, weights, "pos_bias_v");
  }
  layers_.reserve(static_cast<size_t>(config_.num_layers));
  for (int64_t i = 0; i < config_.num_layers; ++i)
    layers_.emplace_back(config_, weights.sub("layers", i), bias_u, bias_v);
}

ConformerStack::State ConformerStack::initial_state(int64_t batch) const {
  State state;
  for (const ConformerLayer& layer : layers_) state.layers.push_back(layer.initial_state(batch));
  state.pending = at::zeros({batch, config_.context.chunk - 1, config_.width},
                            state.layers.front().conv.tail.options());
  return state;
}

void ConformerStack::reset(State& state) const {
  for (size_t i = 0; i < layers_.size(); ++i) layers_[i].reset(state.layers[i]);
  state.num_pending = 0;
}

at::Tensor ConformerStack::forward(const at::Tensor& x) const {
  at::Tensor y = x;
  for (const ConformerLayer& layer : layers_) y = layer.forward(y);
  return y;
}

at::Tensor ConformerStack::run(const at::Tensor& x, State& state) const {
  at::Tensor y = x;
  for (size_t i = 0; i < layers_.size(); ++i) y = layers_[i].step(y, state.layers[i]);
  return y;
}

at::Tensor ConformerStack::step(const at::Tensor& x, State& state) const {
  const int64_t chunk = config_.context.chunk;
  const at::Tensor joined = at::cat({state.pending.narrow(1, 0, state.num_pending), x}, 1);
  const int64_t ready = joined.size(1) / chunk * chunk;
  // Whole chunks, few enough for the key and value buffers.
  const int64_t block = RelativeAttention::kMaxStepFrames / chunk * chunk;
  std::vector<at::Tensor> parts;
  for (int64_t start = 0; start < ready; start += block)
    parts.push_back(run(joined.narrow(1, start, std::min(block, ready - start)), state));
  state.num_pending = joined.size(1) - ready;
  state.pending.narrow(1, 0, state.num_pending).copy_(joined.narrow(1, ready, state.num_pending));
  if (parts.empty()) return joined.narrow(1, 0, 0);
  return parts.size() == 1 ? parts.front() : at::cat(parts, 1);
}

at::Tensor ConformerStack::flush(State& state) const {
  const at::Tensor rest = state.pending.narrow(1, 0, state.num_pending);
  if (state.num_pending == 0) return rest.clone();
  state.num_pending = 0;
  return run(rest, state);
}

int64_t ConformerStack::macs_per_frame() const {
  const int64_t width = config_.width, context = config_.context.left + config_.context.chunk;
  const int64_t distances = config_.context.left + 2 * config_.context.chunk - 1;
  const int64_t feed_forward = 2 * 2 * width * width * config_.feed_forward_factor;
  // Scores by content and sums over the context; scores by distance for every row of the table.
  const int64_t attention = 4 * width * width + (2 * context + distances) * width;
  const int64_t convolution = 3 * width * width + config_.conv_kernel * width;
  return config_.num_layers * (feed_forward + attention + convolution);
}

}  // namespace duet::models::nn
