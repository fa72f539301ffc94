#include "runtime/engine/model_config.h"

#include <filesystem>
#include <nlohmann/json.hpp>

#include "models/weights/quantised.h"
#include "models/weights/safetensors.h"
#include "runtime/core/config_reader.h"
#include "runtime/core/error.h"

namespace duet::engine {
namespace {

namespace fs = std::filesystem;
using core::ConfigReader;
using core::IntRange;
using Json = nlohmann::ordered_json;

constexpr int64_t kStepMs = 80;
constexpr IntRange kSize = {1, int64_t{1} << 24};

models::WhisperEncoder::Config read_whisper(const ConfigReader& node) {
  models::WhisperEncoder::Config out;
  out.mel_bins = node.get_int("mel_bins", out.mel_bins, kSize);
  out.width = node.get_int("width", out.width, kSize);
  out.heads = node.get_int("heads", out.heads, kSize);
  out.layers = node.get_int("layers", out.layers, IntRange{1, 1000});
  out.left_frames = node.get_int("left_frames", out.left_frames, kSize);
  out.positions = node.get_int("positions", out.positions, kSize);
  out.top_width = node.get_int("top_width", out.top_width, kSize);
  out.top_heads = node.get_int("top_heads", out.top_heads, kSize);
  out.top_layers = node.get_int("top_layers", out.top_layers, IntRange{0, 1000});
  out.top_left = node.get_int("top_left", out.top_left, kSize);
  out.ctc_pieces = node.get_int("ctc_pieces", out.ctc_pieces, kSize);
  out.validate();
  return out;
}

Json write_whisper(const models::WhisperEncoder::Config& c) {
  return {{"family", "whisper"},        {"mel_bins", c.mel_bins},   {"width", c.width},
          {"heads", c.heads},           {"layers", c.layers},       {"left_frames", c.left_frames},
          {"positions", c.positions},   {"top_width", c.top_width}, {"top_heads", c.top_heads},
          {"top_layers", c.top_layers}, {"top_left", c.top_left},   {"ctc_pieces", c.ctc_pieces}};
}

models::DuplexLmConfig read_lm(const ConfigReader& node) {
  models::DuplexLmConfig out;
  out.llm.hidden = node.get_int("hidden", out.llm.hidden, kSize);
  out.llm.layers = node.get_int("layers", out.llm.layers, IntRange{1, 1000});
  out.llm.heads = node.get_int("heads", out.llm.heads, kSize);
  out.llm.kv_heads = node.get_int("kv_heads", out.llm.kv_heads, kSize);
  out.llm.head_dim = node.get_int("head_dim", out.llm.head_dim, kSize);
  out.llm.intermediate = node.get_int("intermediate", out.llm.intermediate, kSize);
  out.llm.rope_theta =
      node.get_double("rope_theta", out.llm.rope_theta, core::DoubleRange{1.0, 1e12});
  out.llm.rms_eps = node.get_double("rms_eps", out.llm.rms_eps, core::DoubleRange{0.0, 1.0});
  out.llm.window = node.get_int("window", out.llm.window, IntRange{0, 1'000'000});
  out.llm.sinks = node.get_int("sinks", out.llm.sinks, IntRange{0, 1'000'000});
  out.llm.attention_bias = node.get_bool("attention_bias", out.llm.attention_bias);
  out.text_vocab = node.get_int("text_vocab", out.text_vocab, kSize);
  out.num_codebooks = node.get_int("num_codebooks", out.num_codebooks, IntRange{1, 64});
  out.code_vocab = node.get_int("code_vocab", out.code_vocab, kSize);
  out.user_width = node.get_int("user_width", out.user_width, IntRange{0, kSize.max});
  out.user_channel_weight = node.get_double("user_channel_weight", out.user_channel_weight);
  out.tie_text = node.get_bool("tie_text", out.tie_text);
  out.tie_audio = node.get_bool("tie_audio", out.tie_audio);
  out.validate();
  return out;
}

Json write_lm(const models::DuplexLmConfig& c) {
  return {{"hidden", c.llm.hidden},
          {"layers", c.llm.layers},
          {"heads", c.llm.heads},
          {"kv_heads", c.llm.kv_heads},
          {"head_dim", c.llm.head_dim},
          {"intermediate", c.llm.intermediate},
          {"rope_theta", c.llm.rope_theta},
          {"rms_eps", c.llm.rms_eps},
          {"window", c.llm.window},
          {"sinks", c.llm.sinks},
          {"attention_bias", c.llm.attention_bias},
          {"text_vocab", c.text_vocab},
          {"num_codebooks", c.num_codebooks},
          {"code_vocab", c.code_vocab},
          {"user_width", c.user_width},
          {"user_channel_weight", c.user_channel_weight},
          {"tie_text", c.tie_text},
          {"tie_audio", c.tie_audio}};
}

Json write_convnext(const codecs::ConvNextCodecConfig& c) {
  return {{"family", "convnext"},
          {"sample_rate_hz", c.sample_rate_hz},
          {"hop_samples", c.hop_samples},
          {"window_samples", c.window_samples},
          {"hops_per_frame", c.hops_per_frame},
          {"num_groups", c.num_groups},
          {"levels", c.levels},
          {"kernel", c.kernel},
          {"num_mels", c.num_mels},
          {"encoder_width", c.encoder_width},
          {"encoder_blocks", c.encoder_blocks},
          {"decoder_width", c.decoder_width},
          {"decoder_frame_blocks", c.decoder_frame_blocks},
          {"decoder_hop_blocks", c.decoder_hop_blocks}};
}

int64_t num_codes(const std::vector<int64_t>& levels) {
  int64_t product = 1;
  for (const int64_t level : levels) product *= level;
  return product;
}

// What no part can check alone.
void check_parts(const ModelConfig& config) {
  const auto fail = [&](const char* subject, const std::string& expected, int64_t found) {
    throw core::ConfigError({.subject = subject,
                             .expected = expected,
                             .found = std::to_string(found),
                             .file = config.config_file(),
                             .hint = {}});
  };
  const bool is_convnext = config.codec_family == CodecFamily::kConvNext;
  const int64_t codes = num_codes(is_convnext ? config.convnext.levels : config.nano.levels);
  if (config.lm.num_codebooks != config.num_codebooks())
    fail("lm.num_codebooks", std::to_string(config.num_codebooks()) + " as the codec",
         config.lm.num_codebooks);
  if (config.lm.code_vocab != codes + 3)
    fail(
        "lm.code_vocab",
        std::to_string(codes + 3) + " (the codec's " + std::to_string(codes) + " codes and 3 more)",
        config.lm.code_vocab);
  if (config.codec_samples_per_frame() * 1000 != config.codec_sample_rate_hz() * kStepMs)
    fail(
        "codec",
        std::to_string(config.codec_sample_rate_hz() * kStepMs / 1000) + " samples a frame (80 ms)",
        config.codec_samples_per_frame());
  if (!config.silence_codes.empty() &&
      static_cast<int64_t>(config.silence_codes.size()) != config.num_codebooks())
    fail("codec.silence_codes",
         "one for each of " + std::to_string(config.num_codebooks()) + " codebooks",
         static_cast<int64_t>(config.silence_codes.size()));
  for (const int64_t code : config.silence_codes)
    if (code >= codes) fail("codec.silence_codes", "codes below " + std::to_string(codes), code);
}

ModelConfig read_bundled(const ConfigReader& file, ModelConfig config) {
  if (const int64_t found = file.get_int("format_version"); found != ModelConfig::kFormatVersion)
    file.fail("format_version", std::to_string(ModelConfig::kFormatVersion), std::to_string(found),
              "made for another version of duet");
  config.name = file.get_string("name");
  config.version = file.get_string("version", "");
  config.description = file.get_string("description", "");
  config.license = file.get_string("license", "");
  const ConfigReader encoder = file.sub("encoder");
  encoder.get_choice("family", {"whisper"});
  config.whisper = read_whisper(encoder);
  config.lm = read_lm(file.sub("lm"));
  const ConfigReader codec = file.sub("codec");
  codec.get_choice("family", {"convnext"});
  config.convnext = codecs::ConvNextCodecConfig::parse(codec);
  config.interruptibility =
      file.get_double("interruptibility", 0.0, core::DoubleRange{-20.0, 20.0});
  config.eagerness = file.get_double("eagerness", 0.0, core::DoubleRange{-20.0, 20.0});
  config.silence_codes = codec.get_int_list("silence_codes", {}, IntRange{0, kSize.max});
  const ConfigReader tokenizer = file.sub("tokenizer");
  config.tokenizer_file = config.dir + "/" + tokenizer.get_string("file");
  config.bos_piece = tokenizer.get_string("bos", "<s>");
  config.eos_piece = tokenizer.get_string("eos", "</s>");
  config.pad_piece = tokenizer.get_string("pad", "<sil>");
  if (file.has("ctc_tokenizer"))
    config.ctc_tokenizer_file = config.dir + "/" + file.sub("ctc_tokenizer").get_string("file");
  file.ignore({"training"});
  file.finish();
  const int64_t width = config.whisper.top_width,
                with_posterior = width + config.whisper.ctc_pieces + 1;
  if (config.lm.user_width != width && config.lm.user_width != with_posterior &&
      !(config.lm.user_width == 0 && config.lm.llm.hidden == width))
    file.sub("lm").fail("user_width",
                        std::to_string(width) + " as encoder.top_width, or " +
                            std::to_string(with_posterior) + " with the CTC posterior beside it",
                        std::to_string(config.lm.user_width));
  return config;
}

// text_pad stays 0 and tie_text what llm_config.json says until tokenizer and tensors are there.
ModelConfig read_nemo_model(const ConfigReader& file, ModelConfig config) {
  config.encoder_family = EncoderFamily::kNemo;
  config.codec_family = CodecFamily::kNano;
  config.nano =
      codecs::NanoCodecConfig::parse(ConfigReader::load_file(config.dir + "/codec_config.yaml"));
  const ConfigReader llm = ConfigReader::load_file(config.dir + "/llm_config.json");
  models::NemoDuplexConfig nemo =
      models::parse_nemo_duplex(file, models::parse_nemo_llm(llm), config.nano.num_groups,
                                num_codes(config.nano.levels), /*text_pad=*/0);
  llm.finish();
  file.finish();
  config.name = fs::path(config.dir).filename().string();
  config.description = std::move(nemo.name);
  config.perception = std::move(nemo.perception);
  config.lm = nemo.lm;
  config.lora = nemo.lora.value_or(models::LoraConfig{});
  config.tokenizer_file = config.dir;
  return config;
}

}  // namespace

int64_t ModelConfig::codec_sample_rate_hz() const {
  return codec_family == CodecFamily::kConvNext ? convnext.sample_rate_hz : nano.sample_rate_hz;
}
int64_t ModelConfig::codec_samples_per_frame() const {
  return codec_family == CodecFamily::kConvNext ? convnext.samples_per_frame()
                                                : nano.samples_per_frame();
}
int64_t ModelConfig::num_codebooks() const {
  return codec_family == CodecFamily::kConvNext ? convnext.num_groups : nano.num_groups;
}

ModelConfig read_model_config(const std::string& dir, const std::vector<std::string>& overrides) {
  ModelConfig config;
  config.dir = dir;
  const ConfigReader file = ConfigReader::load_file(config.config_file(), overrides);
  config.kind = !file.has("format_version") && file.has("perception") ? ModelKind::kNemo
                                                                      : ModelKind::kBundled;
  config = config.kind == ModelKind::kNemo ? read_nemo_model(file, std::move(config))
                                           : read_bundled(file, std::move(config));
  check_parts(config);
  return config;
}

std::string bundled_config_json(const ModelConfig& config, const std::string& training) {
  Json json = {{"format_version", ModelConfig::kFormatVersion},
               {"name", config.name},
               {"version", config.version},
               {"description", config.description},
               {"license", config.license},
               {"encoder", write_whisper(config.whisper)},
               {"lm", write_lm(config.lm)},
               {"codec", write_convnext(config.convnext)}};
  if (config.interruptibility != 0.0) json["interruptibility"] = config.interruptibility;
  if (config.eagerness != 0.0) json["eagerness"] = config.eagerness;
  json["codec"]["silence_codes"] = config.silence_codes;
  json["tokenizer"] = {{"file", fs::path(config.tokenizer_file).filename().string()},
                       {"bos", config.bos_piece},
                       {"eos", config.eos_piece},
                       {"pad", config.pad_piece}};
  if (!config.ctc_tokenizer_file.empty())
    json["ctc_tokenizer"] = {{"file", fs::path(config.ctc_tokenizer_file).filename().string()}};
  if (!training.empty()) json["training"] = Json::parse(training);
  return json.dump(2) + "\n";
}

ModelTokenizers load_model_tokenizers(ModelConfig& config) {
  ModelTokenizers out;
  out.text = models::load_tokenizer(config.tokenizer_file);
  const auto fail = [&](const std::string& subject, const std::string& expected,
                        const std::string& found, const std::string& file) {
    throw core::LoadError(
        {.subject = subject, .expected = expected, .found = found, .file = file, .hint = {}});
  };
  if (config.kind == ModelKind::kNemo) {
    out.ids = out.text->special();
    out.ids.pad = out.text->text_pad();
    if (out.ids.bos < 0 || out.ids.eos < 0)
      fail("tokenizer", "a bos and an eos token", "none declared", config.tokenizer_file);
  } else {
    const auto id = [&](const std::string& piece) {
      const auto found = out.text->piece_to_id(piece);
      if (!found) fail("tokenizer", "a piece " + piece, "none", config.tokenizer_file);
      return found.value_or(0);
    };
    out.ids = {.bos = id(config.bos_piece),
               .eos = id(config.eos_piece),
               .unk = out.text->special().unk,
               .pad = id(config.pad_piece)};
    if (out.text->vocab_size() > config.lm.text_vocab)
      fail("tokenizer", std::to_string(config.lm.text_vocab) + " pieces at most (lm.text_vocab)",
           std::to_string(out.text->vocab_size()), config.tokenizer_file);
  }
  config.lm.text_pad = out.ids.pad;
  if (config.ctc_tokenizer_file.empty()) return out;
  out.ctc = models::load_tokenizer(config.ctc_tokenizer_file);
  if (out.ctc->vocab_size() != config.whisper.ctc_pieces)
    fail("ctc_tokenizer",
         std::to_string(config.whisper.ctc_pieces) + " pieces (encoder.ctc_pieces)",
         std::to_string(out.ctc->vocab_size()), config.ctc_tokenizer_file);
  return out;
}

models::TensorMap load_model_tensors(ModelConfig& config) {
  models::TensorMap tensors = models::load_weights(config.weights_file());
  if (config.kind == ModelKind::kBundled) return tensors;
  models::merge_lora(tensors, config.lora, config.weights_file());
  models::fold_weight_norm(tensors, config.weights_file());
  // An exporter that notes the tie in the metadata gives lm_head.weight back as an alias: not
  // missing, and the same values.
  config.lm.tie_text = tensors.count("lm_head.weight") == 0;
  return tensors;
}

std::vector<std::string> ignorable_tensors(ModelKind kind) {
  if (kind == ModelKind::kBundled) return {"codec.encoder.*"};
  std::vector<std::string> out = models::nemo_ignorable_tensors();
  out.emplace_back("_control_codes");
  return out;
}

PartPrefixes part_prefixes(ModelKind kind) {
  if (kind == ModelKind::kBundled) return {"encoder.", "lm.", "codec.decoder."};
  return {"perception.", "", "audio_codec."};
}

}  // namespace duet::engine
