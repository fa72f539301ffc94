#pragma once
// What a NeMo duplex checkpoint is made of, read from its config.json and from the config.json of
// its language model. Source: NeMo DuplexS2SModel
// (nemo/collections/speechlm2/models/duplex_s2s_model.py), transformers LlamaConfig. Refused with a
// message: DuplexS2SSpeechDecoderModel (codes from a second transformer), RoPE scaling, biases
// other than Qwen2's, and everything models/nemo_encoder.h refuses.

#include <optional>
#include <string>
#include <vector>

#include "models/duplex_lm.h"
#include "models/nemo_perception.h"
#include "models/nn/llama.h"
#include "models/weights/state_dict.h"
#include "runtime/core/config_reader.h"

namespace duet::models {

struct NemoDuplexConfig {
  NemoPerceptionConfig perception;
  DuplexLmConfig lm;
  std::optional<LoraConfig> lora;  ///< The `lora` block.
  std::string name;                ///< "NeMo duplex, LLM <pretrained_llm>".
};

/// A Hugging Face config.json of model_type llama or qwen2. Positions beyond
/// max_position_embeddings slide: the window is that long and the first four positions stay (the
/// model was trained without a window). Also gives the vocabulary and whether the tables are tied.
/// Throws core::ConfigError.
struct NemoLlm {
  nn::LlamaConfig llama;
  int64_t vocab = 0;
  bool is_tied = false;
};
NemoLlm parse_nemo_llm(const core::ConfigReader& config);

/// `config`: config.json of the model. K codebooks of `num_codes` codes come from the codec,
/// `text_pad` from the tokenizer. `context`: see NemoEncoderConfig::parse. Throws
/// core::ConfigError.
NemoDuplexConfig parse_nemo_duplex(const core::ConfigReader& config, const NemoLlm& llm,
                                   int64_t num_codebooks, int64_t num_codes, int64_t text_pad,
                                   std::optional<nn::ChunkContext> context = {});

/// Names in a duplex checkpoint that are not needed to run it ('*' is a wildcard).
const std::vector<std::string>& nemo_ignorable_tensors();

}  // namespace duet::models
