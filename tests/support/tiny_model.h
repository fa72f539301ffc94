#pragma once
// A whole bundled model of a few thousand values in a folder, for tests of loading, describing and
// running.

#include <string>

#include "models/weights/weight_reader.h"
#include "runtime/engine/model_config.h"

namespace duet::test {

/// The configuration of the tiny model; tokenizers are those of tests/data/tokenizer.
engine::ModelConfig tiny_model_config();

/// Its tensors, made by the golden rules (golden_weights.h), codec encoder included.
models::TensorMap tiny_model_tensors();

/// Both written to `dir` in the bundled format.
void write_tiny_model(const std::string& dir);

}  // namespace duet::test
