#include "runtime/bench/script.h"

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <set>
#include <utility>

#include "runtime/bench/answer_key_json.h"
#include "runtime/core/config_reader.h"
#include "runtime/core/error.h"

namespace duet::runtime::bench {

namespace {

namespace fs = std::filesystem;
using core::ConfigReader;
using core::DoubleRange;

constexpr std::array kKinds = {"question", "interruption",   "backchannel", "pause",
                               "noise",    "second_speaker", "echo"};
constexpr std::array kAnchors = {"at", "after_user_end", "after_agent_onset", "after_agent_end",
                                 "halved_silence"};
constexpr std::array kModes = {"fixed", "reactive"};
constexpr double kMaxSeconds = 600.0;
/// Kokoro's and flite's answers of the shipped domain last 0.36 s a word, pauses included.
constexpr double kSecondsPerWord = 0.36;

template <std::size_t N>
std::vector<std::string> names(const std::array<const char*, N>& list) {
  return {list.begin(), list.end()};
}

template <typename Enum, std::size_t N>
Enum choice(const std::array<const char*, N>& list, const std::string& name) {
  for (std::size_t i = 0; i < N; ++i)
    if (name == list[i]) return static_cast<Enum>(i);
  DUET_CHECK(false);
  return Enum{};
}

std::uint64_t fnv(std::uint64_t hash, const std::string& text) {
  for (const char c : text) {
    hash ^= static_cast<unsigned char>(c);
    hash *= 1099511628211ULL;
  }
  return hash;
}

/// Draws are made in file order from one generator, whose sequence the standard fixes.
class ScriptReader {
 public:
  explicit ScriptReader(const ConfigReader& config) : config_(config) {}

  Script read() {
    const std::string schema = config_.get_string("schema");
    if (schema != kScriptSchema) config_.fail("schema", kScriptSchema, schema);
    script_.path = config_.file();
    script_.name = config_.get_string("name");
    script_.description = config_.get_string("description", "");
    script_.mode = choice<Mode>(kModes, config_.get_choice("mode", "fixed", names(kModes)));
    script_.seed = static_cast<std::uint64_t>(config_.get_int("seed", 1, {0, INT64_MAX}));
    random_.seed(script_.seed);
    read_times();
    std::set<std::string> ids;
    for (const ConfigReader& dialog : config_.sub_list("dialogs")) read_dialog(dialog, ids);
    if (script_.dialogs.empty()) config_.fail("dialogs", "at least one", "none");
    config_.finish();
    set_fingerprint();
    return std::move(script_);
  }

 private:
  void read_times() {
    const DoubleRange range{0.0, kMaxSeconds};
    script_.lead_s = config_.get_double("lead_s", script_.lead_s, range);
    script_.tail_s = config_.get_double("tail_s", script_.tail_s, range);
    script_.reply_delay_s = config_.get_double("reply_delay_s", script_.reply_delay_s, range);
    script_.interrupt_s = config_.get_double("interrupt_s", script_.interrupt_s, range);
    script_.patience_s = config_.get_double("patience_s", script_.patience_s, range);
    script_.quiet_s = config_.get_double("quiet_s", script_.quiet_s, {0.2, kMaxSeconds});
    script_.max_reply_s = config_.get_double("max_reply_s", script_.max_reply_s, range);
  }

  void read_dialog(const ConfigReader& config, std::set<std::string>& ids) {
    ScriptDialog dialog;
    dialog.id = config.get_string("id");
    check_id(config, dialog.id);
    if (!ids.insert(dialog.id).second)
      config.fail("id", "a name of its own", "\"" + dialog.id + "\" again");
    std::set<std::string> event_ids;
    for (const ConfigReader& event : config.sub_list("events")) {
      const ScriptEvent* before = dialog.events.empty() ? nullptr : &dialog.events.back();
      ScriptEvent read = read_event(event, before, dialog.events.size());
      if (!event_ids.insert(read.id).second)
        event.fail("id", "a name of its own", "\"" + read.id + "\" again");
      dialog.events.push_back(std::move(read));
    }
    if (dialog.events.empty()) config.fail("events", "at least one", "none");
    if (dialog.events.back().kind == Kind::kPause)
      config.fail("events", "the rest of the turn after the pause", "the end");
    script_.dialogs.push_back(std::move(dialog));
  }

