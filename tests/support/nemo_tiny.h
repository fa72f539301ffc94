#pragma once
// Files of tiny NeMo duplex models: the golden one and variants of it.

#include <string>

#include "codecs/neural/nano_codec.h"
#include "models/duplex_lm.h"
#include "tests/support/golden_weights.h"

namespace duet::test {

/// config.json of the golden tiny model.
std::string tiny_nemo_config();
/// config.json of its language model: H 48, 2 layers, 4 heads, 2 kv heads of 12, vocabulary 40.
std::string tiny_llm_config();
/// model_config.yaml of its codec: 2 groups x [5,4,3], up-sampling 5 x 3, 15 samples a frame.
std::string tiny_codec_config();
/// A tokenizer.json of 40 pieces with unk 0, bos 1, eos 2.
std::string tiny_tokenizer();

/// Makes every tensor the golden tiny model asks for by building it.
void make_golden_tiny(GoldenWeightReader& reader);

}  // namespace duet::test
