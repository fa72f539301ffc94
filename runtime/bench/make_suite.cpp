#include "runtime/bench/make_suite.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <set>

#include "audio/audio_file.h"
#include "audio/resampler.h"
#include "codecs/wire/ogg_opus_encoder.h"
#include "runtime/activity.h"
#include "runtime/bench/answer_key_json.h"
#include "runtime/bench/script.h"
#include "runtime/core/atomic_file.h"
#include "runtime/core/error.h"

namespace duet::runtime::bench {

namespace {

namespace fs = std::filesystem;

/// Answers this long leave room for an event inside, with 1.5 s to go after it.
constexpr std::size_t kLongReplyWords = 12;
constexpr double kEdgeSeconds = 0.02;
constexpr int kRateHz = wire::OggOpusEncoder::kRateHz;

struct Question {
  std::string id, voice, topic, text, reply, key, path;
  std::optional<Segment> trim;
};

std::size_t num_words(const std::string& text) {
  return static_cast<std::size_t>(std::count(text.begin(), text.end(), ' ')) + !text.empty();
}

std::vector<float> load(const Question& question) {
  const audio::AudioClip clip = audio::load_audio_file(question.path);
  std::vector<float> samples = clip.samples;
  if (question.trim) {
    const auto at = [&](double s) {
      return std::clamp<std::ptrdiff_t>(std::lround(s * clip.rate_hz), 0, std::ssize(samples));
    };
    samples = {samples.begin() + at(question.trim->start_s - kEdgeSeconds),
               samples.begin() + at(question.trim->end_s + kEdgeSeconds)};
  }
  return audio::resample(samples, clip.rate_hz, kRateHz);
}

class Maker {
 public:
  explicit Maker(const MakeOptions& options) : options_(options), random_(options.seed) {
    read_manifest();
    limit_pool();
  }

  std::string make() {
    fs::create_directories(fs::path(options_.folder) / "audio");
    std::string text = head();
    for (std::size_t i = 0; i < options_.num_dialogs; ++i) {
      char id[32];
      std::snprintf(id, sizeof id, "d%03zu", i + 1);
      text += "  - id: " + std::string(id) + "\n    events:\n" + dialog(i);
    }
    const std::string path = (fs::path(options_.folder) / "suite.yaml").string();
    core::write_file_atomically(path, text);
    return path;
  }

 private:
  void read_manifest() {
    std::ifstream stream(options_.manifest);
    if (!stream) fail_load("a readable file", "none");
    std::string line;
    for (int number = 1; std::getline(stream, line); ++number) {
      try {
        add(nlohmann::json::parse(line));
      } catch (const nlohmann::json::exception& error) {
        fail_load("a manifest entry in line " + std::to_string(number), error.what());
      }
    }
  }

  void add(const nlohmann::json& entry) {
    static const std::set<std::string> kDependent = {"stop",        "cancel",       "correction",
                                                     "recall name", "repeat order", "lead"};
    const auto& splits = options_.splits;
    if (entry.at("role") != "user" || entry.value("alone", false) ||
        std::find(splits.begin(), splits.end(), entry.at("split")) == splits.end())
      return;
    Question question;
    question.id = entry.at("id");
    question.topic = entry.at("topic");
    if (kDependent.contains(question.topic)) return;
    question.voice = entry.at("voice");
    question.text = entry.at("text");
    question.reply = entry.value("reply", "");
    question.path =
        (fs::path(options_.manifest).parent_path() / entry.at("file").get<std::string>()).string();
    if (entry.contains("trim") && !entry["trim"].is_null())
      question.trim = Segment{entry["trim"].at(0), entry["trim"].at(1)};
    if (question.topic == "backchannel") {
      backchannels_.push_back(question);
    } else if (!question.reply.empty()) {
      question.key =
          answer_key_to_json(answer_key_from_json(entry.at("key").dump(), question.topic));
      questions_.push_back(question);
    }
  }

