#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "models/weights/ctranslate2.h"
#include "models/weights/safetensors.h"
#include "runtime/core/error.h"
#include "tools/train/encoder_task.h"
#include "tools/train/recipe.h"

namespace duet::train {
namespace {

struct EncoderPart {
  SpeechSetConfig set;
  int64_t limit = 0;  // utterances at most, evenly spread; 0: all
};

std::vector<EncoderPart> read_encoder_parts(const core::ConfigReader& data, const char* key,
                                            std::vector<NamedFile>& files) {
  std::vector<EncoderPart> out;
  for (const core::ConfigReader& node : data.sub_list(key)) {
    EncoderPart part;
    part.set.manifests = node.get_string_list("manifests");
    part.set.role = node.get_string("role", "user");
    part.set.split = node.get_string("split", "");
    part.set.skip_unreadable = node.get_bool("skip_unreadable", true);
    part.limit = node.get_int("limit", 0, core::IntRange{0, 1000000});
    for (const std::string& path : part.set.manifests)
      files.push_back({node.path() + ".manifests", path});
    out.push_back(std::move(part));
  }
  return out;
}

std::vector<Utterance> load_encoder_parts(const std::vector<EncoderPart>& parts, const char* what) {
  std::vector<Utterance> all;
  for (const EncoderPart& part : parts) {
    std::vector<Utterance> found = load_speech_set(part.set);
    const size_t total = found.size(),
                 kept = part.limit > 0 ? std::min(total, static_cast<size_t>(part.limit)) : total;
    double seconds = 0.0;
    for (size_t i = 0; i < kept; ++i) {
      all.push_back(std::move(found[i * total / kept]));
      seconds += static_cast<double>(all.back().samples.size()) / 16000.0;
    }
    std::fprintf(stderr, "%s: %zu utterances, %.2f h\n", what, kept, seconds / 3600.0);
  }
  return all;
}

}  // namespace

int train_encoder(const RecipeOptions& options) {
  const core::ConfigReader config =
      core::ConfigReader::load_file(options.config, options.overrides);
  const LoopConfig loop = read_loop(config, options);
  EncoderTask::Config task_config;
  const core::ConfigReader encoder = config.sub_or_empty("encoder");
  task_config.encoder = read_encoder(encoder);
  task_config.encoder.ctc_pieces = encoder.get_int("ctc_pieces", task_config.encoder.ctc_pieces);
  task_config.optimizer = read_optimizer(config);
  task_config.augment = read_augment(config);
  task_config.batch_seconds = config.get_double("batch_seconds", task_config.batch_seconds,
                                                core::DoubleRange{1.0, 10000.0});
  task_config.pretrained_lr_ratio =
      config.get_double("pretrained_lr_ratio", task_config.pretrained_lr_ratio);
  task_config.bf16 = config.get_bool("bf16", true);
  const std::string whisper = config.get_string("whisper", "");
  const std::string start_from = config.get_string("start_from", "");
  task_config.tokenizer = config.get_string("ctc_model", "");
  const core::ConfigReader data = config.sub("data");
  std::vector<NamedFile> files{{"whisper", start_from.empty() ? whisper : ""},
                               {"start_from", start_from},
                               {"ctc_model", task_config.tokenizer}};
  const std::vector<EncoderPart> train_parts = read_encoder_parts(data, "train", files),
                                 heldout_parts = read_encoder_parts(data, "heldout", files);
  task_config.heard_file = loop.out_dir + "/heard.jsonl";
  const auto read_shares = [&](const char* key, std::map<std::string, double>& shares) {
    const core::ConfigReader node = config.sub_or_empty(key);
    for (const std::string& name : node.keys())
      shares[name] = node.get_double(name, 1.0, core::DoubleRange{0.0, 1000.0});
  };
  read_shares("topics", task_config.topics);
  read_shares("engines", task_config.engines);
  config.finish();
  require_files(config, files);
  std::vector<Utterance> train = load_encoder_parts(train_parts, "training set"),
                         heldout = load_encoder_parts(heldout_parts, "held-out set");

  if (task_config.tokenizer.empty()) {
    std::vector<std::string> texts;
    for (const Utterance& utterance : train) texts.push_back(normalise_transcript(utterance.text));
    task_config.tokenizer =
        make_pieces(texts, loop.out_dir + "/ctc", static_cast<int>(task_config.encoder.ctc_pieces));
  }

  models::TensorMap initial = read_part(start_from, "encoder.");
  const std::string& source = start_from.empty() ? whisper : start_from;
  if (start_from.empty() && !whisper.empty())
    initial = models::import_whisper_encoder(models::read_ctranslate2(whisper).tensors, "encoder.",
                                             task_config.encoder.layers);
  ParameterStore store(loop.seed, initial, source);
  EncoderTask task(task_config, store, std::move(train), std::move(heldout));
  store.finish();
  std::fprintf(stderr, "encoder: %.1f million values, %lld tensors from %s\n",
               static_cast<double>(store.num_values()) * 1e-6,
               static_cast<long long>(store.num_initialised_from_source()),
               source.empty() ? "nothing" : source.c_str());
  const LoopEnd end = run_training(task, store, loop);
  models::save_safetensors(loop.out_dir + "/encoder.safetensors", store.tensors(),
                           {{"format", "duet-encoder-1"}});
  return end == LoopEnd::kFinished ? 0 : 130;
}

}  // namespace duet::train
