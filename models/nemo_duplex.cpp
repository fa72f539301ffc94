#include "models/nemo_duplex.h"

#include "runtime/core/error.h"

namespace duet::models {
namespace {

constexpr int64_t kSinks =
    4;  ///< First positions kept when the past slides, as in StreamingLLM (arXiv:2309.17453).

/// A rope block is fine when it says "as usual".
void refuse_rope_scaling(const core::ConfigReader& config, const char* key) {
  if (!config.has(key)) return;
  const core::ConfigReader rope = config.sub(key);
  const char* type_key = rope.has("rope_type") ? "rope_type" : "type";
  const std::string type = rope.get_string(type_key, "default");
  if (type != "default")
    rope.fail(type_key, "'default'", "'" + type + "'", "RoPE scaling is not supported");
  rope.ignore_rest();
}

double parse_rope_theta(const core::ConfigReader& config) {
  constexpr double kDefault = 10000.0;
  refuse_rope_scaling(config, "rope_scaling");
  if (config.has("rope_parameters")) {  // transformers 5
    const double theta =
        config.sub("rope_parameters").get_double("rope_theta", kDefault, {1.0, 1e12});
    refuse_rope_scaling(config, "rope_parameters");
    return theta;
  }
  return config.get_double("rope_theta", kDefault, {1.0, 1e12});
}

void refuse_true(const core::ConfigReader& config, const char* key, const char* why) {
  if (config.get_bool(key, false)) config.fail(key, "false", "true", why);
}

}  // namespace

NemoLlm parse_nemo_llm(const core::ConfigReader& config) {
  NemoLlm out;
  const core::IntRange size{1, 1 << 24};
  const std::string type = config.get_choice("model_type", "llama", {"llama", "qwen2"});
  nn::LlamaConfig& llama = out.llama;
  llama.hidden = config.get_int("hidden_size", size);
  llama.layers = config.get_int("num_hidden_layers", core::IntRange{1, 1000});
  llama.heads = config.get_int("num_attention_heads", core::IntRange{1, 1024});
  llama.kv_heads = config.get_int("num_key_value_heads", llama.heads, {1, 1024});
  llama.head_dim = config.get_int("head_dim", llama.hidden / llama.heads, size);
  llama.intermediate = config.get_int("intermediate_size", size);
  llama.rms_eps = config.get_double("rms_norm_eps", 1e-6, {0.0, 1.0});
  llama.rope_theta = parse_rope_theta(config);
  const std::string activation = config.get_string("hidden_act", "silu");
  if (activation != "silu") config.fail("hidden_act", "'silu'", "'" + activation + "'");
  llama.attention_bias = type == "qwen2";
  if (type == "llama")
    refuse_true(config, "attention_bias", "Llama models with attention biases are not supported");
  refuse_true(config, "mlp_bias", "biases in the feed-forward layers are not supported");
  refuse_true(config, "use_sliding_window", "");
  llama.window = config.get_int("max_position_embeddings", 2048, {8, 1 << 24});
  llama.sinks = kSinks;
  out.vocab = config.get_int("vocab_size", size);
  out.is_tied = config.get_bool("tie_word_embeddings", false);
  config.ignore_rest();  // generation, training and bookkeeping of transformers
  llama.validate();
  return out;
}

NemoDuplexConfig parse_nemo_duplex(const core::ConfigReader& config, const NemoLlm& llm,
                                   int64_t num_codebooks, int64_t num_codes, int64_t text_pad,
                                   std::optional<nn::ChunkContext> context) {
  if (config.has("speech_decoder"))
    config.fail("speech_decoder", "a DuplexS2SModel without such a block",
                "a DuplexS2SSpeechDecoderModel",
                "models that make codes in a second transformer are not supported");
  NemoDuplexConfig out;
  out.perception = NemoPerceptionConfig::parse(config.sub("perception"), context);
  out.name = "NeMo duplex, LLM " + config.get_string("pretrained_llm", "unknown");
  out.lm.llm = llm.llama;
  out.lm.text_vocab = llm.vocab;
  out.lm.tie_text = llm.is_tied;
  out.lm.num_codebooks = num_codebooks;
  out.lm.code_vocab = num_codes + 3;
  out.lm.text_pad = text_pad;
  out.lm.user_channel_weight =
      config.get_double("duplex_user_channel_weight", 1.0, {-1000.0, 1000.0});
  if (config.has("lora")) {
    const core::ConfigReader lora = config.sub("lora");
    out.lora = LoraConfig{lora.get_double("lora_alpha", 8.0, {0.0, 1e6}),
                          lora.get_bool("use_rslora", false)};
    refuse_true(lora, "use_dora", "DoRA is not supported");
    lora.ignore_rest();
  }
  // Where the parts came from, and training.
  config.ignore({"pretrained_llm", "pretrained_audio_codec", "pretrained_asr", "pretrained_weights",
                 "scoring_asr", "audio_loss_weight", "text_loss_weight", "freeze_params",
                 "prevent_freeze_params", "optimizer", "lr_scheduler", "torch_dtype", "dtype",
                 "_target_", "target", "audio_save_path", "custom_audio_codec"});
  const int64_t width = out.perception.out_width;
  if (width != llm.llama.hidden)
    config.sub("perception")
        .fail("output_dim", std::to_string(llm.llama.hidden) + " (hidden_size of the LLM)",
              std::to_string(width));
  out.lm.validate();
  return out;
}

const std::vector<std::string>& nemo_ignorable_tensors() {
  static const std::vector<std::string> names{
      "audio_codec.audio_encoder.*", "audio_codec.mel_loss_fn.*", "audio_codec.stft_loss_fn.*",
      "*.num_batches_tracked"};
  return names;
}

}  // namespace duet::models
