#pragma once
// What all `duet train` stages share: reading their YAML, the flags, and the pieces of a
// configuration.

#include <string>
#include <vector>

#include "models/weights/weight_reader.h"
#include "models/whisper_encoder.h"
#include "runtime/core/config_reader.h"
#include "tools/train/adamw.h"
#include "tools/train/augment.h"
#include "tools/train/train_loop.h"

namespace duet::train {

struct RecipeOptions {
  std::string config;                  ///< YAML file.
  std::vector<std::string> overrides;  ///< key=value
  std::string out_dir;                 ///< Overrides the file's `out`.
  std::string budget;                  ///< "150m", "2h", "90s"; overrides `loop.budget`.
  bool restart = false;                ///< Ignore an existing checkpoint.
};

/// "150m" -> 150; "2h" -> 120; "90s" -> 1.5; "" -> 0. Throws core::ConfigError.
double parse_minutes(const std::string& text);

/// Reads `out` and `loop` (max_steps, budget, warmup_steps, final_lr_ratio, save_every,
/// evaluate_every, log_every, seed).
LoopConfig read_loop(const core::ConfigReader& config, const RecipeOptions& options);
/// Reads `optimizer` (learning_rate, beta1, beta2, weight_decay, clip_norm).
AdamW::Config read_optimizer(const core::ConfigReader& config);
/// Reads `encoder` (layers, width, heads, left_frames, top_*); absent keys keep their defaults.
models::WhisperEncoder::Config read_encoder(const core::ConfigReader& node);
/// Reads `augment`; absent keys keep their defaults.
AugmentConfig read_augment(const core::ConfigReader& config);

/// Makes a unigram SentencePiece model (`prefix`.model) of `size` pieces from texts with the
/// spm_train program (Debian package sentencepiece), unless it is there already. `flags` are added
/// to the command line. Throws core::LoadError.
std::string make_pieces(const std::vector<std::string>& texts, const std::string& prefix, int size,
                        const std::string& flags = "");

/// Files that a configuration names. Throws one core::ConfigError about every key whose file or
/// folder is not there; empty paths are passed over. Called before anything slow.
struct NamedFile {
  std::string key, path;
};
void require_files(const core::ConfigReader& config, const std::vector<NamedFile>& files);

/// Parameters below `part` ("encoder.", "lm.") in a file of any stage (a checkpoint, a stage's
/// result, a model directory's model.safetensors): "model.encoder.x" and "encoder.x" are the same.
/// Throws core::LoadError when there are none; an empty path gives none.
models::TensorMap read_part(const std::string& path, const std::string& part);

// The stages. Each returns 0, or 130 after Ctrl-C (saved).
int train_encoder(const RecipeOptions& options);
int train_duplex(const RecipeOptions& options);
int train_codec(const RecipeOptions& options);
/// Not a training: encodes `data.encode` with the codec `initial`; `out` is the file of codes (see
/// encode_codes.h).
int encode_code_set(const RecipeOptions& options);
/// Not a training: every utterance of `data.heldout` through the codec `initial` and back; `out` is
/// a folder: N-original.wav, N-decoded.wav, samples.jsonl {"text", "original", "decoded"}.
int write_codec_samples(const RecipeOptions& options);
/// Packs trained parts into a model directory (int8): docs/model-format.md.
int train_export(const RecipeOptions& options);

}  // namespace duet::train
