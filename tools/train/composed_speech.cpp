#include "tools/train/composed_speech.h"

#include <fstream>
#include <nlohmann/json.hpp>
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
                                      size_t every) {
  const std::vector<ComposedReply> replies = read_composed(path, units);
  std::vector<Utterance> out;
  for (size_t i = 0; i < replies.size(); i += every) {
    Utterance reply;
    reply.id = "composed" + std::to_string(i);
    reply.role = "agent";
    reply.text = replies[i].text;
    reply.path = path;
    for (const uint32_t unit : replies[i].units) {
      const std::vector<int16_t>& sound = units[unit].samples;
      reply.samples.insert(reply.samples.end(), sound.begin(), sound.end());
    }
    out.push_back(std::move(reply));
  }
  return out;
}

}  // namespace duet::train