  /// Ids become file names.
  static void check_id(const ConfigReader& config, const std::string& id) {
    const bool is_plain = !id.empty() && id.size() <= 80 && id[0] != '.' &&
                          id.find_first_not_of(
                              "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                              "0123456789_.-") == std::string::npos;
    if (!is_plain) config.fail("id", "letters, digits, . _ -, 80 at most", "\"" + id + "\"");
  }

  ScriptEvent read_event(const ConfigReader& config, const ScriptEvent* before, std::size_t index) {
    ScriptEvent event;
    event.kind = choice<Kind>(kKinds, config.get_choice("kind", names(kKinds)));
    event.id = config.get_string("id", "e" + std::to_string(index + 1));
    check_id(config, event.id);
    event.text = config.get_string("text", "");
    event.gain_db = config.get_double("gain_db", 0.0, {-80.0, 40.0});
    if (event.kind == Kind::kEcho) {
      event.seconds = config.get_double("seconds", DoubleRange{0.1, kMaxSeconds});
      event.delay_ms = config.get_double("delay_ms", 100.0, {0.0, 1000.0});
    } else {
      read_audio(config, event);
    }
    read_anchor(config, before, event);
    if (event.kind == Kind::kPause) event.pause_s = draw(config, "pause_s", true);
    const bool asks = event.kind == Kind::kQuestion || event.kind == Kind::kInterruption;
    if (asks) {
      event.wants_reply = config.get_bool("reply", true);
      event.reply_s = config.get_double("reply_s", expected_reply_seconds(""), {0.0, kMaxSeconds});
      if (config.has("key")) read_key(config, event);
    }
    return event;
  }

  static void read_audio(const ConfigReader& config, ScriptEvent& event) {
    if (!config.has("audio")) {
      if (event.text.empty()) config.fail("audio", "a file, or text to be spoken", "neither");
      return;
    }
    const std::string name = config.get_string("audio");
    const fs::path path = fs::path(config.file()).parent_path() / name;
    if (!fs::is_regular_file(path)) config.fail("audio", "a file", "no " + path.string());
    event.audio = path.string();
  }

  void read_anchor(const ConfigReader& config, const ScriptEvent* before, ScriptEvent& event) {
    if (before != nullptr && before->kind == Kind::kPause) {
      if (config.has("anchor") || config.has("offset_s"))
        config.fail("anchor", "none: it goes on after the pause", "one");
      if (!event.is_turn()) config.fail("kind", "the rest of the turn", name_of(event.kind));
      event.anchor = Anchor::kAfterUserEnd;
      event.offset_s = before->pause_s;
      return;
    }
    const char* fallback = before == nullptr ? "at" : "after_agent_end";
    const std::string name = config.get_choice("anchor", fallback, names(kAnchors));
    event.anchor = choice<Anchor>(kAnchors, name);
    if (before == nullptr && event.anchor != Anchor::kAt)
      config.fail("anchor", "at, for the first event", name);
    event.offset_s = draw(config, "offset_s", false);
    if (before == nullptr && !config.has("offset_s")) event.offset_s = script_.lead_s;
  }

  /// A number, or [low, high].
  double draw(const ConfigReader& config, const char* key, bool is_required) {
    Seconds seconds;
    if (config.kind(key) == ConfigReader::Kind::kList) {
      const auto list = config.get_double_list(key);
      const bool is_range =
          list.size() == 2 && list[0] >= 0.0 && list[0] <= list[1] && list[1] <= kMaxSeconds;
      if (!is_range)
        config.fail(key, "[low, high] with 0 <= low <= high",
                    std::to_string(list.size()) + " numbers or the wrong way round");
      seconds = {list[0], list[1]};
    } else {
      const DoubleRange range{0.0, kMaxSeconds};
      const double value =
          is_required ? config.get_double(key, range) : config.get_double(key, 0.0, range);
      seconds = {value, value};
    }
    // 53 bits, as std::generate_canonical does where it is not left to the library.
    const double unit = static_cast<double>(random_() >> 11) / 9007199254740992.0;
    return seconds.low + (seconds.high - seconds.low) * unit;
  }

  static void read_key(const ConfigReader& config, ScriptEvent& event) {
    if (config.kind("key") == ConfigReader::Kind::kList) {
      event.key = AnswerKey{.any_of = {config.get_string_list("key")}, .number = {}, .order = {}};
      return;
    }
    const ConfigReader key = config.sub("key");
    const std::string text = key.to_json(-1);
    key.ignore_rest();
    try {
      event.key = answer_key_from_json(text);
    } catch (const core::ConfigError& error) {
      config.fail("key", error.detail().expected, error.detail().found);
    }
  }

  void set_fingerprint() {
    std::uint64_t hash = fnv(14695981039346656037ULL, config_.to_json(-1));
    for (const ScriptDialog& dialog : script_.dialogs)
      for (const ScriptEvent& event : dialog.events)
        if (!event.audio.empty())
          hash = fnv(hash, std::to_string(fs::file_size(event.audio)) + event.id);
    char text[20];
    std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(hash));
    script_.fingerprint = text;
  }

  const ConfigReader& config_;
  Script script_;
  std::mt19937_64 random_;
};

}  // namespace

const char* name_of(Kind kind) noexcept { return kKinds[static_cast<std::size_t>(kind)]; }
const char* name_of(Anchor anchor) noexcept { return kAnchors[static_cast<std::size_t>(anchor)]; }
const char* name_of(Mode mode) noexcept { return kModes[static_cast<std::size_t>(mode)]; }

bool ScriptEvent::is_turn() const noexcept {
  return kind == Kind::kQuestion || kind == Kind::kInterruption || kind == Kind::kPause;
}

double expected_reply_seconds(const std::string& reply) noexcept {
  std::size_t num_words = 0;
  bool is_in_word = false;
  for (const char c : reply) {
    const bool is_space = c == ' ';
    if (!is_space && !is_in_word) ++num_words;
    is_in_word = !is_space;
  }
  return num_words == 0 ? 2.0 : kSecondsPerWord * static_cast<double>(num_words);
}

Script load_script(const std::string& path) {
  const ConfigReader config = ConfigReader::load_file(path);
  return ScriptReader(config).read();
}

}  // namespace duet::runtime::bench
