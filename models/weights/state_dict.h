#pragma once
// What has to be done to a checkpoint's names and values before modules can ask for them: weight
// norm folded, LoRA merged, prefixes of `.nemo` files changed to the ones of the whole model.
// Source: nemo-duplex-s2s 1.3, 1.5, 7.3.

#include <string>
#include <utility>
#include <vector>

#include "models/weights/weight_reader.h"

namespace duet::models {

/// Replaces every pair X.weight_g / X.weight_v, or X.parametrizations.weight.original0 / original1,
/// by X.weight = g v / |v|, the norm over all dimensions but the first, in fp32. Folded weights
/// stay as they are. Throws core::LoadError: a half missing, both spellings, g not [R, 1, ...].
/// `source` names the file.
void fold_weight_norm(TensorMap& tensors, const std::string& source);

struct LoraConfig {
  double alpha = 1.0;
  bool use_rslora = false;
};

/// Replaces every X.base_layer.weight, X.lora_A.default.weight [r, in], X.lora_B.default.weight
/// [out, r] by X.weight = base + alpha / r B A (alpha / sqrt(r) with rslora), in fp32, and renames
/// the prefix "llm.base_model.model." to "llm.". Does nothing to checkpoints without LoRA. Throws
/// core::LoadError: halves missing, shapes that do not fit, other adapters (embeddings, DoRA).
void merge_lora(TensorMap& tensors, const LoraConfig& config, const std::string& source);

/// Names that start with `from` start with `to` instead (first rule that fits); names no rule fits
/// are left out when `drop_others`, else kept.
TensorMap rename_prefixes(const TensorMap& tensors,
                          const std::vector<std::pair<std::string, std::string>>& rules,
                          bool drop_others);

/// The tensors of a codec's or an ASR model's `.nemo` file under the names they have in a whole
/// duplex model: audio_codec.{audio_encoder,audio_decoder,vector_quantizer}.*;
/// perception.{encoder,preprocessor}.*. The rest (discriminator, decoder, joint, losses) is left
/// out.
TensorMap duplex_names_of_codec(const TensorMap& tensors);
TensorMap duplex_names_of_asr(const TensorMap& tensors);

}  // namespace duet::models
