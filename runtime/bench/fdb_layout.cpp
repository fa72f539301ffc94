#include "runtime/bench/fdb_layout.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <utility>

#include "audio/audio_file.h"
#include "runtime/core/atomic_file.h"
#include "runtime/core/error.h"

namespace duet::runtime::bench::fdb {

namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

struct Known {
  const char* name;
  Task task;
};
constexpr Known kSubsets[] = {
    {"candor_pause_handling", Task::kPause},
    {"synthetic_pause_handling", Task::kPause},
    {"candor_turn_taking", Task::kTurnTaking},
    {"icc_backchannel", Task::kBackchannel},
    {"synthetic_user_interruption", Task::kInterruption},
    {"user_interruption", Task::kOverlap},
    {"user_backchannel", Task::kOverlap},
    {"talking_to_other", Task::kOverlap},
    {"background_speech", Task::kOverlap},
};

[[noreturn]] void fail(const std::string& path, const std::string& expected,
                       const std::string& found) {
  throw core::LoadError({.subject = "Full-Duplex-Bench",
                         .expected = expected,
                         .found = found,
                         .file = path,
                         .hint = ""});
}

nlohmann::json read_json(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  if (!stream) fail(path, "a readable file", "none");
  try {
    return nlohmann::json::parse(std::string{std::istreambuf_iterator<char>(stream), {}});
  } catch (const nlohmann::json::exception& error) {
    fail(path, "JSON", error.what());
  }
}

bool is_number(const std::string& text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
}

bool comes_before(const std::string& a, const std::string& b) {
  if (is_number(a) && is_number(b) && a.size() != b.size()) return a.size() < b.size();
  return a < b;
}

double rounded(double seconds) { return std::round(seconds * 1000.0) / 1000.0; }

Segment timestamp(const nlohmann::json& entry) {
  return {entry.at("timestamp").at(0), entry.at("timestamp").at(1)};
}

/// Of `total` characters of text the time at which `count` have been spoken.
double spoken_at(std::span<const Segment> sound, double count, double total) {
  double seconds = 0.0;
  for (const Segment& part : sound) seconds += part.seconds();
  double left = seconds * count / total;
  for (const Segment& part : sound) {
    if (left <= part.seconds()) return part.start_s + left;
    left -= part.seconds();
  }
  return sound.back().end_s;
}

/// A word belongs where its middle is: at the borders of two stretches of sound it would span the
/// silence between them.
void add_spoken(const std::string& text, std::span<const Segment> sound, std::vector<Word>& words) {
  std::vector<std::string> list;
  std::string word;
  for (const char c : text + " ") {
    if (c != ' ' && c != '\n') {
      word += c;
    } else if (!word.empty()) {
      list.push_back(std::exchange(word, ""));
    }
  }
  double total = 0.0, count = 0.0;
  for (const std::string& w : list) total += static_cast<double>(w.size()) + 1.0;
  for (const std::string& w : list) {
    const double length = static_cast<double>(w.size()) + 1.0;
    const double middle_s = spoken_at(sound, count + 0.5 * length, total);
    Word spoken{w, spoken_at(sound, count, total), spoken_at(sound, count + length, total)};
    for (const Segment& part : sound) {
      if (middle_s < part.start_s || middle_s > part.end_s) continue;
      spoken.start_s = std::max(spoken.start_s, part.start_s);
      spoken.end_s = std::min(spoken.end_s, part.end_s);
    }
    words.push_back(spoken);
    count += length;
  }
}

void add_wordless(const Segment& sound, std::vector<Word>& words) {
  constexpr double kWordSeconds = 1.0 / 3.0;
  const auto n = std::max(1.0, std::ceil(sound.seconds() / kWordSeconds - 1e-9));
  for (double i = 0.0; i < n; ++i) {
    words.push_back({"[sound]", sound.start_s + i / n * sound.seconds(),
                     sound.start_s + (i + 1.0) / n * sound.seconds()});
  }
}

}  // namespace

std::vector<Subset> find_subsets(const std::string& root) {
  std::vector<Subset> found;
  const fs::path base = fs::path(root).lexically_normal();
  const fs::path top = base.has_filename() ? base : base.parent_path();
  for (const Known& known : kSubsets) {
    std::vector<fs::path> places = {top / known.name, top / "v1_0" / known.name,
                                    top / "v1_5" / known.name};
    if (top.filename() == known.name) places.insert(places.begin(), top);
    for (const fs::path& place : places)
      if (fs::is_directory(place)) found.push_back({known.name, place.string(), known.task});
  }
  if (found.empty()) fail(root, "folders named as those of v1.0 or v1.5", "none");
  return found;
}

std::vector<std::string> sample_ids(const Subset& subset) {
  std::vector<std::string> ids;
  for (const auto& entry : fs::directory_iterator(subset.path)) {
    const std::string name = entry.path().filename().string();
    if (!entry.is_directory() || name.starts_with(".")) continue;
    if (subset.task == Task::kBackchannel && !is_number(name)) continue;
    ids.push_back(name);
  }
  std::sort(ids.begin(), ids.end(), comes_before);
  return ids;
}

std::optional<Segment> annotation(const Subset& subset, const std::string& id) {
  const char* name = nullptr;
  switch (subset.task) {
    case Task::kTurnTaking: name = "turn_taking.json"; break;
    case Task::kInterruption: name = "interrupt.json"; break;
    case Task::kOverlap: name = "metadata.json"; break;
    case Task::kPause:
    case Task::kBackchannel: return std::nullopt;
  }
  const std::string path = (fs::path(subset.path) / id / name).string();
  const nlohmann::json file = read_json(path);
  try {
    if (subset.task != Task::kOverlap) return timestamp(file.at(0));
    const nlohmann::json& times = file.at("timestamps");
    return Segment{times.at(0), times.at(1)};
  } catch (const nlohmann::json::exception& error) {
    fail(path, "timestamps", error.what());
  }
}

