#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "codecs/neural/convnext_codec.h"
#include "models/weights/quantised.h"
#include "models/weights/safetensors.h"
#include "runtime/core/error.h"
#include "tools/train/duplex_material.h"
#include "tools/train/duplex_recipe.h"
#include "tools/train/duplex_task.h"
#include "tools/train/encoder_task.h"
#include "tools/train/recipe.h"

namespace duet::train {
namespace {

namespace fs = std::filesystem;

models::DuplexLmConfig read_lm(const core::ConfigReader& node) {
  models::DuplexLmConfig out;
  out.llm.hidden = node.get_int("hidden", 512);
  out.llm.layers = node.get_int("layers", 8);
  out.llm.heads = node.get_int("heads", 8);
  out.llm.kv_heads = node.get_int("kv_heads", 4);
  out.llm.head_dim = node.get_int("head_dim", 64);
  out.llm.intermediate = node.get_int("intermediate", 1408);
  out.llm.window = node.get_int("window", 256);
  out.tie_text = node.get_bool("tie_text", false);
  out.tie_audio = node.get_bool("tie_audio", false);
  return out;
}

DialogueConfig read_dialogue(const core::ConfigReader& node, const core::ConfigReader& top) {
  DialogueConfig out;
  out.num_steps = node.get_int("steps", out.num_steps, core::IntRange{100, 100000});
  out.reply_delay_low = node.get_int("reply_delay_low", out.reply_delay_low);
  out.reply_delay_high = node.get_int("reply_delay_high", out.reply_delay_high);
  out.cut_steps = node.get_int("cut_steps", out.cut_steps);
  out.ambiguous_cut_steps = node.get_int("ambiguous_cut_steps", out.ambiguous_cut_steps);
  const auto read = [&](const char* key, double& value) { value = node.get_double(key, value); };
  read("reply_early_probability", out.reply_early_probability);
  read("barge_in_probability", out.barge_in_probability);
  read("stop_word_probability", out.stop_word_probability);
  read("second_barge_in_probability", out.second_barge_in_probability);
  read("backchannel_probability", out.backchannel_probability);
  read("agent_backchannel_probability", out.agent_backchannel_probability);
  read("pause_probability", out.pause_probability);
  read("lead_probability", out.lead_probability);
  read("monologue_probability", out.monologue_probability);
  read("script_probability", out.script_probability);
  read("long_gap_probability", out.long_gap_probability);
  read("distraction_probability", out.distraction_probability);
  read("empty_probability", out.empty_probability);
  read("echo_probability", out.echo_probability);
  const core::ConfigReader topics = node.sub_or_empty("topics");
  for (const std::string& topic : topics.keys())
    out.topic_weights[topic] = topics.get_double(topic);
  const core::ConfigReader engines = node.sub_or_empty("engines");
  for (const std::string& engine : engines.keys())
    out.engine_shares[engine] = engines.get_double(engine);
  out.augment = read_augment(top);
  return out;
}

BatchConfig read_batch(const core::ConfigReader& node) {
  BatchConfig out;
  out.pad_weight = node.get_double("pad_weight", out.pad_weight, core::DoubleRange{0.0, 10.0});
  out.silence_weight =
      node.get_double("silence_weight", out.silence_weight, core::DoubleRange{0.0, 10.0});
  out.silence_share =
      node.get_double("silence_share", out.silence_share, core::DoubleRange{0.01, 1.0});
  out.code_noise = node.get_double("code_noise", out.code_noise, core::DoubleRange{0.0, 1.0});
  return out;
}

std::unique_ptr<codecs::ConvNextEncoder> make_codec(const std::string& path,
                                                    const codecs::ConvNextCodecConfig& config) {
  if (path.empty()) {
    ParameterStore random(1);
    std::fprintf(stderr, "no codec given: codes are those of a random one (a dry run)\n");
    return std::make_unique<codecs::ConvNextEncoder>(config,
                                                     models::WeightScope(random, "encoder."));
  }
  return read_codec_encoder(path, config);
}

std::string identity(const std::string& path) {
  if (path.empty()) return "random";
  std::error_code ignored;
  return fs::weakly_canonical(path).string() + "|" + std::to_string(fs::file_size(path, ignored)) +
         "|" + std::to_string(fs::last_write_time(path, ignored).time_since_epoch().count());
}

// Held-out questions that stand alone, at most `limit`, spread evenly over the topics.
std::vector<Utterance> read_questions(const MaterialConfig& material, int64_t limit) {
  SpeechSetConfig set;
  set.manifests = material.manifests;
  set.role = "user";
  set.split = "heldout";
  set.trim_db = 40.0;
  set.skip_unreadable = true;
  set.max_seconds = 10.0;
  std::map<std::string, std::vector<Utterance>> by_topic;
  for (Utterance& item : load_speech_set(set))
    if (!item.key.empty() && !item.reply.empty() && item.key != "[]" && item.topic != "stop" &&
        item.turn == 0)
      by_topic[item.topic].push_back(std::move(item));
  std::vector<Utterance> out;
  for (size_t round = 0; static_cast<int64_t>(out.size()) < limit; ++round) {
    const size_t before = out.size();
    for (auto& [topic, items] : by_topic) {
      const size_t weight = topic == "sum" || topic == "order" ? 3 : 1;
      for (size_t i = round * weight; i < std::min(items.size(), (round + 1) * weight); ++i)
        out.push_back(items[i]);
    }
    if (out.size() == before) break;
  }
  if (static_cast<int64_t>(out.size()) > limit) out.resize(static_cast<size_t>(limit));
  return out;
}

}  // namespace

models::DuplexLmConfig read_duplex_lm(const core::ConfigReader& recipe) {
  return read_lm(recipe.sub_or_empty("lm"));
}

int train_duplex(const RecipeOptions& options) {
  const core::ConfigReader config =
      core::ConfigReader::load_file(options.config, options.overrides);
  const LoopConfig loop = read_loop(config, options);
  DuplexTask::Config task_config;
  task_config.encoder = read_encoder(config.sub_or_empty("encoder"));
  task_config.lm = read_lm(config.sub_or_empty("lm"));
  task_config.optimizer = read_optimizer(config);
  task_config.batch = read_batch(config);
  task_config.batch_dialogues = config.get_int("batch_dialogues", 8, core::IntRange{1, 10000});
  task_config.fresh_dialogues = config.get_int("fresh_dialogues", 0, core::IntRange{0, 10000});
  task_config.pool_dialogues =
      config.get_int("pool_dialogues", task_config.pool_dialogues, core::IntRange{1, 1000000});
  task_config.text_weight = config.get_double("text_weight", task_config.text_weight);
  task_config.audio_weight = config.get_double("audio_weight", task_config.audio_weight);
  task_config.text_focus = config.get_bool("text_focus", task_config.text_focus);
  task_config.ctc_weight = config.get_double("ctc_weight", task_config.ctc_weight);
  task_config.has_ctc_input = config.get_bool("ctc_input", true);
  task_config.encoder_lr_ratio =
      config.get_double("encoder_lr_ratio", task_config.encoder_lr_ratio);
  task_config.bf16 = config.get_bool("bf16", true);
  task_config.data_seed = loop.seed;
  const std::string train_encoder =
      config.get_choice("train_encoder", "top", {"none", "top", "all"});
  task_config.train_encoder = train_encoder == "none"  ? TrainEncoder::kNone
                              : train_encoder == "top" ? TrainEncoder::kTop
                                                       : TrainEncoder::kAll;
  const std::string encoder_weights = config.get_string("encoder_weights", "");
  const std::string ctc_pieces = config.get_string("ctc_pieces");
  const std::string codec_weights = config.get_string("codec_weights", "");
  const std::string start_from = config.get_string("start_from", "");
  const std::string agent_tokenizer = config.get_string("agent_tokenizer", "");
  const int64_t agent_pieces = config.get_int("agent_pieces", 1000, core::IntRange{100, 60000});
  const int64_t questions = config.get_int("eval_questions", 32, core::IntRange{0, 100000});
  MaterialConfig material_config;
  const core::ConfigReader data = config.sub("data");
  material_config.manifests = data.get_string_list("manifests");
  material_config.scripts = data.get_string_list("scripts", {});
  material_config.units = data.get_string_list("units", {});
  material_config.composed = data.get_string_list("composed", {});
  const std::vector<std::string> written_paths = data.get_string_list("written", {});
  const std::vector<std::string> asked_paths = data.get_string_list("asked", {});
  if (!written_paths.empty())
    task_config.written_dialogues =
        config.get_int("written_dialogues", task_config.batch_dialogues, core::IntRange{0, 10000});
  task_config.written_weight = config.get_double("written_weight", task_config.written_weight);
  task_config.written_features = config.get_bool("written_features", task_config.written_features);
  task_config.feature_dropout = config.get_double("feature_dropout", task_config.feature_dropout,
                                                  core::DoubleRange{0.0, 1.0});
  task_config.heard_utterances =
      config.get_int("heard_utterances", task_config.heard_utterances, core::IntRange{0, 1000});
  const double written_recorded =
      config.get_double("written_recorded", WrittenConfig{}.recorded, core::DoubleRange{0.0, 1.0});
  const double written_drills =
      config.get_double("written_drills", 0.0, core::DoubleRange{0.0, 1.0});
  const double drills_spoken = config.get_double("drills_spoken", 0.7, core::DoubleRange{0.0, 1.0});
  std::map<std::string, double> drill_topics;
  const core::ConfigReader drill_node = config.sub_or_empty("drill_topics");
  for (const std::string& topic : drill_node.keys())
    drill_topics[topic] = drill_node.get_double(topic);
  const double written_hurried =
      config.get_double("written_hurried", WrittenConfig{}.hurried, core::DoubleRange{0.0, 1.0});
  material_config.cache_dir = data.get_string("cache", loop.out_dir + "/cache");
  DialogueConfig dialogue = read_dialogue(config.sub_or_empty("dialogue"), config);
  task_config.utterance_channel = dialogue.augment;
  config.finish();
  std::vector<NamedFile> files{{"encoder_weights", encoder_weights},
                               {"ctc_pieces", ctc_pieces},
                               {"codec_weights", codec_weights},
                               {"start_from", start_from},
                               {"agent_tokenizer", agent_tokenizer}};
  for (const std::string& path : material_config.manifests)
    files.push_back({"data.manifests", path});
  for (const std::string& path : material_config.scripts) files.push_back({"data.scripts", path});
  for (const std::string& path : asked_paths) files.push_back({"data.asked", path});
  for (const std::string& path : material_config.units) files.push_back({"data.units", path});
  for (const std::string& path : material_config.composed) files.push_back({"data.composed", path});
  require_files(config, files);

  fs::create_directories(loop.out_dir);
  const std::string pieces_path =
      !agent_tokenizer.empty()
          ? agent_tokenizer
          : make_pieces(agent_tokenizer_texts(material_config.manifests),
                        loop.out_dir + "/tokenizer", static_cast<int>(agent_pieces),
                        agent_tokenizer_flags());
  const models::SentencePieceModel pieces(pieces_path);
  const models::SentencePieceModel heard_pieces(ctc_pieces);
  const codecs::ConvNextCodecConfig codec_config;
  const auto codec = make_codec(codec_weights, codec_config);
  DialogueMaterial material = load_material(
      material_config, pieces, *codec, codec_config.sample_rate_hz, identity(codec_weights),
      [](const std::string& line) { std::fprintf(stderr, "data: %s\n", line.c_str()); });
  task_config.batch.silence = material.silence;
  task_config.batch.codebook_size = dialogue.codebook_size = codec->fsq().codebook_size();
  task_config.lm.num_codebooks = codec_config.num_groups;
  task_config.lm.code_vocab = dialogue.codebook_size + 3;
  task_config.lm.text_pad = task_config.batch.text_pad = dialogue.text_pad = TextIds{}.pad;
  std::shared_ptr<const WrittenMixer> written;
  if (task_config.written_dialogues > 0) {
    WrittenConfig written_config;
    written_config.num_steps = dialogue.num_steps;
    written_config.codebook_size = dialogue.codebook_size;
    written_config.text_pad = dialogue.text_pad;
    written_config.text_bos = dialogue.text_bos;
    written_config.text_eos = dialogue.text_eos;
    written_config.num_heard_pieces = heard_pieces.size();
    written_config.recorded = written_recorded;
    written_config.hurried = written_hurried;
    written_config.drills = written_drills;
    written_config.drill_topics = drill_topics;
    written_config.drills_spoken = drills_spoken;
    written_config.topic_weights = dialogue.topic_weights;
    const auto read = [](const std::vector<std::string>& paths) {
      std::vector<DialogueScript> scripts;
      for (const std::string& path : paths)
        for (DialogueScript& script : read_scripts(path))
          if (script.split == "train") scripts.push_back(std::move(script));
      return scripts;
    };
    std::vector<DialogueScript> conversations = read(written_paths), asked = read(asked_paths);
    const size_t num_conversations = conversations.size();
    const auto encode = [](const models::SentencePieceModel& model, const std::string& text) {
      const std::vector<int> ids = model.encode(text);
      return std::vector<int64_t>(ids.begin(), ids.end());
    };
    std::vector<AgentClip> clips = material.agents;
    for (AgentClip& clip : clips) clip.samples = {};
    written = std::make_shared<const WrittenMixer>(
        written_config, std::move(conversations), std::move(clips), material.silence,
        [&](const std::string& text) { return encode(heard_pieces, normalise_transcript(text)); },
        [&](const std::string& text) { return encode(pieces, text); }, std::move(asked));
    std::fprintf(stderr, "data: %zu conversations in writing, %zu of them with recorded replies\n",
                 num_conversations, written->num_recorded());
  }
  auto mixer = std::make_shared<const DialogueMixer>(dialogue, std::move(material));
  for (const auto& [topic, count] : mixer->topic_counts())
    std::fprintf(stderr, "  %-24s %lld\n", topic.c_str(), static_cast<long long>(count));
  std::fprintf(stderr, "silence:");
  for (int64_t code : mixer->material().silence)
    std::fprintf(stderr, " %lld", static_cast<long long>(code));
  std::fprintf(stderr, "\n");

  models::TensorMap initial =
      read_part(encoder_weights.empty() ? start_from : encoder_weights, "encoder.");
  for (auto& [name, tensor] : read_part(start_from, "lm.")) initial[name] = tensor;
  ParameterStore store(loop.seed, initial, start_from.empty() ? encoder_weights : start_from);
  DuplexTask task(task_config, store, mixer, pieces_path, ctc_pieces,
                  read_questions(material_config, questions), written);
  store.finish();
  std::fprintf(stderr, "duplex: %.1f million values, %lld tensors given\n",
               static_cast<double>(store.num_values()) * 1e-6,
               static_cast<long long>(store.num_initialised_from_source()));
  const LoopEnd end = run_training(task, store, loop);
  models::save_safetensors(loop.out_dir + "/duplex.safetensors", store.tensors(),
                           {{"format", "duet-duplex-1"}});
  return end == LoopEnd::kFinished ? 0 : 130;
}

}  // namespace duet::train