  /// A draw of the questions, the long answers all kept before short ones come in.
  void limit_pool() {
    shuffle(questions_);
    shuffle(backchannels_);
    std::stable_partition(questions_.begin(), questions_.end(),
                          [](const Question& q) { return num_words(q.reply) >= kLongReplyWords; });
    if (questions_.size() > options_.max_clips) questions_.resize(options_.max_clips);
    for (const Question& question : questions_) {
      by_voice_[question.voice].push_back(&question);
      if (num_words(question.reply) >= kLongReplyWords) long_.push_back(&question);
    }
    std::erase_if(by_voice_, [](const auto& voice) { return voice.second.size() < 3; });
    for (const auto& [name, list] : by_voice_) voices_.push_back(name);
  }

  template <typename T>
  void shuffle(std::vector<T>& list) {
    for (std::size_t i = list.size(); i > 1; --i) std::swap(list[i - 1], list[random_() % i]);
  }

  const Question& pick_long() {
    if (long_.empty()) fail_few("questions with an answer of 12 words or more", 0);
    return *long_[num_long_++ % long_.size()];
  }

  std::string dialog(std::size_t index) {
    const SuiteKind kind =
        options_.kind == SuiteKind::kSmoke
            ? static_cast<SuiteKind>(index % static_cast<std::size_t>(SuiteKind::kSmoke))
            : options_.kind;
    switch (kind) {
      case SuiteKind::kPauses: return pause();
      case SuiteKind::kBackchannels: return backchannel();
      case SuiteKind::kNoise: return noise(index);
      case SuiteKind::kEcho: return echo(index);
      default: return impatient(index);
    }
  }

  std::string impatient(std::size_t index) {
    if (voices_.empty()) fail_few("a voice with three questions", 0);
    std::vector<const Question*> turns = by_voice_[voices_[index % voices_.size()]];
    shuffle(turns);
    // Only the last answer is not interrupted and may be short.
    std::stable_partition(turns.begin(), turns.end(),
                          [](const Question* q) { return num_words(q->reply) >= kLongReplyWords; });
    std::swap(turns[2], turns[2 + random_() % (turns.size() - 2)]);
    turns.resize(3);
    std::string text = turn("question", *turns[0], "");
    for (std::size_t i = 1; i < turns.size(); ++i)
      text += turn("interruption", *turns[i],
                   "        anchor: halved_silence\n        offset_s: 0.5\n");
    return text;
  }

  std::string pause() {
    for (std::size_t tries = 0; tries < questions_.size(); ++tries) {
      const Question& question = questions_[num_pauses_++ % questions_.size()];
      const auto samples = load(question);
      const std::size_t cut = find_cut(samples, kRateHz);
      if (cut == 0) continue;
      const auto middle = samples.begin() + static_cast<std::ptrdiff_t>(cut);
      const std::string first = save(question.id + "-1", {samples.begin(), middle});
      const std::string second = save(question.id + "-2", {middle, samples.end()});
      return "      - kind: pause\n        audio: " + first +
             "\n        text: " + nlohmann::json(question.text).dump() +
             "\n        pause_s: [0.4, 1.5]\n" + turn("question", question, "", second);
    }
    fail_few("questions with a place to cut", 0);
  }

  std::string backchannel() {
    if (backchannels_.empty()) fail_few("backchannels", 0);
    const Question& word = backchannels_[num_words_++ % backchannels_.size()];
    return turn("question", pick_long(), "") +
           "      - kind: backchannel\n        audio: " + save(word.id, load(word)) +
           "\n        text: " + nlohmann::json(word.text).dump() +
           "\n        anchor: after_agent_onset\n        offset_s: [0.8, 1.4]\n";
  }

  std::string noise(std::size_t index) {
    static const std::vector<std::string> kNames = {"cough", "door", "music", "second speaker"};
    const std::string& name = kNames[index % kNames.size()];
    const std::string place = "        anchor: after_agent_onset\n        offset_s: [0.8, 1.4]\n";
    const std::string asked = turn("question", pick_long(), "");
    if (name != "second speaker") {
      return asked + "      - kind: noise\n        audio: " +
             save(name, make_noise(name, kRateHz, options_.seed)) + "\n        text: " + name +
             "\n        gain_db: -6\n" + place;
    }
    const Question& other = questions_[num_others_++ % questions_.size()];
    return asked + "      - kind: second_speaker\n        audio: " + save(other.id, load(other)) +
           "\n        text: " + nlohmann::json(other.text).dump() + "\n        gain_db: -20\n" +
           place;
  }