std::optional<std::vector<Word>> read_words(const std::string& path) {
  if (!fs::is_regular_file(path)) return std::nullopt;
  const nlohmann::json file = read_json(path);
  std::vector<Word> words;
  try {
    for (const nlohmann::json& chunk : file.at("chunks")) {
      const nlohmann::json& times = chunk.at("timestamp");
      if (times.at(0).is_null() || times.at(1).is_null()) continue;
      words.push_back({chunk.at("text"), times.at(0), times.at(1)});
    }
  } catch (const nlohmann::json::exception& error) {
    fail(path, "chunks with text and timestamp", error.what());
  }
  return words;
}

void write_words(const std::string& path, const std::vector<Word>& words) {
  std::string text;
  auto chunks = ordered_json::array();
  for (const Word& word : words) {
    text += (text.empty() ? "" : " ") + word.text;
    chunks.push_back(
        {{"text", word.text}, {"timestamp", {rounded(word.start_s), rounded(word.end_s)}}});
  }
  const ordered_json file = {{"text", text}, {"chunks", chunks}};
  core::write_file_atomically(
      path, file.dump(1, ' ', false, ordered_json::error_handler_t::replace) + "\n");
}

std::vector<std::pair<std::string, std::vector<double>>> read_people(const std::string& path) {
  const nlohmann::json file = read_json(path);
  std::vector<std::pair<std::string, std::vector<double>>> people;
  try {
    for (const auto& [id, values] : file.items())
      people.emplace_back(id, values.get<std::vector<double>>());
  } catch (const nlohmann::json::exception& error) {
    fail(path, "a list of numbers for each sample", error.what());
  }
  return people;
}

void write_intervals(const std::string& path, const std::vector<Segment>& stops,
                     const std::vector<Segment>& responses) {
  const auto list = [](const std::vector<Segment>& segments) {
    auto out = ordered_json::array();
    for (const Segment& s : segments)
      out.push_back(ordered_json::array({rounded(s.start_s), rounded(s.end_s)}));
    return out;
  };
  const ordered_json file = {{"latency_stop_list", list(stops)},
                             {"latency_resp_list", list(responses)}};
  core::write_file_atomically(path, file.dump(2) + "\n");
}

std::vector<Segment> find_speech(std::span<const float> samples, int rate_hz) {
  constexpr double kMinSpeechSeconds = 0.25, kPadSeconds = 0.03;
  const auto levels = measure_levels_db(samples, rate_hz);
  const Activity activity = find_activity(levels, {.min_burst_frames = 1, .min_gap_frames = 10});
  std::vector<Segment> speech;
  for (const Segment& segment : activity.segments) {
    if (segment.seconds() < kMinSpeechSeconds - 1e-9) continue;
    speech.push_back({std::max(0.0, segment.start_s - kPadSeconds),
                      std::min(activity.end_s, segment.end_s + kPadSeconds)});
  }
  return speech;
}

Speech find_speech(const std::string& wav_path) {
  const audio::AudioClip clip = audio::load_audio_file(wav_path);
  return {find_speech(clip.samples, clip.rate_hz),
          static_cast<double>(clip.samples.size()) / clip.rate_hz};
}

std::vector<Word> words_of(std::span<const Segment> speech, std::span<const AgentTurn> turns) {
  std::vector<Word> words;
  std::vector<bool> is_spoken(speech.size(), false);
  for (const AgentTurn& turn : turns) {
    if (!turn.audible || turn.text.empty()) continue;
    std::vector<Segment> sound;
    for (std::size_t i = 0; i < speech.size(); ++i) {
      const Segment part{std::max(speech[i].start_s, turn.start_s),
                         std::min(speech[i].end_s, turn.end_s)};
      if (part.end_s <= part.start_s) continue;
      sound.push_back(part);
      is_spoken[i] = true;
    }
    if (!sound.empty()) add_spoken(turn.text, sound, words);
  }
  for (std::size_t i = 0; i < speech.size(); ++i)
    if (!is_spoken[i]) add_wordless(speech[i], words);
  std::stable_sort(words.begin(), words.end(),
                   [](const Word& a, const Word& b) { return a.start_s < b.start_s; });
  return words;
}

std::vector<std::string> work_off(const std::vector<std::string>& names,
                                  const std::function<bool(std::size_t)>& work,
                                  const SuiteHooks& hooks) {
  std::vector<std::string> failures;
  int num_unreachable = 0;
  for (std::size_t i = 0; i < names.size(); ++i) {
    try {
      if (!work(i)) {
        failures.push_back(names[i] + ": stopped; the same command goes on from here");
        break;
      }
      num_unreachable = 0;
    } catch (const ConnectError& error) {
      failures.push_back(names[i] + ": " + error.what());
      if (++num_unreachable == 3) break;
    } catch (const StepError& error) {
      failures.push_back(names[i] + ": " + error.what());
    } catch (const core::LoadError& error) {
      failures.push_back(names[i] + ": " + error.what());
    }
    if (hooks.on_progress) hooks.on_progress(i + 1, names.size());
  }
  return failures;
}

}  // namespace duet::runtime::bench::fdb
