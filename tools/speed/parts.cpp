#include "tools/speed/parts.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <utility>

#include "codecs/neural/convnext_codec.h"
#include "codecs/neural/fsq.h"
#include "codecs/neural/nano_codec.h"
#include "models/nemo_perception.h"
#include "models/whisper_speech_encoder.h"
#include "runtime/core/config_reader.h"
#include "runtime/core/error.h"
#include "runtime/machine.h"

namespace duet::speed {

namespace {

namespace fs = std::filesystem;
using core::ConfigReader;
using engine::CodecFamily;
using engine::EncoderFamily;
using engine::ModelConfig;

constexpr const char* kNemoConfig = R"({
  "pretrained_llm": "TinyLlama-1.1B", "duplex_user_channel_weight": 1.0,
  "perception": {
    "output_dim": 2048,
    "preprocessor": {
      "_target_": "AudioToMelSpectrogramPreprocessor", "sample_rate": 16000, "normalize": "NA",
      "window_size": 0.025, "window_stride": 0.01, "window": "hann", "features": 80, "n_fft": 512,
      "log": true, "frame_splicing": 1, "dither": 1e-05, "pad_to": 0, "pad_value": 0.0
    },
    "encoder": {
      "_target_": "ConformerEncoder", "feat_in": 80, "feat_out": -1, "n_layers": 17,
      "d_model": 512, "subsampling": "dw_striding", "subsampling_factor": 8,
      "subsampling_conv_channels": 256, "causal_downsampling": true, "ff_expansion_factor": 4,
      "self_attention_model": "rel_pos", "n_heads": 8, "att_context_size": [70, 0],
      "att_context_style": "chunked_limited", "conv_kernel_size": 9,
      "conv_norm_type": "layer_norm", "conv_context_size": "causal"
    },
    "modality_adapter": {
      "_target_": "ConformerEncoder", "feat_in": 512, "feat_out": -1, "n_layers": 2,
      "d_model": 512, "subsampling": "dw_striding", "subsampling_factor": 1,
      "subsampling_conv_channels": 256, "causal_downsampling": true, "ff_expansion_factor": 4,
      "self_attention_model": "rel_pos", "n_heads": 8, "att_context_size": [70, 0],
      "att_context_style": "chunked_limited", "conv_kernel_size": 9,
      "conv_norm_type": "layer_norm", "conv_context_size": "causal"
    }
  }
})";
constexpr const char* kTinyLlama = R"({
  "model_type": "llama", "hidden_size": 2048, "num_hidden_layers": 22, "num_attention_heads": 32,
  "num_key_value_heads": 4, "intermediate_size": 5632, "hidden_act": "silu", "rms_norm_eps": 1e-05,
  "rope_theta": 10000.0, "vocab_size": 32000, "tie_word_embeddings": false,
  "max_position_embeddings": 2048
})";
constexpr const char* kNanoCodec = R"(
sample_rate: 22050
samples_per_frame: 1764
vector_quantizer:
  _target_: GroupFiniteScalarQuantizer
  num_groups: 4
  num_levels_per_group: [9, 8, 8, 7]
audio_decoder:
  _target_: CausalHiFiGANDecoder
  up_sample_rates: [7, 7, 6, 3, 2]
  input_dim: 16
  base_channels: 864
  activation: half_snake
  output_activation: clamp
  pad_mode: zeros
  n_groups_equal_to_out_channels: true
)";

ModelConfig nemo_config() {
  ModelConfig config;
  config.kind = engine::ModelKind::kNemo;
  config.encoder_family = EncoderFamily::kNemo;
  config.codec_family = CodecFamily::kNano;
  config.name = "nemo-1.2b";
  config.nano = codecs::NanoCodecConfig::parse(ConfigReader::parse(kNanoCodec, "codec_config"));
  const std::int64_t num_codes =
      codecs::Fsq(config.nano.num_groups, config.nano.levels).codebook_size();
  const models::NemoDuplexConfig nemo = models::parse_nemo_duplex(
      ConfigReader::parse(kNemoConfig, "config"),
      models::parse_nemo_llm(ConfigReader::parse(kTinyLlama, "llm_config")), config.nano.num_groups,
      num_codes, 0);
  config.perception = nemo.perception;
  config.lm = nemo.lm;
  return config;
}

