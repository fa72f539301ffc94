#pragma once
// Files of tiny NeMo duplex models: the golden one and variants of it.

#include <string>

#include "codecs/neural/nano_codec.h"
#include "models/duplex_lm.h"
#include "tests/support/golden_weights.h"
#include "tests/support/temp_dir.h"

namespace duet::test {

/// config.json of the golden tiny model.
std::string tiny_nemo_config();
/// config.json of its language model: H 48, 2 layers, 4 heads, 2 kv heads of 12, vocabulary 40.
std::string tiny_llm_config();
/// model_config.yaml of its codec: 2 groups x [5,4,3], up-sampling 5 x 3, 15 samples a frame.
std::string tiny_codec_config();
/// A tokenizer.json of 40 pieces with unk 0, bos 1, eos 2.
std::string tiny_tokenizer();

/// A bundle with that config.json: the golden tiny model with a codec of 1764 samples a frame, so
/// that a step is 80 ms on both sides.
void write_tiny_bundle(const support::TempDir& folder, const std::string& config);

/// Makes every tensor the golden tiny model asks for by building it.
void make_golden_tiny(GoldenWeightReader& reader);

}  // namespace duet::test
