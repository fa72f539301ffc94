// NanoCodecConfig: reading NeMo's model_config.yaml and checking it.
#include <numeric>

#include "codecs/neural/nano_codec.h"
#include "runtime/core/error.h"

namespace duet::codecs {
namespace {

std::string class_name(const core::ConfigReader& node) {
  const std::string target = node.get_string("_target_");
  return target.substr(target.rfind('.') + 1);
}

NanoActivation parse_activation(const core::ConfigReader& node) {
  const std::string name =
      node.get_choice("activation", "lrelu", {"half_snake", "snake", "lrelu", "elu"});
  if (name == "half_snake") return NanoActivation::kHalfSnake;
  if (name == "snake") return NanoActivation::kSnake;
  return name == "elu" ? NanoActivation::kElu : NanoActivation::kLeakyRelu;
}

NanoPadding parse_padding(const core::ConfigReader& node, std::string_view fallback) {
  const std::string name = node.get_choice("pad_mode", fallback, {"zeros", "reflect", "replicate"});
  if (name == "zeros") return NanoPadding::kZeros;
  return name == "reflect" ? NanoPadding::kReflect : NanoPadding::kReplicate;
}

NanoCodecConfig::Stack parse_stack(const core::ConfigReader& node, const char* rates,
                                   int64_t base_channels, int64_t out_kernel) {
  NanoCodecConfig::Stack stack;
  const core::IntRange size{1, 1 << 16};
  stack.rates = node.get_int_list(rates, {8, 8, 2, 2}, core::IntRange{1, 1024});
  stack.base_channels = node.get_int("base_channels", base_channels, size);
  stack.in_kernel = node.get_int("in_kernel_size", 7, size);
  stack.out_kernel = node.get_int("out_kernel_size", out_kernel, size);
  stack.kernels = node.get_int_list("resblock_kernel_sizes", {3, 7, 11}, size);
  stack.dilations = node.get_int_list("resblock_dilation_sizes", {1, 3, 5}, size);
  stack.activation = parse_activation(node);
  return stack;
}

int64_t product(const std::vector<int64_t>& values) {
  return std::accumulate(values.begin(), values.end(), int64_t{1}, std::multiplies<>());
}

}  // namespace

int64_t NanoCodecConfig::samples_per_frame() const { return product(decoder.rates); }

void NanoCodecConfig::validate() const {
  const auto fail = [](const std::string& subject, const std::string& expected,
                       const std::string& found) {
    throw core::ConfigError({subject, expected, found, {}, {}});
  };
  (void)Fsq(num_groups, levels);
  if (decoder.rates.empty()) fail("audio_decoder.up_sample_rates", "at least one", "none");
  if (decoder.kernels.empty() || decoder.dilations.empty())
    fail("audio_decoder.resblock_kernel_sizes, resblock_dilation_sizes", "at least one each",
         "none");
  const int64_t narrowest = decoder.base_channels >> decoder.rates.size();
  if (narrowest < 2)
    fail("audio_decoder.base_channels", "enough to be halved once per up-sampling and leave 2",
         std::to_string(decoder.base_channels));
  int64_t channels = decoder.base_channels;
  for (size_t i = 0; i < decoder.rates.size(); ++i, channels /= 2)
    if (is_grouped && channels % 2 != 0)
      fail("audio_decoder.base_channels", "even at every grouped up-sampling",
           std::to_string(channels));
  if (!encoder.rates.empty() && product(encoder.rates) != samples_per_frame())
    fail("audio_encoder.down_sample_rates", "a product of " + std::to_string(samples_per_frame()),
         std::to_string(product(encoder.rates)));
}

NanoCodecConfig NanoCodecConfig::parse(const core::ConfigReader& model_config) {
  NanoCodecConfig out;
  out.sample_rate_hz = model_config.get_int("sample_rate", 22050, core::IntRange{4000, 96000});

  const core::ConfigReader quantizer = model_config.sub("vector_quantizer");
  if (class_name(quantizer) != "GroupFiniteScalarQuantizer")
    quantizer.fail("_target_", "GroupFiniteScalarQuantizer", class_name(quantizer));
  out.num_groups = quantizer.get_int("num_groups", core::IntRange{1, 64});
  out.levels = quantizer.get_int_list("num_levels_per_group");

  const core::ConfigReader decoder = model_config.sub("audio_decoder");
  if (class_name(decoder) == "HiFiGANDecoder")
    decoder.fail("_target_", "CausalHiFiGANDecoder", "HiFiGANDecoder",
                 "this decoder is not causal: it needs future code frames and cannot speak live");
  if (class_name(decoder) != "CausalHiFiGANDecoder")
    decoder.fail("_target_", "CausalHiFiGANDecoder", class_name(decoder));
  out.decoder = parse_stack(decoder, "up_sample_rates", 512, 3);
  out.clamps_output = decoder.get_choice("output_activation", "tanh", {"tanh", "clamp"}) == "clamp";
  out.is_grouped = decoder.get_bool("n_groups_equal_to_out_channels", true);
  if (parse_padding(decoder, "zeros") != NanoPadding::kZeros)
    decoder.fail("pad_mode", "zeros", decoder.get_string("pad_mode"),
                 "a stream has no samples before its start");
  const int64_t width = out.num_groups * static_cast<int64_t>(out.levels.size());
  if (const int64_t found = decoder.get_int("input_dim", width); found != width)
    decoder.fail("input_dim", std::to_string(width) + " (groups * dimensions)",
                 std::to_string(found));

  if (model_config.has("audio_encoder")) {
    const core::ConfigReader encoder = model_config.sub("audio_encoder");
    const std::string name = class_name(encoder);
    if (name != "HiFiGANEncoder" && name != "CausalHiFiGANEncoder")
      encoder.fail("_target_", "HiFiGANEncoder or CausalHiFiGANEncoder", name);
    out.is_encoder_causal = name == "CausalHiFiGANEncoder";
    out.encoder = parse_stack(encoder, "down_sample_rates", 32, 7);
    out.encoder_padding = parse_padding(encoder, out.is_encoder_causal ? "zeros" : "reflect");
    if (const int64_t found = encoder.get_int("encoded_dim", width); found != width)
      encoder.fail("encoded_dim", std::to_string(width) + " (groups * dimensions)",
                   std::to_string(found));
  }
  if (const int64_t found = model_config.get_int("samples_per_frame", out.samples_per_frame());
      found != out.samples_per_frame())
    model_config.fail("samples_per_frame",
                      std::to_string(out.samples_per_frame()) + " (product of up_sample_rates)",
                      std::to_string(found));
  model_config.ignore_rest();
  out.validate();
  return out;
}

}  // namespace duet::codecs
