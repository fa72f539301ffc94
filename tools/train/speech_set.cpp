#include "tools/train/speech_set.h"

#include <sndfile.h>
#include <soxr.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <unordered_map>
#include <utility>

#include "runtime/core/error.h"

namespace duet::train {
namespace {

namespace fs = std::filesystem;
using core::LoadError;

// Decoded audio on disk: magic, then records {u32 key bytes, key, u64 samples, int16 samples},
// appended only. The key names file, size, modification time, rate and trimming, so a changed file
// is simply a new record.
constexpr char kCacheMagic[8] = {'D', 'U', 'E', 'T', 'P', 'C', 'M', '1'};

struct SoundFileCloser {
  void operator()(SNDFILE* file) const { sf_close(file); }
};

std::vector<float> resample(const std::vector<float>& input, int from_hz, int to_hz,
                            const std::string& path) {
  if (from_hz == to_hz || input.empty()) return input;
  const size_t capacity =
      static_cast<size_t>(static_cast<double>(input.size()) * to_hz / from_hz + 16.0);
  std::vector<float> output(capacity);
  const soxr_quality_spec_t quality = soxr_quality_spec(SOXR_HQ, 0);
  size_t done = 0;
  const soxr_error_t error =
      soxr_oneshot(from_hz, to_hz, 1, input.data(), input.size(), nullptr, output.data(),
                   output.size(), &done, nullptr, &quality, nullptr);
  if (error != nullptr)
    throw LoadError({.subject = path, .expected = "audio that can be resampled", .found = error});
  output.resize(done);
  return output;
}

std::string field(const nlohmann::json& line, const char* name) {
  const auto found = line.find(name);
  if (found == line.end() || found->is_null()) return {};
  return found->is_string() ? found->get<std::string>() : found->dump();
}

std::string cache_key(const Utterance& utterance, const SpeechSetConfig& config) {
  std::error_code ignored;
  const auto size = fs::file_size(utterance.path, ignored);
  const auto time = fs::last_write_time(utterance.path, ignored).time_since_epoch().count();
  return utterance.path + "|" + std::to_string(size) + "|" + std::to_string(time) + "|" +
         std::to_string(config.sample_rate_hz) + "|" + std::to_string(config.edge_ms) + "|" +
         std::to_string(config.trim_db);
}

std::unordered_map<std::string, std::vector<int16_t>> read_cache(const std::string& path) {
  std::unordered_map<std::string, std::vector<int16_t>> records;
  std::ifstream file(path, std::ios::binary);
  char magic[8];
  if (!file.read(magic, sizeof magic) || std::memcmp(magic, kCacheMagic, sizeof magic) != 0)
    return records;
  uint32_t key_bytes = 0;
  uint64_t num_samples = 0;
  while (file.read(reinterpret_cast<char*>(&key_bytes), sizeof key_bytes) && key_bytes < 65536) {
    std::string key(key_bytes, '\0');
    if (!file.read(key.data(), key_bytes)) break;
    if (!file.read(reinterpret_cast<char*>(&num_samples), sizeof num_samples) ||
        num_samples > (1u << 30))
      break;
    std::vector<int16_t> samples(num_samples);
    if (!file.read(reinterpret_cast<char*>(samples.data()),
                   static_cast<std::streamsize>(num_samples * 2)))
      break;
    records[std::move(key)] = std::move(samples);  // a record cut short by a killed run is dropped
  }
  return records;
}

void append_record(std::ofstream& file, const std::string& key,
                   const std::vector<int16_t>& samples) {
  const auto key_bytes = static_cast<uint32_t>(key.size());
  const uint64_t num_samples = samples.size();
  file.write(reinterpret_cast<const char*>(&key_bytes), sizeof key_bytes);
  file.write(key.data(), key_bytes);
  file.write(reinterpret_cast<const char*>(&num_samples), sizeof num_samples);
  file.write(reinterpret_cast<const char*>(samples.data()),
             static_cast<std::streamsize>(num_samples * 2));
}

void write_cache(const std::string& path,
                 const std::vector<std::pair<std::string, const std::vector<int16_t>*>>& all) {
  const std::string temporary = path + ".new";
  {
    std::ofstream file(temporary, std::ios::binary | std::ios::trunc);
    file.write(kCacheMagic, sizeof kCacheMagic);
    for (const auto& [key, samples] : all) append_record(file, key, *samples);
    if (!file)
      throw LoadError(
          {.subject = "speech cache", .expected = "a writable file", .file = temporary});
  }
  fs::rename(temporary, path);
}

std::vector<int16_t> decode(const Utterance& utterance, const SpeechSetConfig& config) {
  const std::vector<float> audio = read_audio_mono(utterance.path, config.sample_rate_hz);
  const auto [begin, end] =
      find_sound(audio, config.sample_rate_hz, config.edge_ms, config.trim_db);
  std::vector<int16_t> samples(static_cast<size_t>(end - begin));
  for (size_t i = 0; i < samples.size(); ++i) {
    const float scaled = std::round(audio[static_cast<size_t>(begin) + i] * 32768.0f);
    samples[i] = static_cast<int16_t>(std::clamp(scaled, -32768.0f, 32767.0f));
  }
  return samples;
}

}  // namespace

void SpeechSetConfig::validate() const {
  const auto fail = [](const char* name, const char* expected, double found) {
    throw core::ConfigError(
        {.subject = name, .expected = expected, .found = std::to_string(found)});
  };
  if (manifests.empty())
    throw core::ConfigError({.subject = "manifests", .expected = "at least one .jsonl file"});
  if (sample_rate_hz < 4000 || sample_rate_hz > 96000)
    fail("sample_rate_hz", "4000 to 96000", sample_rate_hz);
  if (edge_ms < 0 || edge_ms > 200) fail("edge_ms", "0 to 200", edge_ms);
  if (trim_db < 10 || trim_db > 80) fail("trim_db", "10 to 80", trim_db);
  if (max_seconds <= 0) fail("max_seconds", "more than 0", max_seconds);
}

std::vector<Utterance> read_manifest(const std::string& path) {
  std::ifstream file(path);
  if (!file)
    throw LoadError({.subject = "speech manifest", .expected = "a readable file", .file = path});
  const fs::path folder = fs::path(path).parent_path();
  std::vector<Utterance> utterances;
  std::string text;
  for (int line_number = 1; std::getline(file, text); ++line_number) {
    if (text.find_first_not_of(" \t\r") == std::string::npos) continue;
    const bool last_unfinished = file.eof();
    const nlohmann::json line = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
    const std::string place = path + ":" + std::to_string(line_number);
    if (line.is_discarded() || !line.is_object()) {
      if (last_unfinished) break;
      throw LoadError({.subject = "speech manifest",
                       .expected = "a JSON object",
                       .found = text.substr(0, 60),
                       .file = place});
    }
    Utterance item;
    item.role = field(line, "role");
    item.text = field(line, "text");
    const std::string name = field(line, "file");
    for (const auto& [key, value] :
         {std::pair{"role", item.role}, {"text", item.text}, {"file", name}}) {
      if (value.empty())
        throw LoadError({.subject = std::string("speech manifest key \"") + key + "\"",
                         .expected = "a string",
                         .found = "nothing",
                         .file = place});
    }
    item.id = field(line, "id").empty() ? name : field(line, "id");
    item.split = field(line, "split").empty() ? "train" : field(line, "split");
    item.voice = field(line, "voice");
    item.engine = field(line, "engine");
    item.topic = field(line, "topic");
    if (line.contains("turn") && line["turn"].is_number_integer())
      item.turn = line["turn"].get<int64_t>();
    item.key = field(line, "key");
    item.reply = field(line, "reply");
    item.path = fs::path(name).is_absolute() ? name : (folder / name).string();
    if (line.contains("speed") && line["speed"].is_number())
      item.speed = line["speed"].get<double>();
    utterances.push_back(std::move(item));
  }
  return utterances;
}

std::vector<float> read_audio_mono(const std::string& path, int sample_rate_hz) {
  SF_INFO info{};
  const std::unique_ptr<SNDFILE, SoundFileCloser> file(sf_open(path.c_str(), SFM_READ, &info));
  if (!file)
    throw LoadError({.subject = path, .expected = "an audio file", .found = sf_strerror(nullptr)});
  std::vector<float> mono;
  mono.reserve(static_cast<size_t>(std::clamp<sf_count_t>(info.frames, 0, 1 << 26)));
  std::vector<float> block(4096 * static_cast<size_t>(info.channels));
  while (true) {  // Ogg files may not know their length: read until nothing comes
    const sf_count_t frames = sf_readf_float(file.get(), block.data(), 4096);
    if (frames <= 0) break;
    for (sf_count_t i = 0; i < frames; ++i) {
      float sum = 0.0f;
      for (int c = 0; c < info.channels; ++c)
        sum += block[static_cast<size_t>(i * info.channels + c)];
      mono.push_back(sum / static_cast<float>(info.channels));
    }
  }
  return resample(mono, info.samplerate, sample_rate_hz, path);
}

std::pair<int64_t, int64_t> find_sound(const std::vector<float>& samples, int sample_rate_hz,
                                       double edge_ms, double trim_db) {
  const int64_t frame = std::max(1, sample_rate_hz / 100);
  const int64_t total = static_cast<int64_t>(samples.size());
  const int64_t num_frames = (total + frame - 1) / frame;
  std::vector<float> peaks(static_cast<size_t>(num_frames), 0.0f);
  float loudest = 0.0f;
  for (int64_t i = 0; i < total; ++i) {
    float& peak = peaks[static_cast<size_t>(i / frame)];
    peak = std::max(peak, std::abs(samples[static_cast<size_t>(i)]));
    loudest = std::max(loudest, peak);
  }
  if (loudest <= 0.0f) return {0, 0};
  const float threshold = loudest * static_cast<float>(std::pow(10.0, -trim_db / 20.0));
  const auto is_sound = [&](float peak) { return peak > threshold; };
  const int64_t first = std::find_if(peaks.begin(), peaks.end(), is_sound) - peaks.begin();
  const int64_t last =
      num_frames - (std::find_if(peaks.rbegin(), peaks.rend(), is_sound) - peaks.rbegin());
  const auto edge = static_cast<int64_t>(edge_ms * sample_rate_hz / 1000.0);
  return {std::max<int64_t>(0, first * frame - edge), std::min(total, last * frame + edge)};
}

std::vector<Utterance> load_speech_set(const SpeechSetConfig& config,
                                       const std::function<void(int64_t, int64_t)>& progress) {
  config.validate();
  std::vector<Utterance> all;
  for (const std::string& manifest : config.manifests) {
    for (Utterance& item : read_manifest(manifest)) {
      const bool wanted = (config.role.empty() || item.role == config.role) &&
                          (config.split.empty() || item.split == config.split);
      if (wanted) all.push_back(std::move(item));
    }
  }
  auto cache = config.cache_file.empty() ? std::unordered_map<std::string, std::vector<int16_t>>{}
                                         : read_cache(config.cache_file);
  std::vector<Utterance> kept;
  std::vector<std::string> keys;
  bool has_new = false;
  for (size_t i = 0; i < all.size(); ++i) {
    if (progress && i % 200 == 0)
      progress(static_cast<int64_t>(i), static_cast<int64_t>(all.size()));
    Utterance& item = all[i];
    const std::string key = cache_key(item, config);
    if (const auto found = cache.find(key); found != cache.end()) {
      item.samples = found->second;
    } else {
      try {
        item.samples = decode(item, config);
      } catch (const LoadError&) {
        if (!config.skip_unreadable) throw;
        continue;
      }
      has_new = true;
    }
    if (item.samples.empty() ||
        static_cast<double>(item.samples.size()) > config.max_seconds * config.sample_rate_hz) {
      continue;
    }
    keys.push_back(key);
    kept.push_back(std::move(item));
  }
  if (has_new && !config.cache_file.empty()) {
    std::vector<std::pair<std::string, const std::vector<int16_t>*>> records;
    for (size_t i = 0; i < kept.size(); ++i) {
      cache.erase(keys[i]);
      records.emplace_back(keys[i], &kept[i].samples);
    }
    for (const auto& [key, samples] : cache) records.emplace_back(key, &samples);
    write_cache(config.cache_file, records);
  }
  if (progress) progress(static_cast<int64_t>(all.size()), static_cast<int64_t>(all.size()));
  return kept;
}

std::vector<float> to_float(const std::vector<int16_t>& samples) {
  std::vector<float> result(samples.size());
  std::transform(samples.begin(), samples.end(), result.begin(),
                 [](int16_t value) { return static_cast<float>(value) / 32768.0f; });
  return result;
}

}  // namespace duet::train
