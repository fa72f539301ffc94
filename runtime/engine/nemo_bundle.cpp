#include "runtime/engine/nemo_bundle.h"

#include <ATen/ATen.h>

#include <filesystem>

#include "models/weights/safetensors.h"
#include "models/weights/state_dict.h"
#include "models/weights/torch_checkpoint.h"
#include "runtime/core/config_reader.h"
#include "runtime/core/error.h"

namespace duet::engine {
namespace {

/// A file of the bundle; a missing one is told with what it is and where it comes from.
std::string require_file(const std::string& folder, const std::string& name,
                         const std::string& hint) {
  const std::string path = folder + "/" + name;
  if (!std::filesystem::is_regular_file(path))
    throw core::LoadError(
        {.subject = name, .expected = "a file", .found = "nothing", .file = folder, .hint = hint});
  return path;
}

codecs::NanoCodecConfig load_codec_config(const std::string& folder,
                                          const models::NemoArchive* archive) {
  if (archive)
    return codecs::NanoCodecConfig::parse(
        core::ConfigReader::parse(archive->config_yaml, folder + "/codec.nemo:model_config.yaml"));
  return codecs::NanoCodecConfig::parse(core::ConfigReader::load_file(require_file(
      folder, "codec_config.yaml", "the model_config.yaml inside the codec's .nemo file")));
}

models::NemoLlm load_llm_config(const std::string& folder) {
  const auto config = core::ConfigReader::load_file(require_file(
      folder, "llm_config.json", "the config.json of the model that pretrained_llm names"));
  models::NemoLlm llm = models::parse_nemo_llm(config);
  config.finish();
  return llm;
}

void replace_codec(models::TensorMap& tensors, const models::NemoArchive& archive) {
  std::erase_if(tensors, [](const auto& entry) { return entry.first.starts_with("audio_codec."); });
  tensors.merge(models::duplex_names_of_codec(archive.tensors));
}

/// The three control ids are stored; they say how many codes the model was trained with.
void check_control_codes(const models::WeightScope& root, int64_t num_codes,
                         const std::string& file) {
  const at::Tensor want = at::arange(num_codes, num_codes + 3, at::kLong);
  const at::Tensor found = root.buffer("_control_codes", {3}, [&] { return want; });
  if (at::equal(found.to(at::kLong), want)) return;
  throw core::LoadError(
      {.subject = "_control_codes",
       .expected = std::to_string(num_codes) + " and the two ids after it (codes of the codec)",
       .found = std::to_string(found[0].to(at::kLong).item<int64_t>()),
       .file = file,
       .hint = "is codec_config.yaml that of the model's codec?"});
}

}  // namespace

bool is_nemo_bundle(const std::string& folder) {
  const std::string path = folder + "/config.json";
  if (!std::filesystem::is_regular_file(path)) return false;
  try {
    const auto config = core::ConfigReader::load_file(path);
    return !config.has("format_version") && config.has("perception");
  } catch (const core::Error&) {
    return false;
  }
}

NemoBundle load_nemo_bundle(const std::string& folder, const NemoBundleOptions& options) {
  std::optional<models::NemoArchive> archive;
  if (options.has_codec_of_nemo_file)
    archive = models::read_nemo(require_file(folder, "codec.nemo", "the codec's .nemo file"));
  const auto config = core::ConfigReader::load_file(
      require_file(folder, "config.json", "written by save_pretrained"));
  const codecs::NanoCodecConfig codec_config =
      load_codec_config(folder, archive ? &*archive : nullptr);
  const int64_t num_codes =
      codecs::Fsq(codec_config.num_groups, codec_config.levels).codebook_size();
  models::NemoLlm llm = load_llm_config(folder);
  const std::string weights_file =
      require_file(folder, "model.safetensors", "written by save_pretrained");

  NemoBundle bundle;
  bundle.tokenizer = models::load_tokenizer(folder);
  models::TensorMap tensors = models::load_safetensors(weights_file);
  // Tied tables are stored once: the head is then the embedding, whatever the LLM's config says.
  llm.is_tied = tensors.count("lm_head.weight") == 0;
  bundle.config = models::parse_nemo_duplex(config, llm, codec_config.num_groups, num_codes,
                                            bundle.tokenizer->text_pad(), options.context);
  config.finish();
  if (bundle.config.lora) models::merge_lora(tensors, *bundle.config.lora, weights_file);
  if (archive) replace_codec(tensors, *archive);

  models::TensorMapReader reader(std::move(tensors), weights_file,
                                 models::nemo_ignorable_tensors());
  const models::WeightScope root(reader);
  check_control_codes(root, num_codes, weights_file);
  bundle.perception =
      std::make_unique<models::NemoPerception>(bundle.config.perception, root.sub("perception"));
  bundle.lm = std::make_unique<models::DuplexLm>(bundle.config.lm, root);
  bundle.codec = std::make_unique<codecs::NanoDecoder>(codec_config, root.sub("audio_codec"));
  reader.finish();
  return bundle;
}

}  // namespace duet::engine
