#include "tools/train/duplex_material.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include "models/weights/quantised.h"
#include "runtime/core/error.h"
#include "tools/train/composed_speech.h"

namespace duet::train {
namespace {

namespace fs = std::filesystem;

constexpr char kCodesMagic[8] = {'D', 'U', 'E', 'T', 'C', 'O', 'D', '1'};

struct Codes {
  int64_t num_frames = 0;
  std::vector<int16_t> values;  // [K, num_frames]
};

// magic, u32 name bytes, name of the codec, then records {u32 key bytes, key, u32 frames, u32
// values, int16 values}.
std::unordered_map<std::string, Codes> read_codes(const std::string& path,
                                                  const std::string& codec_name) {
  std::unordered_map<std::string, Codes> out;
  std::ifstream file(path, std::ios::binary);
  const auto text = [&](std::string& value) {
    uint32_t bytes = 0;
    if (!file.read(reinterpret_cast<char*>(&bytes), 4) || bytes > 65536) return false;
    value.resize(bytes);
    return static_cast<bool>(file.read(value.data(), bytes));
  };
  char magic[8];
  std::string name;
  if (!file.read(magic, 8) || std::memcmp(magic, kCodesMagic, 8) != 0 || !text(name) ||
      name != codec_name)
    return out;
  std::string key;
  while (text(key)) {
    uint32_t sizes[2];
    if (!file.read(reinterpret_cast<char*>(sizes), 8) || sizes[1] > (1u << 24)) break;
    Codes codes{sizes[0], std::vector<int16_t>(sizes[1])};
    if (!file.read(reinterpret_cast<char*>(codes.values.data()),
                   static_cast<std::streamsize>(sizes[1]) * 2))
      break;
    out[key] = std::move(codes);
  }
  return out;
}

void write_codes(const std::string& path, const std::string& codec_name,
                 const std::unordered_map<std::string, Codes>& all) {
  std::ofstream file(path + ".new", std::ios::binary | std::ios::trunc);
  const auto text = [&](const std::string& value) {
    const auto bytes = static_cast<uint32_t>(value.size());
    file.write(reinterpret_cast<const char*>(&bytes), 4);
    file.write(value.data(), bytes);
  };
  file.write(kCodesMagic, 8);
  text(codec_name);
  for (const auto& [key, codes] : all) {
    text(key);
    const uint32_t sizes[2] = {static_cast<uint32_t>(codes.num_frames),
                               static_cast<uint32_t>(codes.values.size())};
    file.write(reinterpret_cast<const char*>(sizes), 8);
    file.write(reinterpret_cast<const char*>(codes.values.data()),
               static_cast<std::streamsize>(codes.values.size()) * 2);
  }
  file.close();
  if (!file)
    throw core::LoadError({.subject = "codes cache",
                           .expected = "a writable file",
                           .found = {},
                           .file = path,
                           .hint = {}});
  fs::rename(path + ".new", path);
}

Codes encode(const codecs::CodecEncoder& codec, const std::vector<int16_t>& samples) {
  const c10::InferenceMode inference;
  std::vector<float> audio = to_float(samples);
  const at::Tensor pcm = at::from_blob(audio.data(), {1, static_cast<int64_t>(audio.size())});
  const at::Tensor codes = codec.forward(pcm)[0].to(at::kShort).contiguous();
  return {codes.size(1), {codes.data_ptr<int16_t>(), codes.data_ptr<int16_t>() + codes.numel()}};
}

// A unit's codes between its neighbours: encoded alone its first and last sounds are lost. Made
// once for each three that meet.
class ContextCodes {
 public:
  ContextCodes(const std::vector<Utterance>& sounds, const codecs::CodecEncoder& codec,
               const std::vector<AgentClip>& units)
      : sounds_(sounds), codec_(codec), units_(units) {}

  /// Copies of `which` with the codes they have in this order.
  std::vector<AgentClip> units_of(const std::vector<uint32_t>& which) {
    std::vector<AgentClip> out;
    for (size_t i = 0; i < which.size(); ++i) {
      const int64_t before = i == 0 ? int64_t{-1} : int64_t{which[i - 1]};
      const int64_t after = i + 1 == which.size() ? int64_t{-1} : int64_t{which[i + 1]};
      AgentClip unit;
      unit.tokens = units_[which[i]].tokens;
      unit.num_frames = units_[which[i]].num_frames;
      unit.codes = codes_of({before, which[i], after});
      out.push_back(std::move(unit));
    }
    return out;
  }

