// load_engine: from a model directory to the parts of an engine.

#include <utility>

#include "codecs/neural/convnext_codec.h"
#include "models/whisper_speech_encoder.h"
#include "runtime/engine/model_config.h"
#include "runtime/engine/torch_engine.h"

namespace duet::engine {
namespace {

EngineParts load_bundled(ModelConfig config) {
  EngineParts parts;
  ModelTokenizers tokenizers = load_model_tokenizers(config);
  const PartPrefixes prefixes = part_prefixes(config.kind);
  models::TensorMapReader reader(load_model_tensors(config), config.weights_file(), ignorable_tensors(config.kind));
  parts.encoder = std::make_unique<models::WhisperSpeechEncoder>(config.whisper, config.has_ctc_input(),
                                                                 models::WeightScope(reader, prefixes.encoder));
  parts.lm = std::make_unique<models::DuplexLm>(config.lm, models::WeightScope(reader, prefixes.lm));
  parts.codec =
      std::make_unique<codecs::ConvNextDecoder>(config.convnext, models::WeightScope(reader, prefixes.codec));
  reader.finish();
  parts.encoder_lookahead_samples = models::WhisperEncoder::kDelaySamples;
  parts.sampler.text_pad = tokenizers.ids.pad;
  parts.sampler.text_bos = tokenizers.ids.bos;
  parts.sampler.text_eos = tokenizers.ids.eos;
  parts.sampler.interruptibility = config.interruptibility;
  parts.silence_codes = config.silence_codes;
  parts.text_tokenizer = std::move(tokenizers.text);
  parts.ctc_tokenizer = std::move(tokenizers.ctc);
  parts.model_name = config.name;
  parts.model_version = config.version;
  return parts;
}

}  // namespace

std::unique_ptr<runtime::Engine> load_engine(const std::string& model_dir) {
  EngineParts parts = load_bundled(read_model_config(model_dir));
  parts.model_path = model_dir;
  return make_torch_engine(std::move(parts));
}

}  // namespace duet::engine
