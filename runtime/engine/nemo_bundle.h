#pragma once
// Loads a NeMo duplex bundle: the folder that save_pretrained wrote plus llm_config.json, a
// tokenizer and codec_config.yaml (docs/model-format.md section 2). Every unknown, missing,
// misshapen or non-finite tensor and every unknown config key is an error; all of a kind are
// reported at once.

#include <memory>
#include <optional>
#include <string>

#include "codecs/neural/nano_codec.h"
#include "models/duplex_lm.h"
#include "models/nemo_duplex.h"
#include "models/nemo_perception.h"
#include "models/tokenizer.h"

namespace duet::engine {

struct NemoBundleOptions {
  /// An entry of att_context_size when the encoder was trained with several; default: the first.
  std::optional<models::nn::ChunkContext> context;
  /// Take the codec from codec.nemo (fp32) instead of the copy in model.safetensors (often rounded
  /// to bf16).
  bool has_codec_of_nemo_file = false;
};

struct NemoBundle {
  models::NemoDuplexConfig config;
  std::unique_ptr<models::NemoPerception> perception;
  std::unique_ptr<models::DuplexLm> lm;
  std::unique_ptr<codecs::NanoDecoder> codec;
  std::unique_ptr<models::Tokenizer> tokenizer;
};

/// config.json without `format_version` and with `perception`. False when there is no readable
/// config.json.
bool is_nemo_bundle(const std::string& folder);

/// Throws core::LoadError or core::ConfigError.
NemoBundle load_nemo_bundle(const std::string& folder, const NemoBundleOptions& options = {});

}  // namespace duet::engine