 private:
  const std::vector<int16_t>& codes_of(const std::array<int64_t, 3>& three) {
    const auto [found, is_new] = known_.try_emplace(three);
    if (!is_new) return found->second;
    std::vector<int16_t> samples;
    const int64_t begin = three[0] < 0 ? 0 : units_[static_cast<size_t>(three[0])].num_frames;
    for (const int64_t unit : three) {
      if (unit < 0) continue;
      const auto& sound = sounds_[static_cast<size_t>(unit)].samples;
      samples.insert(samples.end(), sound.begin(), sound.end());
    }
    const Codes all = encode(codec_, samples);
    const int64_t frames = units_[static_cast<size_t>(three[1])].num_frames;
    const auto books = static_cast<int64_t>(all.values.size()) / all.num_frames;
    for (int64_t k = 0; k < books; ++k)
      found->second.insert(found->second.end(), all.values.begin() + k * all.num_frames + begin,
                           all.values.begin() + k * all.num_frames + begin + frames);
    return found->second;
  }

  const std::vector<Utterance>& sounds_;
  const codecs::CodecEncoder& codec_;
  const std::vector<AgentClip>& units_;
  std::map<std::array<int64_t, 3>, std::vector<int16_t>> known_;
};

// Replies strung together from units take the place of recordings of the same words: one text, one
// sound.
// `sounds` are the units' samples at the codec's rate.
void add_composed(const std::vector<std::string>& paths, const std::vector<Utterance>& sounds,
                  const codecs::CodecEncoder& codec, DialogueMaterial& material) {
  ContextCodes context(sounds, codec, material.units);
  std::unordered_set<std::string> texts;
  std::vector<AgentClip> composed;
  for (const std::string& path : paths)
    for (ComposedReply& reply : read_composed(path, sounds)) {
      if (!texts.insert(reply.text).second) continue;
      const std::vector<AgentClip> parts = context.units_of(reply.units);
      composed.push_back(compose_clip(std::move(reply.text), parts, std::move(reply.units)));
    }
  std::erase_if(material.agents,
                [&](const AgentClip& clip) { return texts.count(clip.text) != 0; });
  std::move(composed.begin(), composed.end(), std::back_inserter(material.agents));
}

bool is_composed(const std::string& topic) {
  return topic == "sum" || topic == "order" || topic == "correction" || topic == "repeat order";
}

}  // namespace

models::TensorMap read_codec_weights(const std::string& path) {
  models::TensorMap all = models::load_weights(path), out;
  const std::string inside = "codec.";
  const bool is_model = std::any_of(
      all.begin(), all.end(), [&](const auto& entry) { return entry.first.starts_with(inside); });
  for (auto& [name, tensor] : all) {
    std::string plain = name.starts_with("model.") ? name.substr(6) : name;
    // A model directory has a speech encoder too, by the name that a codec's has elsewhere.
    if (is_model && !name.starts_with(inside)) continue;
    if (is_model) plain = plain.substr(inside.size());
    if (plain.starts_with("encoder.") || plain.starts_with("decoder."))
      out[plain] = tensor.to(at::kFloat).contiguous();
  }
  return out;
}

std::unique_ptr<codecs::ConvNextEncoder> read_codec_encoder(
    const std::string& path, const codecs::ConvNextCodecConfig& config) {
  models::TensorMap tensors;
  for (const auto& [name, tensor] : read_codec_weights(path))
    if (name.starts_with("encoder.")) tensors[name] = tensor;
  models::TensorMapReader reader(std::move(tensors), path);
  auto codec =
      std::make_unique<codecs::ConvNextEncoder>(config, models::WeightScope(reader, "encoder."));
  reader.finish();
  return codec;
}

std::string agent_tokenizer_flags() {
  return "--pad_id=0 --pad_piece='<sil>' --bos_id=1 --eos_id=2 --unk_id=3 --hard_vocab_limit=false "
         "--split_digits=true";
}

std::vector<std::string> agent_tokenizer_texts(const std::vector<std::string>& manifests) {
  std::set<std::string> texts;
  for (const std::string& manifest : manifests)
    for (const Utterance& item : read_manifest(manifest)) {
      if (item.role == "agent") texts.insert(item.text);
      if (!item.reply.empty() && item.split == "train") texts.insert(item.reply);
    }
  for (char letter = 'A'; letter <= 'Z'; ++letter)
    for (const char* around : {"", ",", "."}) {
      texts.insert(std::string(1, letter) + around);
      texts.insert(std::string(1, static_cast<char>(letter + 32)) + around);
    }
  for (char digit = '0'; digit <= '9'; ++digit) texts.insert(std::string(1, digit));
  return {texts.begin(), texts.end()};
}

std::vector<Utterance> without_heldout(std::vector<Utterance> users,
                                       const std::vector<std::string>& manifests) {
  std::unordered_set<std::string> texts, replies;
  for (const std::string& manifest : manifests)
    for (const Utterance& item : read_manifest(manifest)) {
      if (item.role != "user" || item.split != "heldout") continue;
      if (item.topic != "backchannel") texts.insert(item.text);
      if (is_composed(item.topic) && item.topic != "correction" && !item.reply.empty())
        replies.insert(item.reply);
    }
  std::erase_if(users, [&](const Utterance& item) {
    return item.split != "train" || texts.count(item.text) != 0 ||
           (is_composed(item.topic) && replies.count(item.reply) != 0);
  });
  return users;
}

std::vector<int64_t> silence_codes(const codecs::CodecEncoder& codec, int64_t codec_rate_hz) {
  const c10::InferenceMode inference;
  const at::Tensor codes =
      codec.forward(at::zeros({1, 2 * codec_rate_hz}))[0].contiguous();  // [K, T]
  const int64_t middle = codes.size(1) / 2;
  std::vector<int64_t> out;
  for (int64_t k = 0; k < codes.size(0); ++k) out.push_back(codes[k][middle].item<int64_t>());
  return out;
}

DialogueMaterial load_material(const MaterialConfig& config,
                               const models::SentencePieceModel& pieces,
                               const codecs::CodecEncoder& codec, int64_t codec_rate_hz,
                               const std::string& codec_name,
                               const std::function<void(const std::string&)>& progress) {
  const auto say = [&](const std::string& line) {
    if (progress) progress(line);
  };
  const auto cached = [&](const char* name) {
    return config.cache_dir.empty() ? std::string{} : (fs::path(config.cache_dir) / name).string();
  };
  if (!config.cache_dir.empty()) fs::create_directories(config.cache_dir);
  DialogueMaterial material;
  SpeechSetConfig set;
  set.manifests = config.manifests;
  set.skip_unreadable =
      true;  // a manifest may run ahead of its files while speech is still being made
  set.role = "user";
  set.split = "train";
  set.trim_db = 40.0;
  set.max_seconds = config.max_user_seconds;
  set.cache_file = cached("user16k.pcm");
  material.users = without_heldout(load_speech_set(set), config.manifests);
  say(std::to_string(material.users.size()) + " user utterances");

  set.role = "agent";
  set.split.clear();
  set.edge_ms = 30.0;
  set.trim_db = 44.0;
  set.max_seconds = config.max_agent_seconds;
  set.cache_file = cached("agent16k.pcm");
  std::unordered_map<std::string, std::vector<int16_t>> echo;
  for (Utterance& item : load_speech_set(set)) echo[item.path] = std::move(item.samples);
  set.sample_rate_hz = static_cast<int>(codec_rate_hz);
  set.cache_file = cached("agent.pcm");
  auto known = config.cache_dir.empty() ? std::unordered_map<std::string, Codes>{}
                                        : read_codes(cached("agent.codes"), codec_name);
  std::unordered_map<std::string, Codes> used;
  int64_t made = 0;
  const auto make_clip = [&](const Utterance& item, std::vector<int16_t> sound) {
    const std::string key = item.path + "|" + std::to_string(item.samples.size());
    Codes codes;
    if (const auto found = known.find(key); found != known.end()) {
      codes = found->second;
    } else {
      codes = encode(codec, item.samples);
      if (++made % 250 == 0) say(std::to_string(made) + " replies encoded");
    }
    AgentClip clip;
    clip.text = item.text;
    for (int id : pieces.encode(item.text)) clip.tokens.push_back(id);
    clip.num_frames = codes.num_frames;
    clip.codes = codes.values;
    clip.samples = std::move(sound);
    used[key] = std::move(codes);
    return clip;
  };
  for (const Utterance& item : load_speech_set(set))
    material.agents.push_back(make_clip(item, std::move(echo[item.path])));
  if (!config.units.empty()) {
    set.manifests = config.units;
    set.cache_file.clear();
    const std::vector<Utterance> units = load_units(set);
    set.sample_rate_hz = 16000;
    std::vector<Utterance> heard = load_units(set);
    for (size_t i = 0; i < units.size(); ++i)
      material.units.push_back(make_clip(units[i], std::move(heard[i].samples)));
    add_composed(config.composed, units, codec, material);
    say(std::to_string(material.units.size()) + " units, " +
        std::to_string(material.agents.size()) + " replies with those strung together from them");
  }
  if (made > 0 && !config.cache_dir.empty()) write_codes(cached("agent.codes"), codec_name, used);
  say(std::to_string(material.agents.size()) + " replies, " + std::to_string(made) +
      " newly encoded");
  for (const std::string& path : config.scripts)
    for (DialogueScript& script : read_scripts(path))
      if (script.split == "train") material.scripts.push_back(std::move(script));
  material.silence = silence_codes(codec, codec_rate_hz);
  return material;
}

}  // namespace duet::train
