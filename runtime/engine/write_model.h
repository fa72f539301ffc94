#pragma once
// Writing a bundled model directory (docs/model-format.md), for the trainer and `duet pack`.

#include <string>

#include "models/weights/quantised.h"
#include "runtime/engine/model_config.h"

namespace duet::engine {

/// Writes config.json, model.safetensors (int8 rows) and copies of the tokenizer files into `dir`,
/// which is made when missing. config.json comes last: a directory with it is complete. `tensors`:
/// fp32, names with the prefixes of part_prefixes, plus "codec.encoder.*". `training`: JSON text
/// for the key of that name, or empty. Throws core::Error when writing fails or a tensor is not
/// finite; core::ConfigError for a config that is not bundled.
void write_bundled_model(const ModelConfig& config, const models::TensorMap& tensors,
                         const std::string& dir, const std::string& training = "",
                         const models::QuantiseOptions& options = {});

}  // namespace duet::engine
