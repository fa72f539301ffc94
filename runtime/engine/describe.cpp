#include "runtime/engine/describe.h"

#include <ATen/core/Tensor.h>

#include <cstdio>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "models/nemo_perception.h"
#include "models/weights/safetensors.h"
#include "runtime/core/error.h"
#include "runtime/engine/model_config.h"

namespace duet::engine {
namespace {

namespace fs = std::filesystem;

std::string text(const char* format, auto... values) {
  std::string out(static_cast<size_t>(std::snprintf(nullptr, 0, format, values...)), '\0');
  std::snprintf(out.data(), out.size() + 1, format, values...);
  return out;
}

long long ll(int64_t value) { return static_cast<long long>(value); }

// "a; b in FILE" of several tensors becomes one problem each, with the file.
void add_problems(Description& out, const core::Error& error) {
  out.problems.emplace_back(error.what());
}

template <typename Make>
auto attempt(Description& out, Make make) -> std::optional<decltype(make())> {
  try {
    return make();
  } catch (const core::Error& error) {
    add_problems(out, error);
  } catch (const std::exception& error) {
    const std::string what = error.what();  // LibTorch appends a stack trace
    out.problems.push_back(what.substr(0, what.find('\n')));
  }
  return std::nullopt;
}

std::string type_name(at::ScalarType type) {
  switch (type) {
    case at::kDouble: return "F64";
    case at::kFloat: return "F32";
    case at::kHalf: return "F16";
    case at::kBFloat16: return "BF16";
    case at::kLong: return "I64";
    case at::kInt: return "I32";
    case at::kShort: return "I16";
    case at::kChar: return "I8";
    case at::kByte: return "U8";
    case at::kBool: return "BOOL";
    default: return c10::toString(type);
  }
}

void count_stored(Description& out, const models::TensorMap& stored) {
  std::set<const void*> seen;  // tied tensors once
  for (const auto& [name, tensor] : stored) {
    if (tensor.numel() > 0 && !seen.insert(tensor.data_ptr()).second) continue;
    StoredTensors& row = out.stored[type_name(tensor.scalar_type())];
    ++row.count;
    row.bytes += static_cast<int64_t>(tensor.nbytes());
    const bool is_scale = name.ends_with(".scale") && stored.count(name.substr(0, name.size() - 6));
    if (!is_scale) out.num_values += tensor.numel();
  }
}

int64_t values_below(const models::TensorMap& tensors, const std::string& prefix,
                     const std::string& but = "") {
  int64_t sum = 0;
  for (const auto& [name, tensor] : tensors)
    if (name.starts_with(prefix) && (but.empty() || !name.starts_with(but))) sum += tensor.numel();
  return sum;
}

// Matrices only: what is multiplied once for each position.
int64_t matrix_values(const models::TensorMap& tensors, const std::string& prefix) {
  int64_t sum = 0;
  for (const auto& [name, tensor] : tensors)
    if (name.starts_with(prefix) && tensor.dim() >= 2) sum += tensor.numel();
  return sum;
}

int64_t lm_macs(const models::DuplexLmConfig& c) {
  const auto& l = c.llm;
  const int64_t attention = l.hidden * l.head_dim * (2 * l.heads + 2 * l.kv_heads);
  const int64_t context =
      2 * l.window * l.heads * l.head_dim;  // a full window; without one it grows with time
  const int64_t adapter = c.user_width > 0 ? c.user_width * l.hidden + l.hidden * l.hidden : 0;
  return l.layers * (attention + 3 * l.hidden * l.intermediate + context) + adapter +
         l.hidden * (c.text_vocab + c.num_codebooks * c.code_vocab);
}

int64_t convnext_macs(const models::TensorMap& tensors, const codecs::ConvNextCodecConfig& c,
                      const std::string& prefix) {
  return matrix_values(tensors, prefix + "input.") +
         matrix_values(tensors, prefix + "frame_blocks.") +
         matrix_values(tensors, prefix + "upsample.") +
         c.hops_per_frame * (matrix_values(tensors, prefix + "hop_blocks.") +
                             matrix_values(tensors, prefix + "head."));
}

// Convolutions run at the rate after their stage; a transposed one of stride r meets every input r
// times less often.
int64_t nano_macs(const models::TensorMap& tensors, const codecs::NanoCodecConfig& c,
                  const std::string& prefix) {
  const std::string decoder = prefix + "audio_decoder.";
  int64_t rate = 1, sum = matrix_values(tensors, decoder + "pre_conv.");
  for (size_t i = 0; i < c.decoder.rates.size(); ++i) {
    const std::string index = std::to_string(i) + ".";
    sum += rate * matrix_values(tensors, decoder + "up_sample_conv_layers." + index);
    rate *= c.decoder.rates[i];
    sum += rate * matrix_values(tensors, decoder + "res_layers." + index);
  }
  return sum + rate * matrix_values(tensors, decoder + "post_conv.");
}

void describe_encoder(Description& out, const ModelConfig& config, const models::TensorMap& tensors,
                      models::WeightReader& reader) {
  PartFigures part{.name = "encoder"};
  const std::string prefix = part_prefixes(config.kind).encoder;
  part.num_values = values_below(tensors, prefix);
  if (config.encoder_family == EncoderFamily::kWhisper) {
    const auto& c = config.whisper;
    part.architecture = text(
        "whisper: log-mel %lld -> 2 convolutions, %lld layers of %lld (%lld heads) at 50 Hz, %lld "
        "frames left "
        "-> %lld layers of %lld at 12.5 Hz, %lld left; CTC on %lld pieces",
        ll(c.mel_bins), ll(c.layers), ll(c.width), ll(c.heads), ll(c.left_frames), ll(c.top_layers),
        ll(c.top_width), ll(c.top_left), ll(c.ctc_pieces));
    part.delay_ms =
        1000.0 * models::WhisperEncoder::kDelaySamples / models::WhisperEncoder::kSampleRateHz;
    part.state_bytes =
        4 * 2 * (c.layers * c.left_frames * c.width + c.top_layers * c.top_left * c.top_width);
    attempt(out, [&] {
      const models::WhisperEncoder encoder(c, models::WeightScope(reader, prefix));
      part.macs_per_step = encoder.macs_per_step();
      return true;
    });
  } else {
    attempt(out, [&] {
      const auto& c = config.perception;
      part.architecture = text("nemo: log-mel, FastConformer of %lld layers, %s, to width %lld",
                               ll(c.encoder.conformer.num_layers),
                               c.adapter ? "conformer adapter" : "no adapter", ll(c.out_width));
      const models::NemoPerception encoder(c, models::WeightScope(reader, prefix));
      part.delay_ms = 1000.0 * static_cast<double>(encoder.lookahead_samples()) /
                      static_cast<double>(models::kUserSampleRateHz);
      part.state_bytes = encoder.initial_state(1)->num_bytes();
      part.macs_per_step = encoder.macs_per_step();
      return true;
    });
  }
  out.parts.push_back(part);
}

void describe_lm(Description& out, const ModelConfig& config, const models::TensorMap& tensors,
                 models::WeightReader& reader) {
  const auto& c = config.lm;
  PartFigures part{.name = "lm"};
  const PartPrefixes prefixes = part_prefixes(config.kind);
  part.num_values = values_below(tensors, prefixes.lm);
  if (prefixes.lm.empty())
    part.num_values -=
        values_below(tensors, prefixes.encoder) + values_below(tensors, prefixes.codec);
  part.architecture = text(
      "Llama: %lld layers of %lld, %lld heads (%lld kv) of %lld, feed-forward %lld; %s; text %lld, "
      "%lld x %lld codes",
      ll(c.llm.layers), ll(c.llm.hidden), ll(c.llm.heads), ll(c.llm.kv_heads), ll(c.llm.head_dim),
      ll(c.llm.intermediate),
      c.llm.window > 0 ? text("window %lld steps (%.0f s)", ll(c.llm.window),
                              static_cast<double>(c.llm.window) * 0.08)
                             .c_str()
                       : "no window",
      ll(c.text_vocab), ll(c.num_codebooks), ll(c.code_vocab));
  part.macs_per_step = lm_macs(c);
  if (c.llm.window == 0)
    out.remarks.emplace_back(
        "lm: no window in the configuration; attention over the past is not counted");
  attempt(out, [&] {
    const models::DuplexLm lm(c, models::WeightScope(reader, prefixes.lm));
    part.state_bytes = lm.initial_state(1).num_bytes();
    return true;
  });
  out.parts.push_back(part);
}

void describe_codec(Description& out, const ModelConfig& config, const models::TensorMap& tensors,
                    models::WeightReader& reader) {
  PartFigures part{.name = "codec"};
  const std::string prefix = part_prefixes(config.kind).codec;
  const bool is_convnext = config.codec_family == CodecFamily::kConvNext;
  const auto& levels = is_convnext ? config.convnext.levels : config.nano.levels;
  std::string level_list;
  for (const int64_t level : levels)
    level_list += (level_list.empty() ? "" : " ") + std::to_string(level);
  part.num_values = values_below(tensors, prefix);
  part.macs_per_step = is_convnext ? convnext_macs(tensors, config.convnext, prefix)
                                   : nano_macs(tensors, config.nano, prefix);
  part.architecture =
      text("%s: %lld x FSQ [%s], %lld Hz", is_convnext ? "ConvNeXt and inverse STFT" : "NanoCodec",
           ll(config.num_codebooks()), level_list.c_str(), ll(config.codec_sample_rate_hz()));
  attempt(out, [&] {
    std::unique_ptr<codecs::CodecDecoder> decoder;
    const models::WeightScope scope(reader, prefix);
    if (is_convnext)
      decoder = std::make_unique<codecs::ConvNextDecoder>(config.convnext, scope);
    else
      decoder = std::make_unique<codecs::NanoDecoder>(config.nano, scope);
    part.state_bytes = decoder->initial_state(1)->num_bytes();
    part.delay_ms = 1000.0 * static_cast<double>(decoder->overlap_samples()) /
                    static_cast<double>(decoder->sample_rate_hz());
    return true;
  });
  out.parts.push_back(part);
}

}  // namespace

Description describe_model(const std::string& dir, const std::vector<std::string>& overrides) {
  Description out;
  out.dir = dir;
  std::error_code ignored;
  for (const auto& entry : fs::recursive_directory_iterator(dir, ignored))
    if (entry.is_regular_file(ignored))
      out.file_bytes += static_cast<int64_t>(entry.file_size(ignored));
  std::optional<ModelConfig> config =
      attempt(out, [&] { return read_model_config(dir, overrides); });
  const std::string weights_file = config ? config->weights_file() : dir + "/model.safetensors";
  const auto stored = attempt(out, [&] { return models::load_safetensors(weights_file); });
  if (stored) count_stored(out, *stored);
  if (!config) return out;

  out.kind = config->kind == ModelKind::kNemo ? "NeMo bundle" : "bundled, format 1";
  out.name = config->name;
  out.version = config->version;
  out.description = config->description;
  out.license = config->license;
  out.out_sample_rate_hz = config->codec_sample_rate_hz();
  out.out_step_samples = config->codec_samples_per_frame();
  out.num_codebooks = config->num_codebooks();
  attempt(out, [&] { return load_model_tokenizers(*config).ids.pad; });
  if (!stored) return out;
  const auto tensors = attempt(out, [&] { return load_model_tensors(*config); });
  if (!tensors) return out;
  for (const auto& entry : *tensors) out.weight_bytes += 4 * entry.second.numel();

  models::TensorMapReader reader(*tensors, weights_file, ignorable_tensors(config->kind));
  describe_encoder(out, *config, *tensors, reader);
  describe_lm(out, *config, *tensors, reader);
  describe_codec(out, *config, *tensors, reader);
  attempt(out, [&] {
    reader.finish();
    return true;
  });
  return out;
}

std::string description_text(const Description& d) {
  std::string out =
      text("%s %s  (%s)\n", d.name.empty() ? d.dir.c_str() : d.name.c_str(), d.version.c_str(),
           d.kind.empty() ? "unreadable configuration" : d.kind.c_str());
  if (!d.description.empty()) out += d.description + "\n";
  if (!d.license.empty()) out += "licence: " + d.license + "\n";
  const auto mb = [](int64_t bytes) { return static_cast<double>(bytes) * 1e-6; };
  out += text("files %.1f MB, weights in memory %.1f MB (fp32), %.2f million values\n",
              mb(d.file_bytes), mb(d.weight_bytes), static_cast<double>(d.num_values) * 1e-6);
  if (d.out_sample_rate_hz > 0)
    out += text(
        "rates: %lld Hz in, %lld Hz out, a step of 80 ms = 1280 samples in, %lld out and %lld "
        "codes\n",
        ll(d.in_sample_rate_hz), ll(d.out_sample_rate_hz), ll(d.out_step_samples),
        ll(d.num_codebooks));
  if (!d.parts.empty())
    out += text("\n%-8s %10s %12s %12s %9s\n", "part", "M values", "MMAC/step", "state kB", "ms");
  int64_t macs = 0, state = 0;
  for (const PartFigures& part : d.parts) {
    out += text(
        "%-8s %10.2f %12.1f %12.1f %9.1f  %s\n", part.name.c_str(),
        static_cast<double>(part.num_values) * 1e-6, static_cast<double>(part.macs_per_step) * 1e-6,
        static_cast<double>(part.state_bytes) * 1e-3, part.delay_ms, part.architecture.c_str());
    macs += part.macs_per_step;
    state += part.state_bytes;
  }
  if (!d.parts.empty())
    out += text(
        "%-8s %10s %12.1f %12.1f            (ms: look-ahead of the encoder; overlap of the codec, "
        "no delay)\n",
        "all", "", static_cast<double>(macs) * 1e-6, static_cast<double>(state) * 1e-3);
  if (!d.stored.empty()) out += text("\n%-8s %10s %12s\n", "stored", "tensors", "MB");
  for (const auto& [type, row] : d.stored)
    out += text("%-8s %10lld %12.2f\n", type.c_str(), ll(row.count), mb(row.bytes));
  for (const std::string& remark : d.remarks) out += "note: " + remark + "\n";
  if (d.problems.empty()) return out + "\nvalid: every tensor is there, fits and is finite\n";
  out += text("\n%zu problem%s:\n", d.problems.size(), d.problems.size() == 1 ? "" : "s");
  for (const std::string& problem : d.problems) out += "  " + problem + "\n";
  return out;
}

std::string description_json(const Description& d) {
  using Json = nlohmann::ordered_json;
  Json parts = Json::array(), stored = Json::object();
  for (const PartFigures& part : d.parts)
    parts.push_back({{"name", part.name},
                     {"architecture", part.architecture},
                     {"num_values", part.num_values},
                     {"macs_per_step", part.macs_per_step},
                     {"state_bytes", part.state_bytes},
                     {"delay_ms", part.delay_ms}});
  for (const auto& [type, row] : d.stored)
    stored[type] = {{"count", row.count}, {"bytes", row.bytes}};
  const Json json = {{"dir", d.dir},
                     {"kind", d.kind},
                     {"name", d.name},
                     {"version", d.version},
                     {"license", d.license},
                     {"file_bytes", d.file_bytes},
                     {"weight_bytes", d.weight_bytes},
                     {"num_values", d.num_values},
                     {"in_sample_rate_hz", d.in_sample_rate_hz},
                     {"out_sample_rate_hz", d.out_sample_rate_hz},
                     {"out_step_samples", d.out_step_samples},
                     {"num_codebooks", d.num_codebooks},
                     {"parts", parts},
                     {"stored", stored},
                     {"remarks", d.remarks},
                     {"problems", d.problems}};
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace duet::engine
