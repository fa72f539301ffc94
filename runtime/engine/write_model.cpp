#include "runtime/engine/write_model.h"

#include <filesystem>
#include <fstream>
#include <sstream>

#include "models/weights/safetensors.h"
#include "runtime/core/atomic_file.h"
#include "runtime/core/error.h"

namespace duet::engine {
namespace {

namespace fs = std::filesystem;

void copy_into(const std::string& file, const std::string& dir) {
  if (file.empty()) return;
  std::ifstream in(file, std::ios::binary);
  std::ostringstream bytes;
  if (in) bytes << in.rdbuf();
  if (!in)
    throw core::LoadError({.subject = "tokenizer",
                           .expected = "a readable file",
                           .found = "none",
                           .file = file,
                           .hint = {}});
  core::write_file_atomically(dir + "/" + fs::path(file).filename().string(), bytes.str());
}

}  // namespace

void write_bundled_model(const ModelConfig& config, const models::TensorMap& tensors,
                         const std::string& dir, const std::string& training,
                         const models::QuantiseOptions& options) {
  if (config.kind != ModelKind::kBundled || config.encoder_family != EncoderFamily::kWhisper ||
      config.codec_family != CodecFamily::kConvNext)
    throw core::ConfigError({.subject = "model",
                             .expected = "encoder family whisper and codec family convnext",
                             .found = "others",
                             .file = config.config_file(),
                             .hint = {}});
  std::error_code error;
  fs::create_directories(dir, error);
  if (error)
    throw core::Error({.subject = "model directory",
                       .expected = "a place to write",
                       .found = error.message(),
                       .file = dir,
                       .hint = {}});
  models::save_safetensors(dir + "/model.safetensors", models::quantise(tensors, options),
                           {{"format_version", "1"}});
  copy_into(config.tokenizer_file, dir);
  copy_into(config.ctc_tokenizer_file, dir);
  core::write_file_atomically(dir + "/config.json", bundled_config_json(config, training));
}

}  // namespace duet::engine
