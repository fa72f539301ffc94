// duet train codec, codec-samples and codes: YAML to CodecTask and encode_codes.
#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "audio/audio_file.h"
#include "models/weights/quantised.h"
#include "models/weights/safetensors.h"
#include "runtime/core/error.h"
#include "tools/train/codec_task.h"
#include "tools/train/composed_speech.h"
#include "tools/train/duplex_material.h"
#include "tools/train/encode_codes.h"
#include "tools/train/recipe.h"

namespace duet::train {
namespace {

namespace fs = std::filesystem;

struct Part {
  SpeechSetConfig set;
  std::string composed;  // strings the units of `set` together; "" = utterances as they are
  size_t every = 1;      // one of so many utterances
  size_t per_unit = 24;  // of composed replies: how often each unit is heard at least
};

std::vector<Part> read_parts(const core::ConfigReader& data, const char* key, int sample_rate_hz,
                             std::vector<NamedFile>& files) {
  std::vector<Part> out;
  for (const core::ConfigReader& node : data.sub_list(key)) {
    Part part;
    SpeechSetConfig& set = part.set;
    set.manifests = node.get_string_list("manifests");
    part.composed = node.get_string("composed", "");
    if (!part.composed.empty()) files.push_back({node.path() + ".composed", part.composed});
    set.role = node.get_string("role", "agent");
    set.split = node.get_string("split", "");
    set.skip_unreadable = node.get_bool("skip_unreadable", true);
    set.cache_file = node.get_string("cache", "");
    set.edge_ms = node.get_double("edge_ms", set.edge_ms, core::DoubleRange{0.0, 200.0});
    set.trim_db = node.get_double("trim_db", set.trim_db, core::DoubleRange{10.0, 80.0});
    set.sample_rate_hz = sample_rate_hz;
    part.per_unit = static_cast<size_t>(
        node.get_int("per_unit", static_cast<int64_t>(part.per_unit), core::IntRange{1, 100000}));
    part.every = static_cast<size_t>(node.get_int("every", 1, core::IntRange{1, 100000}));
    for (const std::string& path : set.manifests)
      files.push_back({node.path() + ".manifests", path});
    out.push_back(std::move(part));
  }
  return out;
}

std::vector<Utterance> load_parts(const std::vector<Part>& parts, const char* what) {
  std::vector<Utterance> out;
  double seconds = 0.0;
  for (const Part& part : parts) {
    std::vector<Utterance> found =
        part.composed.empty() ? load_speech_set(part.set)
                              : compose_speech(load_units(part.set), part.composed, part.per_unit);
    for (size_t i = 0; i < found.size(); i += part.every) {
      out.push_back(std::move(found[i]));
      seconds += static_cast<double>(out.back().samples.size()) / part.set.sample_rate_hz;
    }
  }
  std::fprintf(stderr, "%s: %zu utterances, %.2f h\n", what, out.size(), seconds / 3600.0);
  return out;
}

/// Parameters of a codec by their names in `CodecTask`, from the trainer's own file (with the
/// discriminators where it has them) or a model directory's.
models::TensorMap read_initial(const std::string& file) {
  if (file.empty()) return {};
  models::TensorMap out = read_codec_weights(file);
  for (auto& [name, tensor] : models::load_weights(file))
    if (name.starts_with("discriminators.")) out[name] = tensor;
  return out;
}

/// What a trained codec is to do with one part of the recipe's data.
struct CodecJob {
  codecs::ConvNextCodecConfig codec;
  std::string out, file;
  std::vector<Utterance> utterances;
};

CodecJob read_codec_job(const RecipeOptions& options, const char* part) {
  const core::ConfigReader config =
      core::ConfigReader::load_file(options.config, options.overrides);
  CodecJob job;
  job.codec = codecs::ConvNextCodecConfig::parse(config.sub_or_empty("codec"));
  job.out = options.out_dir.empty() ? config.get_string("out") : options.out_dir;
  job.file = config.get_string("initial");
  std::vector<NamedFile> files{{"initial", job.file}};
  const std::vector<Part> parts =
      read_parts(config.sub("data"), part, static_cast<int>(job.codec.sample_rate_hz), files);
  config.ignore_rest();
  require_files(config, files);
  job.utterances = load_parts(parts, part);
  return job;
}

}  // namespace

int train_codec(const RecipeOptions& options) {
  const core::ConfigReader config =
      core::ConfigReader::load_file(options.config, options.overrides);
  const LoopConfig loop = read_loop(config, options);
  CodecTask::Config task_config;
  task_config.codec = codecs::ConvNextCodecConfig::parse(config.sub_or_empty("codec"));
  task_config.optimizer = read_optimizer(config);
  const core::DoubleRange share{0.0, 1.0}, weight{0.0, 1000.0};
  const core::IntRange count{1, 100000};
  task_config.batch_size = config.get_int("batch_size", task_config.batch_size, count);
  task_config.segment_frames = config.get_int("segment_frames", task_config.segment_frames, count);
  task_config.adversarial_frames =
      config.get_int("adversarial_frames", task_config.adversarial_frames, count);
  task_config.adversarial_from = config.get_double("adversarial_from", task_config.adversarial_from,
                                                   core::DoubleRange{0.0, 2.0});
  task_config.discriminator_channels =
      config.get_int("discriminator_channels", task_config.discriminator_channels, count);
  task_config.discriminator_lr_ratio =
      config.get_double("discriminator_lr_ratio", task_config.discriminator_lr_ratio, weight);
  task_config.mel_weight = config.get_double("mel_weight", task_config.mel_weight, weight);
  task_config.magnitude_weight =
      config.get_double("magnitude_weight", task_config.magnitude_weight, weight);
  task_config.adversarial_weight =
      config.get_double("adversarial_weight", task_config.adversarial_weight, weight);
  task_config.matching_weight =
      config.get_double("matching_weight", task_config.matching_weight, weight);
  task_config.pause_probability =
      config.get_double("pause_probability", task_config.pause_probability, share);
  task_config.decoder_only = config.get_bool("decoder_only", false);
  task_config.bf16 = config.get_bool("bf16", true);
  const std::string initial = config.get_string("initial", "");
  const core::ConfigReader data = config.sub("data");
  const int rate = static_cast<int>(task_config.codec.sample_rate_hz);
  std::vector<NamedFile> files{{"initial", initial}};
  const std::vector<Part> train_parts = read_parts(data, "train", rate, files),
                          heldout_parts = read_parts(data, "heldout", rate, files);
  data.ignore({"encode"});  // of `duet train codes`, which shares this file
  config.finish();
  require_files(config, files);
  std::vector<Utterance> train = load_parts(train_parts, "train"),
                         heldout = load_parts(heldout_parts, "heldout");

  ParameterStore store(loop.seed, read_initial(initial), initial);
  CodecTask task(task_config, store, std::move(train), std::move(heldout));
  store.finish();
  std::fprintf(stderr,
               "codec: %.1f million values (discriminators included), %lld tensors from %s\n",
               static_cast<double>(store.num_values()) * 1e-6,
               static_cast<long long>(store.num_initialised_from_source()),
               initial.empty() ? "nothing" : initial.c_str());
  const LoopEnd end = run_training(task, store, loop);
  models::TensorMap codec, discriminators;
  for (const auto& [name, tensor] : store.tensors())
    (name.starts_with("discriminators.") ? discriminators : codec)[name] = tensor;
  models::save_safetensors(loop.out_dir + "/codec.safetensors", codec,
                           {{"format", "duet-codec-1"}});
  models::save_safetensors(loop.out_dir + "/discriminators.safetensors", discriminators);
  return end == LoopEnd::kFinished ? 0 : 130;
}

int encode_code_set(const RecipeOptions& options) {
  const auto [codec, out, file, utterances] = read_codec_job(options, "encode");
  const auto encoder = read_codec_encoder(file, codec);
  const models::TensorMap codes = encode_codes(
      *encoder, codec.samples_per_frame(), utterances, [](int64_t done, int64_t total) {
        if (done % 200 == 0 || done == total)
          std::fprintf(stderr, "encoded %lld of %lld\n", static_cast<long long>(done),
                       static_cast<long long>(total));
      });
  models::save_safetensors(out, codes, {{"format", "duet-codes-1"}, {"codec", file}});
  return 0;
}

int write_codec_samples(const RecipeOptions& options) {
  const auto [codec, out, file, utterances] = read_codec_job(options, "heldout");
  const auto rate = static_cast<int>(codec.sample_rate_hz);
  models::TensorMapReader reader(read_codec_weights(file), file);
  const codecs::ConvNextEncoder encoder(codec, models::WeightScope(reader, "encoder."));
  const codecs::ConvNextDecoder decoder(codec, models::WeightScope(reader, "decoder."));
  reader.finish();
  fs::create_directories(out);
  std::ofstream list(out + "/samples.jsonl");
  const c10::InferenceMode inference;
  for (size_t i = 0; i < utterances.size(); ++i) {
    std::vector<float> samples = to_float(utterances[i].samples);
    const auto length = static_cast<int64_t>(samples.size());
    // Half a second of silence around it, as in a conversation.
    at::Tensor pcm = at::zeros({1, length + codec.sample_rate_hz});
    pcm.narrow(1, codec.sample_rate_hz / 2, length).copy_(at::tensor(at::ArrayRef<float>(samples)));
    const at::Tensor decoded = decoder.forward(encoder.forward(pcm)).contiguous();
    const std::string name = std::to_string(i);
    const auto write = [&](const std::string& kind, const at::Tensor& sound) {
      audio::write_wav_file(out + "/" + name + kind,
                            {sound.data_ptr<float>(), static_cast<size_t>(sound.numel())}, rate);
    };
    write("-original.wav", pcm);
    write("-decoded.wav", decoded);
    list << nlohmann::json{{"text", utterances[i].text},
                           {"original", name + "-original.wav"},
                           {"decoded", name + "-decoded.wav"}}
                .dump()
         << "\n";
  }
  list.close();
  if (!list)
    throw core::LoadError({.subject = "samples",
                           .expected = "a writable folder",
                           .found = {},
                           .file = out,
                           .hint = {}});
  std::fprintf(stderr, "%zu utterances, as they were and decoded: %s\n", utterances.size(),
               out.c_str());
  return 0;
}

}  // namespace duet::train
