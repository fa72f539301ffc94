#include "tools/train/recipe.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "models/weights/quantised.h"
#include "runtime/core/error.h"

namespace duet::train {

double parse_minutes(const std::string& text) {
  if (text.empty()) return 0.0;
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  const std::string unit = end;
  if (end != text.c_str() && value >= 0.0) {
    if (unit == "m" || unit == "min") return value;
    if (unit == "h") return value * 60.0;
    if (unit == "s") return value / 60.0;
  }
  throw core::ConfigError({.subject = "budget",
                           .expected = "a time such as 90s, 150m or 2h",
                           .found = "\"" + text + "\"",
                           .file = {},
                           .hint = {}});
}

LoopConfig read_loop(const core::ConfigReader& config, const RecipeOptions& options) {
  LoopConfig loop;
  loop.out_dir = config.get_string("out");
  if (!options.out_dir.empty()) loop.out_dir = options.out_dir;
  const core::ConfigReader node = config.sub_or_empty("loop");
  loop.max_steps = node.get_int("max_steps", loop.max_steps, core::IntRange{1, 100000000});
  const std::string budget = node.get_string("budget", "");
  loop.budget_minutes = parse_minutes(options.budget.empty() ? budget : options.budget);
  loop.warmup_steps = node.get_int("warmup_steps", loop.warmup_steps, core::IntRange{0, 100000000});
  loop.final_lr_ratio =
      node.get_double("final_lr_ratio", loop.final_lr_ratio, core::DoubleRange{0.0, 1.0});
  loop.save_every_minutes = parse_minutes(node.get_string("save_every", "5m"));
  loop.evaluate_every =
      node.get_int("evaluate_every", loop.evaluate_every, core::IntRange{0, 100000000});
  loop.log_every = node.get_int("log_every", loop.log_every, core::IntRange{1, 1000000});
  loop.seed = static_cast<uint64_t>(node.get_int("seed", 1, core::IntRange{0, 1LL << 62}));
  loop.resume = !options.restart;
  return loop;
}

AdamW::Config read_optimizer(const core::ConfigReader& config) {
  AdamW::Config out;
  const core::ConfigReader node = config.sub_or_empty("optimizer");
  out.learning_rate =
      node.get_double("learning_rate", out.learning_rate, core::DoubleRange{0.0, 1.0});
  out.beta1 = node.get_double("beta1", out.beta1, core::DoubleRange{0.0, 1.0});
  out.beta2 = node.get_double("beta2", out.beta2, core::DoubleRange{0.0, 1.0});
  out.weight_decay = node.get_double("weight_decay", out.weight_decay, core::DoubleRange{0.0, 1.0});
  out.clip_norm = node.get_double("clip_norm", out.clip_norm, core::DoubleRange{0.0, 1e6});
  return out;
}

models::WhisperEncoder::Config read_encoder(const core::ConfigReader& node) {
  models::WhisperEncoder::Config out;
  out.layers = node.get_int("layers", out.layers);
  out.width = node.get_int("width", out.width);
  out.heads = node.get_int("heads", out.heads);
  out.left_frames = node.get_int("left_frames", out.left_frames);
  out.top_width = node.get_int("top_width", out.top_width);
  out.top_heads = node.get_int("top_heads", out.top_heads);
  out.top_layers = node.get_int("top_layers", out.top_layers);
  out.top_left = node.get_int("top_left", out.top_left);
  return out;
}

AugmentConfig read_augment(const core::ConfigReader& config) {
  AugmentConfig out;
  const core::ConfigReader node = config.sub_or_empty("augment");
  const auto read = [&](const char* key, double& value) { value = node.get_double(key, value); };
  read("speed_probability", out.speed_probability);
  read("speed_low", out.speed_low);
  read("speed_high", out.speed_high);
  read("level_low_db", out.level_low_db);
  read("level_high_db", out.level_high_db);
  read("reverb_probability", out.reverb_probability);
  read("rt60_low_s", out.rt60_low_s);
  read("rt60_high_s", out.rt60_high_s);
  read("noise_probability", out.noise_probability);
  read("snr_low_db", out.snr_low_db);
  read("snr_high_db", out.snr_high_db);
  read("speaker_probability", out.speaker_probability);
  read("speaker_low_db", out.speaker_low_db);
  read("speaker_high_db", out.speaker_high_db);
  read("band_limit_probability", out.band_limit_probability);
  read("clip_probability", out.clip_probability);
  out.validate();
  return out;
}

models::TensorMap read_part(const std::string& path, const std::string& part) {
  models::TensorMap out;
  if (path.empty()) return out;
  for (const auto& [name, tensor] : models::load_weights(path)) {
    const std::string plain = name.starts_with("model.") ? name.substr(6) : name;
    if (plain.starts_with(part)) out[plain] = tensor;
  }
  if (out.empty())
    throw core::LoadError(
        {.subject = part + "*", .expected = "weights", .found = "none", .file = path, .hint = {}});
  return out;
}

void require_files(const core::ConfigReader& config, const std::vector<NamedFile>& files) {
  std::string keys, paths;
  for (const NamedFile& file : files) {
    std::error_code unreadable;
    if (file.path.empty() || std::filesystem::exists(file.path, unreadable)) continue;
    keys += (keys.empty() ? "" : ", ") + file.key;
    paths += (paths.empty() ? "no " : ", no ") + file.path;
  }
  if (!keys.empty())
    throw core::ConfigError({.subject = keys,
                             .expected = "a file that is there",
                             .found = paths,
                             .file = config.file(),
                             .hint = {}});
}

std::string make_pieces(const std::vector<std::string>& texts, const std::string& prefix, int size,
                        const std::string& flags) {
  const std::string model = prefix + ".model";
  if (std::filesystem::exists(model)) return model;
  std::filesystem::create_directories(std::filesystem::path(prefix).parent_path());
  {
    std::ofstream corpus(prefix + ".txt");
    for (const std::string& text : texts) corpus << text << '\n';
  }
  const std::string command = "spm_train --input='" + prefix + ".txt' --model_prefix='" + prefix +
                              "' --vocab_size=" + std::to_string(size) +
                              " --model_type=unigram --character_coverage=1.0 --minloglevel=2 " +
                              flags + " > '" + prefix + ".log' 2>&1";
  if (std::system(command.c_str()) != 0 || !std::filesystem::exists(model))
    throw core::LoadError({.subject = "spm_train",
                           .expected = model,
                           .found = "a failure",
                           .file = prefix + ".log",
                           .hint = "is the package sentencepiece installed?"});
  return model;
}

}  // namespace duet::train
