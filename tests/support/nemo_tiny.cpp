#include "tests/support/nemo_tiny.h"

#include "models/nemo_duplex.h"
#include "models/weights/safetensors.h"
#include "tests/support/nemo_golden.h"

namespace duet::test {

std::string tiny_nemo_config() {
  return R"({
  "pretrained_llm": "tiny", "pretrained_audio_codec": "tiny", "pretrained_asr": "tiny",
  "audio_loss_weight": 4, "text_loss_weight": 3, "duplex_user_channel_weight": 2.0, "torch_dtype": "float32",
  "perception": {
    "target": "nemo.collections.speechlm2.modules.perception.AudioPerceptionModule",
    "output_dim": 48,
    "preprocessor": {
      "_target_": "nemo.collections.asr.modules.AudioToMelSpectrogramPreprocessor",
      "sample_rate": 16000, "normalize": "NA", "window_size": 0.025, "window_stride": 0.01, "window": "hann",
      "features": 80, "n_fft": 512, "log": true, "frame_splicing": 1, "dither": 1e-05, "pad_to": 0, "pad_value": 0.0
    },
    "encoder": {
      "_target_": "nemo.collections.asr.modules.ConformerEncoder",
      "feat_in": 80, "feat_out": -1, "n_layers": 2, "d_model": 32, "use_bias": true, "subsampling": "dw_striding",
      "subsampling_factor": 8, "subsampling_conv_channels": 8, "causal_downsampling": true, "reduction": null,
      "reduction_position": null, "reduction_factor": 1, "ff_expansion_factor": 2, "self_attention_model": "rel_pos",
      "n_heads": 4, "att_context_size": [[4, 1], [4, 0]], "att_context_style": "chunked_limited", "xscaling": true,
      "untie_biases": true, "pos_emb_max_len": 5000, "conv_kernel_size": 9, "conv_norm_type": "layer_norm",
      "conv_context_size": "causal", "dropout": 0.1, "dropout_pre_encoder": 0.1, "dropout_emb": 0.0, "dropout_att": 0.1,
      "stochastic_depth_drop_prob": 0.0, "stochastic_depth_mode": "linear", "stochastic_depth_start_layer": 1
    },
    "modality_adapter": {
      "_target_": "nemo.collections.asr.modules.ConformerEncoder",
      "feat_in": 32, "feat_out": -1, "n_layers": 1, "d_model": 32, "subsampling": "dw_striding", "subsampling_factor": 1,
      "subsampling_conv_channels": 256, "causal_downsampling": true, "ff_expansion_factor": 2,
      "self_attention_model": "rel_pos", "n_heads": 4, "att_context_size": [4, 1],
      "att_context_style": "chunked_limited", "conv_kernel_size": 9, "conv_norm_type": "layer_norm",
      "conv_context_size": "causal", "dropout": 0.1
    }
  }
})";
}

std::string tiny_llm_config() {
  return R"({
  "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 48, "num_hidden_layers": 2,
  "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 12, "intermediate_size": 64, "hidden_act": "silu",
  "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "rope_scaling": null, "vocab_size": 40, "tie_word_embeddings": false,
  "max_position_embeddings": 2048, "bos_token_id": 1, "eos_token_id": 2, "torch_dtype": "float32"
})";
}

std::string tiny_codec_config() {
  return R"(sample_rate: 22050
samples_per_frame: 15
vector_quantizer:
  _target_: nemo.collections.tts.modules.audio_codec_modules.GroupFiniteScalarQuantizer
  num_groups: 2
  num_levels_per_group: [5, 4, 3]
audio_decoder:
  _target_: nemo.collections.tts.modules.audio_codec_modules.CausalHiFiGANDecoder
  up_sample_rates: [5, 3]
  input_dim: 6
  base_channels: 24
  activation: half_snake
  output_activation: clamp
  pad_mode: zeros
  n_groups_equal_to_out_channels: true
  resblock_kernel_sizes: [3, 7]
  resblock_dilation_sizes: [1, 3]
)";
}

std::string tiny_tokenizer() {
  std::string vocab = R"("<unk>": 0, "<s>": 1, "</s>": 2)";
  for (int id = 3; id < 40; ++id) {
    // 37 pieces, every third of which starts a word.
    const std::string letter(1, static_cast<char>(id < 29 ? 'a' + (id - 3) : 'A' + (id - 29)));
    vocab +=
        ", \"" + std::string(id % 3 == 0 ? "\u2581" : "") + letter + "\": " + std::to_string(id);
  }
  return R"({"version": "1.0", "truncation": null, "padding": null, "added_tokens": [
  {"id": 0, "content": "<unk>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true},
  {"id": 1, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true},
  {"id": 2, "content": "</s>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}],
 "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"},
  {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
 "pre_tokenizer": null, "post_processor": null,
 "decoder": {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
  {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
 "model": {"type": "BPE", "dropout": null, "unk_token": "<unk>", "continuing_subword_prefix": null,
  "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": false, "vocab": {)" +
         vocab + R"(}, "merges": []}})";
}

void write_tiny_bundle(const support::TempDir& folder, const std::string& config) {
  core::ConfigReader codec = core::ConfigReader::parse(tiny_codec_config(), "codec_config.yaml");
  codec.override_with("audio_decoder.up_sample_rates=[42, 42]");
  codec.override_with("samples_per_frame=1764");
  GoldenWeightReader reader;
  const models::WeightScope root(reader);
  const auto parsed = models::parse_nemo_duplex(
      core::ConfigReader::parse(config, "config.json"),
      models::parse_nemo_llm(core::ConfigReader::parse(tiny_llm_config(), "llm_config.json")), 2,
      60, 0);
  const models::NemoPerception perception(parsed.perception, root.sub("perception"));
  const models::DuplexLm lm(parsed.lm, root);
  const codecs::NanoDecoder decoder(codecs::NanoCodecConfig::parse(codec), root.sub("audio_codec"));
  folder.write("config.json", config);
  folder.write("llm_config.json", tiny_llm_config());
  folder.write("codec_config.yaml", codec.to_json());
  folder.write("tokenizer.json", tiny_tokenizer());
  folder.write(
      "tokenizer_config.json",
      R"({"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": null})");
  models::save_safetensors(folder.file("model.safetensors"), reader.tensors());
}

void make_golden_tiny(GoldenWeightReader& reader) {
  const models::WeightScope root(reader);
  const models::NemoLlm llm =
      models::parse_nemo_llm(core::ConfigReader::parse(tiny_llm_config(), "llm_config.json"));
  const auto codec = codecs::NanoCodecConfig::parse(
      core::ConfigReader::parse(tiny_codec_config(), "codec_config.yaml"));
  const models::NemoDuplexConfig config = models::parse_nemo_duplex(
      core::ConfigReader::parse(tiny_nemo_config(), "config.json"), llm, 2, 60, 0);
  const models::NemoPerception perception(config.perception, root.sub("perception"));
  const models::DuplexLm lm(config.lm, root);
  const codecs::NanoDecoder decoder(codec, root.sub("audio_codec"));
}

}  // namespace duet::test
