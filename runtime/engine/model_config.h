#pragma once
// What a model directory says before any weight is read (docs/model-format.md), and its tensors
// under the names the modules ask for. One reader for the engine, `duet describe`, `duet pack` and
// the trainer.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "codecs/neural/convnext_codec.h"
#include "codecs/neural/nano_codec.h"
#include "models/duplex_lm.h"
#include "models/nemo_duplex.h"
#include "models/tokenizer.h"
#include "models/weights/state_dict.h"
#include "models/weights/weight_reader.h"
#include "models/whisper_encoder.h"

namespace duet::engine {

enum class ModelKind { kBundled, kNemo };
enum class EncoderFamily { kWhisper, kNemo };
enum class CodecFamily { kConvNext, kNano };

struct ModelConfig {
  static constexpr int64_t kFormatVersion = 1;

  ModelKind kind = ModelKind::kBundled;
  std::string dir;
  std::string name, version, description, license;

  EncoderFamily encoder_family = EncoderFamily::kWhisper;
  models::WhisperEncoder::Config whisper;   ///< When encoder_family is kWhisper,
  models::NemoPerceptionConfig perception;  ///< when it is kNemo.

  /// text_pad, and for NeMo tie_text, are known only after load_model_tokenizer and
  /// load_model_tensors.
  models::DuplexLmConfig lm;
  models::LoraConfig lora;

  CodecFamily codec_family = CodecFamily::kConvNext;
  codecs::ConvNextCodecConfig convnext;
  codecs::NanoCodecConfig nano;
  double interruptibility =
      0.0;                 ///< Of the sampler (models/sampler.h), unless a session says otherwise.
  double eagerness = 0.0;  ///< The same, but of the model alone.
  std::vector<int64_t> silence_codes;  ///< Empty: the first said frame stands for silence.

  std::string tokenizer_file, ctc_tokenizer_file;  ///< Paths; the second empty when there is none.
  std::string bos_piece, eos_piece, pad_piece;  ///< Bundled models; NeMo's come from the tokenizer.

  /// The LM also hears the encoder's CTC posterior (WhisperSpeechEncoder): lm.user_width says so.
  bool has_ctc_input() const {
    return encoder_family == EncoderFamily::kWhisper && lm.user_width > whisper.top_width;
  }
  std::string config_file() const { return dir + "/config.json"; }
  std::string weights_file() const { return dir + "/model.safetensors"; }
  int64_t codec_sample_rate_hz() const;
  int64_t codec_samples_per_frame() const;
  int64_t num_codebooks() const;
};

/// Reads config.json and, for NeMo, llm_config.json and codec_config.yaml beside it. `overrides`:
/// "key=value" on config.json. Throws core::LoadError or core::ConfigError: unknown keys, sizes
/// that do not fit together, a codec step that is not 80 ms, another format_version.
ModelConfig read_model_config(const std::string& dir,
                              const std::vector<std::string>& overrides = {});

/// config.json of a bundled model. `training`: JSON text of the object of that name, or empty.
std::string bundled_config_json(const ModelConfig& config, const std::string& training = "");

struct ModelTokenizers {
  std::unique_ptr<models::Tokenizer> text, ctc;  ///< ctc may be nullptr.
  models::SpecialIds ids;  ///< pad, bos and eos of the text channel, all >= 0.
};
/// Loads the tokenizers and sets config.lm.text_pad. Throws core::LoadError: no such piece, more
/// pieces than rows.
ModelTokenizers load_model_tokenizers(ModelConfig& config);

/// All tensors as fp32 where they are floating: int8 scaled, LoRA merged, weight norm folded; sets
/// config.lm.tie_text of NeMo checkpoints that have no lm_head.weight. Throws core::LoadError.
models::TensorMap load_model_tensors(ModelConfig& config);

/// Tensor names that no module of the runtime asks for.
std::vector<std::string> ignorable_tensors(ModelKind kind);

/// Where the parts find their tensors: "encoder." or "perception.", "lm." or "", "codec.decoder."
/// or "audio_codec.".
struct PartPrefixes {
  std::string encoder, lm, codec;
};
PartPrefixes part_prefixes(ModelKind kind);

}  // namespace duet::engine
