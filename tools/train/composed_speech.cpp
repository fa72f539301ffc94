#include "tools/train/composed_speech.h"

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <unordered_map>

#include "runtime/core/error.h"

namespace duet::train {

std::vector<ComposedReply> read_composed(const std::string& path,
                                         const std::vector<Utterance>& units) {
  std::unordered_map<std::string, uint32_t> by_id;
  for (size_t i = 0; i < units.size(); ++i) by_id[units[i].id] = static_cast<uint32_t>(i);
  std::ifstream file(path);
  if (!file)
    throw core::LoadError(
        {.subject = "composed replies", .expected = "a readable file", .file = path});
  std::vector<ComposedReply> out;
  std::string line;
  for (int number = 1; std::getline(file, line); ++number) {
    if (line.empty()) continue;
    const auto fail = [&](const std::string& expected, const std::string& found) {
      throw core::LoadError({.subject = "composed reply",
                             .expected = expected,
                             .found = found,
                             .file = path + ":" + std::to_string(number)});
    };
    const nlohmann::json entry = nlohmann::json::parse(line, nullptr, false);
    if (!entry.is_object() || !entry.contains("units") || !entry["units"].is_array() ||
        entry["units"].empty())
      fail("an object with \"text\" and \"units\"", line.substr(0, 60));
    ComposedReply reply{.text = entry.value("text", ""), .units = {}};
    for (const auto& unit : entry["units"]) {
      const auto found = by_id.find(unit.is_string() ? unit.get<std::string>() : "");
      if (found == by_id.end()) fail("ids of the manifests of units", unit.dump());
      reply.units.push_back(found->second);
    }
    out.push_back(std::move(reply));
  }
  return out;
}

std::vector<Utterance> load_units(SpeechSetConfig set) {
  set.role = "unit";
  set.edge_ms = 200.0;
  set.trim_db = 80.0;
  set.skip_unreadable = false;
  return load_speech_set(set);
}

std::vector<Utterance> compose_speech(const std::vector<Utterance>& units, const std::string& path,
                                      size_t per_unit) {
  std::vector<ComposedReply> replies = read_composed(path, units);
  std::mt19937_64 rng(1);
  std::shuffle(replies.begin(), replies.end(), rng);
  std::vector<Utterance> out;
  std::vector<size_t> heard(units.size());
  std::vector<std::vector<size_t>> places(units.size());  // replies that hold the unit
  const auto take = [&](size_t i) {
    Utterance reply;
    reply.id = "composed" + std::to_string(out.size());
    reply.role = "agent";
    reply.text = replies[i].text;
    reply.path = path;
    for (const uint32_t unit : replies[i].units) {
      ++heard[unit];
      const std::vector<int16_t>& sound = units[unit].samples;
      reply.samples.insert(reply.samples.end(), sound.begin(), sound.end());
    }
    out.push_back(std::move(reply));
  };
  for (size_t i = 0; i < replies.size(); ++i) {
    for (const uint32_t unit : replies[i].units) places[unit].push_back(i);
    if (std::any_of(replies[i].units.begin(), replies[i].units.end(),
                    [&](uint32_t unit) { return heard[unit] < per_unit; }))
      take(i);
  }
  for (size_t unit = 0; unit < units.size(); ++unit)
    for (size_t k = 0; !places[unit].empty() && heard[unit] < per_unit; ++k)
      take(places[unit][k % places[unit].size()]);
  return out;
}

}  // namespace duet::train
