#pragma once
// The three parts of an engine that cost time, from a model directory or from an architecture at
// random weights.

#include <memory>
#include <string>
#include <vector>

#include "codecs/neural/codec.h"
#include "models/duplex_lm.h"
#include "models/sampler.h"
#include "models/speech_encoder.h"
#include "runtime/engine/model_config.h"
#include "tools/speed/random_weights.h"

namespace duet::speed {

struct Parts {
  std::unique_ptr<models::SpeechEncoder> encoder;
  std::unique_ptr<models::DuplexLm> lm;
  std::unique_ptr<codecs::CodecDecoder> codec;
  models::SamplerConfig sampler;
  std::string subject, weights;  ///< "coffee-bar 0.3", "random, int8".
  std::int64_t num_values = 0;
  double load_s = 0.0;
};

/// Names that make_architecture knows besides folders: "nemo-1.2b".
const std::vector<std::string>& architecture_names();

/// `name`, or a folder with the configuration of a model (no weights needed). nemo-1.2b: what
/// SALM-Duplex was published with and NeMo's examples/speechlm2/conf/s2s_duplex.yaml describes:
/// FastConformer of 17 layers, TinyLlama's 1.1 B, NanoCodec of 0.6 kbit/s; a chunk of one encoder
/// frame. Throws core::ConfigError.
engine::ModelConfig find_architecture(const std::string& name);

/// A model with its own weights. Throws core::LoadError, core::ConfigError.
Parts load_parts(const std::string& model_dir);
/// The same at random weights. Weights of more than half of the free memory share layers; `weights`
/// says so.
Parts random_parts(const engine::ModelConfig& config, bool is_int8);

}  // namespace duet::speed