void build(const ModelConfig& config, models::WeightReader& reader, Parts& parts) {
  const engine::PartPrefixes prefixes = engine::part_prefixes(config.kind);
  const models::WeightScope encoder(reader, prefixes.encoder), lm(reader, prefixes.lm),
      codec(reader, prefixes.codec);
  if (config.encoder_family == EncoderFamily::kWhisper) {
    parts.encoder = std::make_unique<models::WhisperSpeechEncoder>(config.whisper,
                                                                   config.has_ctc_input(), encoder);
  } else {
    parts.encoder = std::make_unique<models::NemoPerception>(config.perception, encoder);
  }
  parts.lm = std::make_unique<models::DuplexLm>(config.lm, lm);
  if (config.codec_family == CodecFamily::kConvNext)
    parts.codec = std::make_unique<codecs::ConvNextDecoder>(config.convnext, codec);
  else
    parts.codec = std::make_unique<codecs::NanoDecoder>(config.nano, codec);
  parts.sampler.text_pad = config.lm.text_pad;
  parts.subject = config.name + (config.version.empty() ? "" : " " + config.version);
}

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

/// Matrices of the LM by far most of all: layers, tables and heads.
std::int64_t estimated_values(const models::DuplexLmConfig& lm) {
  const models::nn::LlamaConfig& llm = lm.llm;
  const std::int64_t attention = 2 * llm.hidden * llm.head_dim * (llm.heads + llm.kv_heads);
  const std::int64_t layer = attention + 3 * llm.hidden * llm.intermediate;
  const std::int64_t tables = 2 * llm.hidden * (lm.text_vocab + lm.num_codebooks * lm.code_vocab);
  return layer * llm.layers + tables;
}

}  // namespace

const std::vector<std::string>& architecture_names() {
  static const std::vector<std::string> names = {"nemo-1.2b"};
  return names;
}

engine::ModelConfig find_architecture(const std::string& name) {
  if (name == "nemo-1.2b") return nemo_config();
  if (fs::is_regular_file(fs::path(name) / "config.json")) return engine::read_model_config(name);
  throw core::ConfigError({.subject = "--arch",
                           .expected = "nemo-1.2b, or a folder with a model's config.json",
                           .found = name,
                           .file = "",
                           .hint = ""});
}

Parts load_parts(const std::string& model_dir) {
  const auto begin = std::chrono::steady_clock::now();
  ModelConfig config = engine::read_model_config(model_dir);
  engine::load_model_tokenizers(config);  // They know the pad.
  models::TensorMap tensors = engine::load_model_tensors(config);
  Parts parts;
  for (const auto& [name, tensor] : tensors) parts.num_values += tensor.numel();
  models::TensorMapReader reader(std::move(tensors), config.weights_file(),
                                 engine::ignorable_tensors(config.kind));
  build(config, reader, parts);
  parts.weights = "the model's own";
  parts.load_s = seconds_since(begin);
  return parts;
}

Parts random_parts(const engine::ModelConfig& config, bool is_int8) {
  const auto begin = std::chrono::steady_clock::now();
  // fp32, and its 8-bit form beside it.
  const std::int64_t bytes = estimated_values(config.lm) * (is_int8 ? 5 : 4);
  const bool shares = bytes > runtime::memory_info().available_bytes / 2;
  RandomWeightReader reader({.is_int8 = is_int8, .shares_layers = shares});
  Parts parts;
  build(config, reader, parts);
  parts.num_values = reader.num_values();
  parts.weights = std::string("random, ") + (is_int8 ? "int8" : "float32") +
                  (shares ? ", one layer's memory for all (too little memory for more)" : "");
  parts.load_s = seconds_since(begin);
  return parts;
}

}  // namespace duet::speed