  std::string echo(std::size_t index) {
    const int gain_db = -12 - 6 * static_cast<int>(index % 3);
    return turn("question", pick_long(), "") +
           "      - kind: echo\n        anchor: after_user_end\n        offset_s: 0.1\n"
           "        seconds: 8\n        gain_db: " +
           std::to_string(gain_db) + "\n        delay_ms: 120\n";
  }

  std::string turn(const char* kind, const Question& question, const std::string& place,
                   std::string audio = "") {
    if (audio.empty()) audio = save(question.id, load(question));
    char reply_s[32];
    std::snprintf(reply_s, sizeof reply_s, "%.2f", expected_reply_seconds(question.reply));
    return std::string("      - kind: ") + kind + "\n        audio: " + audio +
           "\n        text: " + nlohmann::json(question.text).dump() + "\n" + place +
           "        reply_s: " + reply_s + "\n        key: " + question.key + "\n";
  }

  std::string save(const std::string& name, const std::vector<float>& samples) {
    const std::string file = "audio/" + name + ".opus";
    if (!saved_.insert(file).second) return file;
    wire::OggOpusEncoder encoder(
        {.packets_per_page = 4, .bitrate_bps = options_.bitrate_bps, .complexity = 10});
    std::vector<std::uint8_t> bytes;
    encoder.encode(samples, bytes);
    encoder.finish(bytes);
    core::write_file_atomically((fs::path(options_.folder) / file).string(),
                                {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    return file;
  }

  std::string head() const {
    const std::string& name = suite_names()[static_cast<std::size_t>(options_.kind)];
    return "# Made by `duet bench make " + name + "`, seed " + std::to_string(options_.seed) +
           ". The format: docs/bench.md\nschema: " + kScriptSchema +
           "\nname: " + (options_.kind == SuiteKind::kNoise ? "noisy" : name) +
           "\nmode: fixed\nseed: " + std::to_string(options_.seed) + "\ndialogs:\n";
  }

  [[noreturn]] void fail_load(const std::string& expected, const std::string& found) const {
    throw core::LoadError({.subject = "manifest",
                           .expected = expected,
                           .found = found,
                           .file = options_.manifest,
                           .hint = ""});
  }
  [[noreturn]] void fail_few(const std::string& expected, std::size_t found) const {
    throw core::ConfigError({.subject = "manifest",
                             .expected = expected,
                             .found = std::to_string(found),
                             .file = options_.manifest,
                             .hint = "other splits?"});
  }

  const MakeOptions& options_;
  std::mt19937_64 random_;
  std::vector<Question> questions_, backchannels_;
  std::vector<const Question*> long_;
  std::map<std::string, std::vector<const Question*>> by_voice_;
  std::vector<std::string> voices_;
  std::set<std::string> saved_;
  std::size_t num_long_ = 0, num_pauses_ = 0, num_words_ = 0, num_others_ = 0;
};

}  // namespace

const std::vector<std::string>& suite_names() {
  static const std::vector<std::string> names = {"impatient", "pauses", "backchannels",
                                                 "noise",     "echo",   "smoke"};
  return names;
}

SuiteKind suite_kind(const std::string& name) {
  const auto& names = suite_names();
  const auto found = std::find(names.begin(), names.end(), name);
  if (found == names.end()) {
    throw core::ConfigError({.subject = "suite",
                             .expected = "impatient, pauses, backchannels, noise, echo or smoke",
                             .found = "\"" + name + "\"",
                             .file = "",
                             .hint = ""});
  }
  return static_cast<SuiteKind>(found - names.begin());
}

std::string make_suite(const MakeOptions& options) { return Maker(options).make(); }

}  // namespace duet::runtime::bench
