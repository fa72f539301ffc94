#include "codecs/neural/nano_codec.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "runtime/core/error.h"

namespace duet::codecs {
namespace {

using models::WeightScope;

// W = g v / |v|, the norm over all axes but the first, no epsilon (torch.nn.utils.weight_norm).
// Spellings: a folded `weight`; `weight_g`, `weight_v` of older NeMo; the parametrizations of
// today.
at::Tensor folded_weight(const WeightScope& conv, at::IntArrayRef shape) {
  const std::vector<int64_t> gain_shape = {shape[0], 1, 1};
  const auto fold = [&](const char* gain_name, const char* direction_name) {
    const at::Tensor gain = conv.parameter(gain_name, gain_shape),
                     direction = conv.parameter(direction_name, shape);
    return direction * (gain / direction.pow(2).sum(at::IntArrayRef{1, 2}, true).sqrt());
  };
  if (conv.contains("weight")) return conv.parameter("weight", shape);
  if (conv.contains("weight_g")) return fold("weight_g", "weight_v");
  return fold("parametrizations.weight.original0", "parametrizations.weight.original1");
}

at::Tensor padded(const at::Tensor& x, int64_t left, int64_t right, NanoPadding mode) {
  if (left == 0 && right == 0) return x;
  switch (mode) {
    case NanoPadding::kReflect: return at::reflection_pad1d(x, {left, right});
    case NanoPadding::kReplicate: return at::replication_pad1d(x, {left, right});
    case NanoPadding::kZeros: break;
  }
  return at::constant_pad_nd(x, {left, right});
}

NanoConv::Shape conv_shape(int64_t in, int64_t out, int64_t kernel, int64_t dilation,
                           bool is_causal, NanoPadding padding) {
  const int64_t reach = (kernel - 1) * dilation;
  return {.in = in,
          .out = out,
          .kernel = kernel,
          .dilation = dilation,
          .pad_left = is_causal ? reach : reach / 2,
          .pad_right = is_causal ? 0 : reach / 2,
          .padding = padding};
}

// Kernel 2s, stride s, from a length that is a multiple of s to length / s.
NanoConv::Shape down_shape(int64_t channels, int64_t rate, bool is_causal, NanoPadding padding) {
  return {.in = channels,
          .out = 2 * channels,
          .kernel = 2 * rate,
          .stride = rate,
          .pad_left = is_causal ? rate : (rate + 1) / 2,
          .pad_right = is_causal ? 0 : (rate + 1) / 2,
          .padding = padding};
}

struct NanoState : CodecDecoder::State {
  std::vector<at::Tensor> tails;  // one per convolution, in the order of the computation

