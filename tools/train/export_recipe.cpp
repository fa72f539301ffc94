#include <cstdio>
#include <filesystem>

#include <ATen/ATen.h>

#include "codecs/neural/convnext_codec.h"
#include "models/weights/safetensors.h"
#include "runtime/core/error.h"
#include "runtime/core/version.h"
#include "runtime/engine/model_config.h"
#include "runtime/engine/write_model.h"
#include "tools/train/duplex_material.h"
#include "tools/train/duplex_recipe.h"
#include "tools/train/recipe.h"

namespace duet::train {
namespace {

// Takes what lies below `part` in a file of any trainer ("model.encoder.x" in a checkpoint is
// "encoder.x") as `prefix` + x.
void take_part(const models::TensorMap& from, const std::string& part, const std::string& prefix,
               models::TensorMap& to) {
  for (const auto& [name, tensor] : from) {
    const std::string plain = name.starts_with("model.") ? name.substr(6) : name;
    if (plain.starts_with(part))
      to[prefix + plain.substr(part.size())] = tensor.to(at::kFloat).contiguous();
  }
}

}  // namespace

int train_export(const RecipeOptions& options) {
  const core::ConfigReader config =
      core::ConfigReader::load_file(options.config, options.overrides);
  std::string out = config.get_string("out");
  if (!options.out_dir.empty()) out = options.out_dir;
  const std::string duplex = config.get_string("duplex"), codec = config.get_string("codec");
  engine::ModelConfig model;
  model.name = config.get_string("name");
  model.version = config.get_string("version", "1");
  model.description = config.get_string("description", "");
  model.license = config.get_string("license", "Apache-2.0");
  model.tokenizer_file = config.get_string("tokenizer");
  model.ctc_tokenizer_file = config.get_string("ctc_pieces");
  model.interruptibility = config.get_double("interruptibility", 0.0);
  model.eagerness = config.get_double("eagerness", 0.0);
  const std::string recipe = config.get_string("recipe"), note = config.get_string("note", "");
  config.finish();
  require_files(config, {{"duplex", duplex},
                         {"codec", codec},
                         {"tokenizer", model.tokenizer_file},
                         {"ctc_pieces", model.ctc_tokenizer_file},
                         {"recipe", recipe}});

  models::TensorMap tensors;
  const models::TensorMap trained = models::load_safetensors(duplex),
                          codec_tensors = read_codec_weights(codec);
  take_part(trained, "encoder.", "encoder.", tensors);
  take_part(trained, "lm.", "lm.", tensors);
  take_part(codec_tensors, "encoder.", "codec.encoder.", tensors);
  take_part(codec_tensors, "decoder.", "codec.decoder.", tensors);

  model.bos_piece = "<s>";
  model.eos_piece = "</s>";
  model.pad_piece = "<sil>";
  model.lm = read_duplex_lm(core::ConfigReader::load_file(recipe));
  const auto rows = [&](const char* name, int64_t axis) {
    const auto found = tensors.find(name);
    if (found == tensors.end())
      throw core::LoadError({.subject = name,
                             .expected = "the tensor of a trained duplex model",
                             .found = "nothing",
                             .file = duplex,
                             .hint = {}});
    return found->second.size(axis);
  };
  model.whisper.ctc_pieces = rows("encoder.ctc_head.weight", 0) - 1;
  model.lm.text_vocab = rows("lm.embed_tokens.weight", 0);
  model.lm.user_width = rows("lm.adapter.0.weight", 1);
  model.lm.code_vocab = rows("lm.embed_audio_tokens.0.weight", 0);
  model.lm.num_codebooks = model.convnext.num_groups;
  {
    models::TensorMap encoder;
    take_part(codec_tensors, "encoder.", "encoder.", encoder);
    models::TensorMapReader reader(encoder, codec);
    const codecs::ConvNextEncoder codec_encoder(model.convnext,
                                                models::WeightScope(reader, "encoder."));
    reader.finish();
    model.silence_codes = silence_codes(codec_encoder, model.convnext.sample_rate_hz);
  }
  engine::write_bundled_model(
      model, tensors, out,
      "{\"duet\": \"" + core::version_text() + "\", \"note\": \"" + note + "\"}");
  std::uintmax_t bytes = 0;
  for (const auto& entry : std::filesystem::directory_iterator(out)) bytes += entry.file_size();
  std::fprintf(stderr, "%s: %zu tensors, %.1f MB in all\n", out.c_str(), tensors.size(),
               static_cast<double>(bytes) * 1e-6);
  return 0;
}

}  // namespace duet::train
