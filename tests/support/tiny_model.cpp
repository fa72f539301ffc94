#include "tests/support/tiny_model.h"

#include <ATen/core/Tensor.h>

#include "runtime/engine/write_model.h"
#include "tests/support/golden_weights.h"

namespace duet::test {

engine::ModelConfig tiny_model_config() {
  engine::ModelConfig config;
  config.name = "tiny";
  config.version = "1";
  config.description = "A model for tests";
  config.license = "Apache-2.0";
  config.whisper = {.mel_bins = 80,
                    .width = 16,
                    .heads = 2,
                    .layers = 1,
                    .left_frames = 8,
                    .positions = 100,
                    .top_width = 24,
                    .top_heads = 2,
                    .top_layers = 1,
                    .top_left = 4,
                    .ctc_pieces = 400};
  config.lm.llm = {.hidden = 32,
                   .layers = 2,
                   .heads = 4,
                   .kv_heads = 2,
                   .head_dim = 8,
                   .intermediate = 48,
                   .rope_theta = 10000.0,
                   .rms_eps = 1e-5,
                   .window = 16,
                   .sinks = 0,
                   .attention_bias = false};
  config.lm.text_vocab = 400;
  config.lm.num_codebooks = 2;
  config.lm.code_vocab = 15;
  config.lm.user_width = 24;
  config.convnext = {.sample_rate_hz = 8000,
                     .hop_samples = 80,
                     .window_samples = 320,
                     .hops_per_frame = 8,
                     .num_groups = 2,
                     .levels = {4, 3},
                     .kernel = 3,
                     .num_mels = 10,
                     .encoder_width = 8,
                     .encoder_blocks = 1,
                     .decoder_width = 16,
                     .decoder_frame_blocks = 1,
                     .decoder_hop_blocks = 1};
  config.silence_codes = {5, 6};
  config.tokenizer_file = config.ctc_tokenizer_file =
      DUET_SOURCE_DIR "/tests/data/tokenizer/sentencepiece.model";
  config.bos_piece = "<s>";
  config.eos_piece = "</s>";
  config.pad_piece = "<sil>";
  return config;
}

models::TensorMap tiny_model_tensors() {
  const engine::ModelConfig config = tiny_model_config();
  GoldenWeightReader reader;
  const engine::PartPrefixes prefixes = engine::part_prefixes(config.kind);
  const models::WhisperEncoder encoder(config.whisper,
                                       models::WeightScope(reader, prefixes.encoder));
  const models::DuplexLm lm(config.lm, models::WeightScope(reader, prefixes.lm));
  const codecs::ConvNextDecoder decoder(config.convnext,
                                        models::WeightScope(reader, prefixes.codec));
  const codecs::ConvNextEncoder codec_encoder(config.convnext,
                                              models::WeightScope(reader, "codec.encoder."));
  return reader.tensors();
}

void write_tiny_model(const std::string& dir) {
  engine::write_bundled_model(tiny_model_config(), tiny_model_tensors(), dir, R"({"steps": 3})");
}

}  // namespace duet::test