  std::unique_ptr<State> clone() const override {
    auto copy = std::make_unique<NanoState>();
    for (const at::Tensor& tail : tails) copy->tails.push_back(tail.clone());
    return copy;
  }
  int64_t num_bytes() const override {
    int64_t bytes = 0;
    for (const at::Tensor& tail : tails) bytes += static_cast<int64_t>(tail.nbytes());
    return bytes;
  }
};

void keep_last(at::Tensor& tail, const at::Tensor& joined) {
  tail.copy_(joined.narrow(2, joined.size(2) - tail.size(2), tail.size(2)));
}

// The tables NeMo stores beside the codec must be those of the config.
void check_levels(const NanoCodecConfig& config, const WeightScope& weights) {
  const auto size = static_cast<int64_t>(config.levels.size());
  const Fsq fsq(config.num_groups, config.levels);
  const auto check = [&](const WeightScope& group, const char* name,
                         const std::vector<int64_t>& want) {
    const at::Tensor expected = at::tensor(want, at::kLong).view({1, size, 1});
    const at::Tensor found =
        group.buffer(name, {1, size, 1}, [&] { return expected; }).to(at::kLong);
    if (!at::equal(found, expected))
      throw core::LoadError(
          {group.prefix() + name, "the levels of the codec's config", "other values", {}, {}});
  };
  for (int64_t g = 0; g < config.num_groups; ++g) {
    const WeightScope group = weights.sub("fsqs", g);
    check(group, "num_levels", config.levels);
    check(group, "dim_base_index", fsq.bases());
  }
}

int64_t last_channels(const NanoCodecConfig::Stack& stack) {
  return stack.base_channels >> stack.rates.size();
}

}  // namespace

NanoActivationLayer::NanoActivationLayer(NanoActivation kind, int64_t channels,
                                         const WeightScope& weights)
    : kind_(kind) {
  if (kind == NanoActivation::kHalfSnake) num_snake_ = channels / 2;
  if (kind == NanoActivation::kSnake) num_snake_ = channels;
  if (num_snake_ == 0) return;
  alpha_ = weights.parameter(
      kind == NanoActivation::kSnake ? "activation.alpha" : "activation.snake_act.alpha",
      {1, num_snake_, 1}, models::Init::ones());
  inverse_alpha_ = 1.0 / (alpha_ + 1e-9);
}

at::Tensor NanoActivationLayer::forward(const at::Tensor& x) const {
  if (kind_ == NanoActivation::kElu) return at::elu(x);
  if (kind_ == NanoActivation::kLeakyRelu) return at::leaky_relu(x, 0.01);
  const at::Tensor low = x.narrow(1, 0, num_snake_);
  const at::Tensor snake = low + inverse_alpha_ * at::sin(alpha_ * low).pow(2);
  if (kind_ == NanoActivation::kSnake) return snake;
  return at::cat({snake, at::leaky_relu(x.narrow(1, num_snake_, x.size(1) - num_snake_), 0.01)}, 1);
}

NanoConv::NanoConv(const Shape& shape, const WeightScope& weights)
    : shape_(shape),
      weight_(folded_weight(weights.sub("conv"), {shape.out, shape.in, shape.kernel})),
      bias_(weights.parameter("conv.bias", {shape.out}, models::Init::zeros())) {}

at::Tensor NanoConv::valid(const at::Tensor& x) const {
  return at::conv1d(x, weight_, bias_, at::IntArrayRef{shape_.stride}, at::IntArrayRef{0},
                    at::IntArrayRef{shape_.dilation});
}

at::Tensor NanoConv::forward(const at::Tensor& x) const {
  return valid(padded(x, shape_.pad_left, shape_.pad_right, shape_.padding));
}

at::Tensor NanoConv::step(const at::Tensor& x, at::Tensor& tail) const {
  DUET_CHECK(shape_.stride == 1 && shape_.pad_right == 0);
  const at::Tensor joined = at::cat({tail, x}, 2);
  keep_last(tail, joined);
  return valid(joined);
}

at::Tensor NanoConv::initial_tail(int64_t batch) const {
  return at::zeros({batch, shape_.in, shape_.pad_left});
}

NanoUpsampler::NanoUpsampler(int64_t in, int64_t out, int64_t rate, bool is_grouped,
                             const WeightScope& weights)
    : in_(in),
      rate_(rate),
      groups_(is_grouped ? out : 1),
      weight_(folded_weight(weights.sub("conv"), {in, out / groups_, 2 * rate})),
      bias_(weights.parameter("conv.bias", {out}, models::Init::zeros())) {}

at::Tensor NanoUpsampler::forward(const at::Tensor& x) const {
  const at::Tensor full = at::conv_transpose1d(x, weight_, bias_, at::IntArrayRef{rate_},
                                               at::IntArrayRef{0}, at::IntArrayRef{0}, groups_);
  return full.narrow(2, 0, x.size(2) * rate_);
}

at::Tensor NanoUpsampler::step(const at::Tensor& x, at::Tensor& tail) const {
  const at::Tensor joined = at::cat({tail, x}, 2);
  keep_last(tail, joined);
  const at::Tensor full = forward(joined);  // its first `rate` samples belong to the previous input
  return full.narrow(2, rate_, x.size(2) * rate_);
}

at::Tensor NanoUpsampler::initial_tail(int64_t batch) const { return at::zeros({batch, in_, 1}); }

NanoResidualLayer::NanoResidualLayer(const NanoCodecConfig::Stack& stack, int64_t channels,
                                     bool is_causal, NanoPadding padding,
                                     const WeightScope& weights) {
  for (size_t j = 0; j < stack.kernels.size(); ++j) {
    const WeightScope chain = weights.sub("res_blocks", static_cast<int64_t>(j));
    const int64_t kernel = stack.kernels[j];
    std::vector<Block> blocks;
    for (size_t m = 0; m < stack.dilations.size(); ++m) {
      const WeightScope block = chain.sub("res_blocks", static_cast<int64_t>(m));
      blocks.push_back(
          {NanoActivationLayer(stack.activation, channels, block.sub("input_activation")),
           NanoActivationLayer(stack.activation, channels, block.sub("skip_activation")),
           NanoConv(conv_shape(channels, channels, kernel, stack.dilations[m], is_causal, padding),
                    block.sub("input_conv")),
           NanoConv(conv_shape(channels, channels, kernel, 1, is_causal, padding),
                    block.sub("skip_conv"))});
    }
    chains_.push_back(std::move(blocks));
  }
}

at::Tensor NanoResidualLayer::forward(const at::Tensor& x) const {
  at::Tensor sum;
  for (const std::vector<Block>& chain : chains_) {
    at::Tensor y = x;
    for (const Block& block : chain)
      y = y + block.skip_conv.forward(block.skip_activation.forward(
                  block.input_conv.forward(block.input_activation.forward(y))));
    sum = sum.defined() ? sum + y : y;
  }
  return sum / static_cast<double>(chains_.size());
}

at::Tensor NanoResidualLayer::step(const at::Tensor& x, std::vector<at::Tensor>& tails,
                                   size_t& next) const {
  at::Tensor sum;
  for (const std::vector<Block>& chain : chains_) {
    at::Tensor y = x;
    for (const Block& block : chain) {
      const at::Tensor inner =
          block.input_conv.step(block.input_activation.forward(y), tails[next++]);
      y = y + block.skip_conv.step(block.skip_activation.forward(inner), tails[next++]);
    }
    sum = sum.defined() ? sum + y : y;
  }
  return sum / static_cast<double>(chains_.size());
}

void NanoResidualLayer::append_tails(int64_t batch, std::vector<at::Tensor>& tails) const {
  for (const std::vector<Block>& chain : chains_)
    for (const Block& block : chain) {
      tails.push_back(block.input_conv.initial_tail(batch));
      tails.push_back(block.skip_conv.initial_tail(batch));
    }
}

NanoDecoder::NanoDecoder(const NanoCodecConfig& config, const WeightScope& weights)
    : config_((config.validate(), config)),
      fsq_(config.num_groups, config.levels),
      pre_conv_(conv_shape(fsq_.latent_width(), config.decoder.base_channels,
                           config.decoder.in_kernel, 1, true, NanoPadding::kZeros),
                weights.sub("audio_decoder").sub("pre_conv")),
      post_activation_(config.decoder.activation, last_channels(config.decoder),
                       weights.sub("audio_decoder").sub("post_activation")),
      post_conv_(conv_shape(last_channels(config.decoder), 1, config.decoder.out_kernel, 1, true,
                            NanoPadding::kZeros),
                 weights.sub("audio_decoder").sub("post_conv")) {
  check_levels(config, weights.sub("vector_quantizer"));
  const WeightScope decoder = weights.sub("audio_decoder");
  int64_t channels = config.decoder.base_channels;
  for (size_t i = 0; i < config.decoder.rates.size(); ++i, channels /= 2) {
    const auto index = static_cast<int64_t>(i);
    stages_.push_back(
        {NanoActivationLayer(config.decoder.activation, channels,
                             decoder.sub("activations", index)),
         NanoUpsampler(channels, channels / 2, config.decoder.rates[i], config.is_grouped,
                       decoder.sub("up_sample_conv_layers", index)),
         NanoResidualLayer(config.decoder, channels / 2, true, NanoPadding::kZeros,
                           decoder.sub("res_layers", index))});
  }
}

at::Tensor NanoDecoder::to_pcm(const at::Tensor& x) const {
  return (config_.clamps_output ? at::clamp(x, -1.0, 1.0) : at::tanh(x)).squeeze(1);
}

at::Tensor NanoDecoder::forward(const at::Tensor& codes) const {
  at::Tensor x = pre_conv_.forward(fsq_.decode(codes));
  for (const Stage& stage : stages_)
    x = stage.residual.forward(stage.upsampler.forward(stage.activation.forward(x)));
  return to_pcm(post_conv_.forward(post_activation_.forward(x)));
}

std::unique_ptr<CodecDecoder::State> NanoDecoder::initial_state(int64_t batch) const {
  auto state = std::make_unique<NanoState>();
  state->tails.push_back(pre_conv_.initial_tail(batch));
  for (const Stage& stage : stages_) {
    state->tails.push_back(stage.upsampler.initial_tail(batch));
    stage.residual.append_tails(batch, state->tails);
  }
  state->tails.push_back(post_conv_.initial_tail(batch));
  return state;
}

void NanoDecoder::reset(State& state) const {
  for (at::Tensor& tail : dynamic_cast<NanoState&>(state).tails) tail.zero_();
}

at::Tensor NanoDecoder::step(const at::Tensor& codes, State& state) const {
  std::vector<at::Tensor>& tails = dynamic_cast<NanoState&>(state).tails;
  size_t next = 0;
  at::Tensor x = pre_conv_.step(fsq_.decode(codes), tails[next++]);
  for (const Stage& stage : stages_) {
    x = stage.upsampler.step(stage.activation.forward(x), tails[next++]);
    x = stage.residual.step(x, tails, next);
  }
  return to_pcm(post_conv_.step(post_activation_.forward(x), tails[next]));
}

NanoEncoder::NanoEncoder(const NanoCodecConfig& config, const WeightScope& weights)
    : config_((config.validate(), config)),
      fsq_(config.num_groups, config.levels),
      pre_conv_(conv_shape(1, config.encoder.base_channels, config.encoder.in_kernel, 1,
                           config.is_encoder_causal, config.encoder_padding),
                weights.sub("audio_encoder").sub("pre_conv")),
      post_activation_(config.encoder.activation,
                       config.encoder.base_channels << config.encoder.rates.size(),
                       weights.sub("audio_encoder").sub("post_activation")),
      post_conv_(conv_shape(config.encoder.base_channels << config.encoder.rates.size(),
                            fsq_.latent_width(), config.encoder.out_kernel, 1,
                            config.is_encoder_causal, config.encoder_padding),
                 weights.sub("audio_encoder").sub("post_conv")) {
  const WeightScope encoder = weights.sub("audio_encoder");
  int64_t channels = config.encoder.base_channels;
  for (size_t i = 0; i < config.encoder.rates.size(); ++i, channels *= 2) {
    const auto index = static_cast<int64_t>(i);
    stages_.push_back({NanoResidualLayer(config.encoder, channels, config.is_encoder_causal,
                                         config.encoder_padding, encoder.sub("res_layers", index)),
                       NanoActivationLayer(config.encoder.activation, channels,
                                           encoder.sub("activations", index)),
                       NanoConv(down_shape(channels, config.encoder.rates[i],
                                           config.is_encoder_causal, config.encoder_padding),
                                encoder.sub("down_sample_conv_layers", index))});
  }
}

at::Tensor NanoEncoder::latents(const at::Tensor& pcm) const {
  const int64_t frame = config_.samples_per_frame(), excess = pcm.size(1) % frame;
  at::Tensor x = at::constant_pad_nd(pcm, {0, excess == 0 ? 0 : frame - excess}).unsqueeze(1);
  x = pre_conv_.forward(x);
  for (const Stage& stage : stages_)
    x = stage.downsampler.forward(stage.activation.forward(stage.residual.forward(x)));
  return post_conv_.forward(post_activation_.forward(x));
}

at::Tensor NanoEncoder::forward(const at::Tensor& pcm) const { return fsq_.encode(latents(pcm)); }

}  // namespace duet::codecs
