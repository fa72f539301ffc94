// load_engine: from a model directory to the parts of an engine.

#include <utility>

#include "codecs/neural/convnext_codec.h"
#include "models/whisper_speech_encoder.h"
#include "runtime/engine/model_config.h"
#include "runtime/engine/nemo_bundle.h"
#include "runtime/engine/torch_engine.h"

namespace duet::engine {
namespace {

EngineParts load_bundled(ModelConfig config) {
  EngineParts parts;
  ModelTokenizers tokenizers = load_model_tokenizers(config);
  const PartPrefixes prefixes = part_prefixes(config.kind);
  models::TensorMapReader reader(load_model_tensors(config), config.weights_file(),
                                 ignorable_tensors(config.kind));
  parts.encoder = std::make_unique<models::WhisperSpeechEncoder>(
      config.whisper, config.has_ctc_input(), models::WeightScope(reader, prefixes.encoder));
  parts.lm =
      std::make_unique<models::DuplexLm>(config.lm, models::WeightScope(reader, prefixes.lm));
  parts.codec = std::make_unique<codecs::ConvNextDecoder>(
      config.convnext, models::WeightScope(reader, prefixes.codec));
  reader.finish();
  parts.encoder_lookahead_samples = models::WhisperEncoder::kDelaySamples;
  parts.sampler.text_pad = tokenizers.ids.pad;
  parts.sampler.text_bos = tokenizers.ids.bos;
  parts.sampler.text_eos = tokenizers.ids.eos;
  parts.sampler.interruptibility = config.interruptibility;
  parts.sampler.eagerness = config.eagerness;
  parts.silence_codes = config.silence_codes;
  parts.text_tokenizer = std::move(tokenizers.text);
  parts.ctc_tokenizer = std::move(tokenizers.ctc);
  parts.model_name = config.name;
  parts.model_version = config.version;
  return parts;
}

EngineParts load_nemo(const std::string& model_dir) {
  NemoBundle bundle = load_nemo_bundle(model_dir);
  EngineParts parts;
  // Frame t is known with sample 1280 t + 200 of its chunk's last frame, but speaks only when the
  // block is whole and, with chunks of several frames, when the slowest frame of a chunk would.
  const int64_t wait = bundle.perception->lookahead_samples(), block = models::kUserFrameSamples;
  parts.encoder_lookahead_samples =
      (wait + block - 1) / block * block - bundle.config.perception.log_mel.window_samples / 2;
  const models::SpecialIds& ids = bundle.tokenizer->special();
  parts.sampler.text_pad = bundle.config.lm.text_pad;
  parts.sampler.text_bos = ids.bos;
  parts.sampler.text_eos = ids.eos;
  parts.model_name = bundle.config.name;
  parts.encoder = std::move(bundle.perception);
  parts.lm = std::move(bundle.lm);
  parts.codec = std::move(bundle.codec);
  parts.text_tokenizer = std::move(bundle.tokenizer);
  return parts;
}

}  // namespace

std::unique_ptr<runtime::Engine> load_engine(const std::string& model_dir) {
  EngineParts parts =
      is_nemo_bundle(model_dir) ? load_nemo(model_dir) : load_bundled(read_model_config(model_dir));
  parts.model_path = model_dir;
  return make_torch_engine(std::move(parts));
}

}  // namespace duet::engine
