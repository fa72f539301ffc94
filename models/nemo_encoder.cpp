#include "models/nemo_encoder.h"

#include <ATen/ATen.h>

#include <cmath>
#include <string>

#include "runtime/core/error.h"

namespace duet::models {
namespace {

/// A key whose only supported value is `wanted`; `fallback` is the constructor's default.
void require_choice(const core::ConfigReader& config, const char* key, const char* wanted,
                    const char* fallback, const char* why) {
  const std::string found = config.get_string(key, fallback);
  if (found != wanted) config.fail(key, std::string("'") + wanted + "'", "'" + found + "'", why);
}

nn::ChunkContext parse_context(const core::ConfigReader& config,
                               std::optional<nn::ChunkContext> wanted) {
  if (!config.has("att_context_size"))
    config.fail("att_context_size", "a pair [left, right] or a list of such pairs",
                "nothing (unlimited context)", "only a bounded context can be streamed");
  const auto pairs = config.get_int_lists("att_context_size");
  std::string all;
  for (const auto& pair : pairs) {
    if (pair.size() != 2)
      config.fail("att_context_size", "pairs [left, right]",
                  std::to_string(pair.size()) + " numbers");
    all +=
        (all.empty() ? "[" : ", [") + std::to_string(pair[0]) + "," + std::to_string(pair[1]) + "]";
  }
  if (pairs.empty())
    config.fail("att_context_size", "at least one pair [left, right]", "an empty list");
  nn::ChunkContext context{pairs.front()[0], pairs.front()[1] + 1};
  if (wanted) {
    bool is_listed = false;
    for (const auto& pair : pairs)
      is_listed = is_listed || (pair[0] == wanted->left && pair[1] + 1 == wanted->chunk);
    if (!is_listed)
      config.fail(
          "att_context_size",
          "[" + std::to_string(wanted->left) + "," + std::to_string(wanted->chunk - 1) + "]", all,
          "the checkpoint was not trained with the context asked for");
    context = *wanted;
  }
  if (context.left < 0)
    config.fail("att_context_size", "left >= 0", all,
                "an unlimited past cannot be streamed with bounded memory");
  if (context.chunk < 1)
    config.fail("att_context_size", "right >= 0", all, "an unlimited future cannot be streamed");
  if (context.left % context.chunk != 0)
    config.fail("att_context_size",
                "left a multiple of right + 1 = " + std::to_string(context.chunk), all);
  return context;
}

void parse_subsampling(const core::ConfigReader& config, NemoEncoderConfig& out) {
  out.subsampling_factor = config.get_int("subsampling_factor", 4, {1, 64});
  const int64_t channels = config.get_int("subsampling_conv_channels", -1);
  out.subsampling_channels = channels == -1 ? out.conformer.width : channels;
  const bool is_causal = config.get_bool("causal_downsampling", false);
  const std::string kind = config.get_string("subsampling", "striding");
  if (out.subsampling_factor == 1) return;  // a linear layer, whatever the others say
  if (kind != "dw_striding") config.fail("subsampling", "'dw_striding'", "'" + kind + "'");
  if (!is_causal)
    config.fail("causal_downsampling", "true", "false",
                "non-causal downsampling looks ahead in every stage");
}

void parse_conv(const core::ConfigReader& config, nn::ConformerConfig& out) {
  out.conv_kernel = config.get_int("conv_kernel_size", 31, {1, 1024});
  out.conv_norm = config.get_choice("conv_norm_type", "batch_norm", {"layer_norm", "batch_norm"}) ==
                          "layer_norm"
                      ? nn::ConformerConfig::ConvNorm::kLayerNorm
                      : nn::ConformerConfig::ConvNorm::kBatchNorm;
  if (!config.has("conv_context_size"))
    config.fail("conv_context_size", "'causal'", "nothing (symmetric)",
                "symmetric convolutions look ahead");
  if (config.kind("conv_context_size") == core::ConfigReader::Kind::kList) {
    const auto sides = config.get_int_list("conv_context_size");
    if (sides.size() != 2 || sides[0] != out.conv_kernel - 1 || sides[1] != 0)
      config.fail("conv_context_size",
                  "'causal' or [" + std::to_string(out.conv_kernel - 1) + ", 0]", "another list",
                  "convolutions that look ahead are not supported");
  } else {
    require_choice(config, "conv_context_size", "causal", "",
                   "convolutions that look ahead are not supported");
  }
}

}  // namespace

void NemoEncoderConfig::validate() const {
  conformer.validate();
  if (in_features < 1)
    throw core::ConfigError({.subject = "feat_in",
                             .expected = ">= 1",
                             .found = std::to_string(in_features),
                             .file = {},
                             .hint = {}});
}

NemoEncoderConfig NemoEncoderConfig::parse(const core::ConfigReader& config,
                                           std::optional<nn::ChunkContext> context) {
  NemoEncoderConfig out;
  nn::ConformerConfig& conformer = out.conformer;
  out.in_features = config.get_int("feat_in", core::IntRange{1, 65536});
  conformer.num_layers = config.get_int("n_layers", core::IntRange{1, 1000});
  conformer.width = config.get_int("d_model", core::IntRange{2, 65536});
  const int64_t feat_out = config.get_int("feat_out", -1);
  out.out_features = feat_out > 0 && feat_out != conformer.width ? feat_out : 0;
  conformer.num_heads = config.get_int("n_heads", 4, {1, 1024});
  if (conformer.width % conformer.num_heads != 0)
    config.fail("n_heads", "a divisor of d_model " + std::to_string(conformer.width),
                std::to_string(conformer.num_heads));
  conformer.feed_forward_factor = config.get_int("ff_expansion_factor", 4, {1, 64});
  conformer.has_bias = config.get_bool("use_bias", true);
  conformer.has_untied_biases = config.get_bool("untie_biases", true);
  out.is_scaled = config.get_bool("xscaling", true);
  require_choice(config, "self_attention_model", "rel_pos", "rel_pos", "");
  require_choice(config, "att_context_style", "chunked_limited", "regular",
                 "a regular context adds look-ahead with every layer");
  conformer.context = parse_context(config, context);
  parse_subsampling(config, out);
  parse_conv(config, conformer);
  if (config.has("reduction")) config.fail("reduction", "null", config.get_string("reduction"));
  // Training, speed and memory settings that do not change what eval mode computes.
  config.ignore({"_target_", "reduction_position", "reduction_factor", "att_context_probs",
                 "pos_emb_max_len", "dropout", "dropout_pre_encoder", "dropout_emb", "dropout_att",
                 "stochastic_depth_drop_prob", "stochastic_depth_mode",
                 "stochastic_depth_start_layer", "global_tokens", "global_tokens_spacing",
                 "global_attn_separate", "use_pytorch_sdpa", "use_pytorch_sdpa_backends",
                 "sync_max_audio_length", "subsampling_conv_chunking_factor"});
  out.validate();
  return out;
}

NemoEncoder::State NemoEncoder::State::clone() const {
  State copy;
  copy.subsampling = subsampling.clone();
  copy.layers = layers.clone();
  return copy;
}

int64_t NemoEncoder::State::num_bytes() const {
  return subsampling.num_bytes() + layers.num_bytes();
}

NemoEncoder::NemoEncoder(const NemoEncoderConfig& config, const WeightScope& weights)
    : config_(config), layers_((config.validate(), config.conformer), weights) {
  const WeightScope pre_encode = weights.sub("pre_encode");
  if (config_.subsampling_factor == 1)
    linear_.emplace(config_.in_features, config_.conformer.width, pre_encode);
  else
    subsampling_.emplace(
        nn::DwStriding::Config{config_.in_features, config_.subsampling_channels,
                               config_.subsampling_factor, config_.conformer.width},
        pre_encode);
  if (config_.out_features > 0)
    out_.emplace(config_.conformer.width, config_.out_features, weights.sub("out_proj"));
}

NemoEncoder::State NemoEncoder::initial_state(int64_t batch) const {
  State state;
  if (subsampling_) state.subsampling = subsampling_->initial_state(batch);
  state.layers = layers_.initial_state(batch);
  return state;
}

void NemoEncoder::reset(State& state) const {
  if (subsampling_) subsampling_->reset(state.subsampling);
  layers_.reset(state.layers);
}

at::Tensor NemoEncoder::scale(const at::Tensor& x) const {
  return config_.is_scaled ? x * std::sqrt(static_cast<double>(config_.conformer.width)) : x;
}

at::Tensor NemoEncoder::project(const at::Tensor& x) const { return out_ ? out_->forward(x) : x; }

at::Tensor NemoEncoder::pre_encode(const at::Tensor& x) const {
  return subsampling_ ? subsampling_->forward(x) : linear_->forward(x);
}

int64_t NemoEncoder::macs_per_frame() const {
  const int64_t width = config_.conformer.width;
  return (subsampling_ ? subsampling_->macs_per_frame() : config_.in_features * width) +
         layers_.macs_per_frame() + width * config_.out_features;
}

int64_t NemoEncoder::num_frames(int64_t num_inputs) const {
  return subsampling_ ? subsampling_->num_frames(num_inputs) : num_inputs;
}

at::Tensor NemoEncoder::forward(const at::Tensor& x) const {
  return project(layers_.forward(scale(pre_encode(x))));
}

at::Tensor NemoEncoder::step(const at::Tensor& x, State& state) const {
  const at::Tensor frames =
      subsampling_ ? subsampling_->step(x, state.subsampling) : linear_->forward(x);
  return project(layers_.step(scale(frames), state.layers));
}

at::Tensor NemoEncoder::flush(State& state) const {
  if (!subsampling_) return project(layers_.flush(state.layers));
  const at::Tensor last = layers_.step(scale(subsampling_->flush(state.subsampling)), state.layers);
  return project(at::cat({last, layers_.flush(state.layers)}, 1));
}

}  // namespace duet::models
