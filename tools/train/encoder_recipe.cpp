#include <cstdio>
#include <filesystem>

#include "models/weights/ctranslate2.h"
#include "models/weights/safetensors.h"
#include "runtime/core/error.h"
#include "tools/train/encoder_task.h"
#include "tools/train/recipe.h"

namespace duet::train {
namespace {

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
  out.ctc_pieces = node.get_int("ctc_pieces", out.ctc_pieces);
  return out;
}

std::vector<Utterance> read_sets(const core::ConfigReader& node, const char* what,
                                 const std::string& cache) {
  SpeechSetConfig set;
  set.manifests = node.get_string_list("manifests");
  set.role = node.get_string("role", "user");
  set.split = node.get_string("split", "");
  set.skip_unreadable = node.get_bool("skip_unreadable", true);
  set.cache_file = cache;
  std::vector<Utterance> out = load_speech_set(set);
  const int64_t limit = node.get_int("limit", 0, core::IntRange{0, 1000000});
  if (limit > 0 && static_cast<int64_t>(out.size()) > limit) {  // evenly spread
    std::vector<Utterance> some;
    for (int64_t i = 0; i < limit; ++i)
      some.push_back(
          std::move(out[static_cast<size_t>(i * static_cast<int64_t>(out.size()) / limit)]));
    out = std::move(some);
  }
  double seconds = 0.0;
  for (const Utterance& utterance : out)
    seconds += static_cast<double>(utterance.samples.size()) / 16000.0;
  std::fprintf(stderr, "%s: %zu utterances, %.2f h\n", what, out.size(), seconds / 3600.0);
  return out;
}

}  // namespace

int train_encoder(const RecipeOptions& options) {
  const core::ConfigReader config =
      core::ConfigReader::load_file(options.config, options.overrides);
  const LoopConfig loop = read_loop(config, options);
  EncoderTask::Config task_config;
  task_config.encoder = read_encoder(config.sub_or_empty("encoder"));
  task_config.optimizer = read_optimizer(config);
  task_config.augment = read_augment(config);
  task_config.batch_seconds = config.get_double("batch_seconds", task_config.batch_seconds,
                                                core::DoubleRange{1.0, 10000.0});
  task_config.pretrained_lr_ratio =
      config.get_double("pretrained_lr_ratio", task_config.pretrained_lr_ratio);
  task_config.bf16 = config.get_bool("bf16", true);
  const std::string whisper = config.get_string("whisper", "");
  const core::ConfigReader data = config.sub("data");
  std::vector<Utterance> train;
  for (const core::ConfigReader& part : data.sub_list("train")) {
    std::vector<Utterance> more = read_sets(part, "training set", "");
    std::move(more.begin(), more.end(), std::back_inserter(train));
  }
  std::vector<Utterance> heldout;
  for (const core::ConfigReader& part : data.sub_list("heldout")) {
    std::vector<Utterance> more = read_sets(part, "held-out set", "");
    std::move(more.begin(), more.end(), std::back_inserter(heldout));
  }
  config.finish();

  std::vector<std::string> texts;
  for (const Utterance& utterance : train) texts.push_back(normalise_transcript(utterance.text));
  task_config.tokenizer =
      make_pieces(texts, loop.out_dir + "/ctc", static_cast<int>(task_config.encoder.ctc_pieces));

  models::TensorMap initial;
  if (!whisper.empty())
    initial = models::import_whisper_encoder(models::read_ctranslate2(whisper).tensors, "encoder.",
                                             task_config.encoder.layers);
  ParameterStore store(loop.seed, initial, whisper);
  EncoderTask task(task_config, store, std::move(train), std::move(heldout));
  store.finish();
  std::fprintf(stderr, "encoder: %.1f million values, %lld tensors from %s\n",
               static_cast<double>(store.num_values()) * 1e-6,
               static_cast<long long>(store.num_initialised_from_source()),
               whisper.empty() ? "nothing" : whisper.c_str());
  const LoopEnd end = run_training(task, store, loop);
  models::save_safetensors(loop.out_dir + "/encoder.safetensors", store.tensors(),
                           {{"format", "duet-encoder-1"}});
  return end == LoopEnd::kFinished ? 0 : 130;
}

}  // namespace duet::train
