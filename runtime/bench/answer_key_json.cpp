#include "runtime/bench/answer_key_json.h"

#include <nlohmann/json.hpp>

#include "runtime/core/error.h"

namespace duet::runtime::bench {

AnswerKey answer_key_from_json(const std::string& text) {
  AnswerKey key;
  try {
    const nlohmann::json value = nlohmann::json::parse(text);
    if (value.is_array()) {
      key.any_of = {value.get<std::vector<std::string>>()};
    } else if (value.contains("slots") && value.size() == 1) {
      OrderSlots slots;
      for (const auto& [name, phrase] : value["slots"].items())
        slots.emplace_back(name, phrase.get<std::string>());
      key.order = slots;
    } else if (value.contains("any") && value.size() == 1) {
      key.any_of = value["any"].get<std::vector<std::vector<std::string>>>();
    } else if (value.contains("number") && value.size() == 1) {
      key.number = value["number"].get<long>();
    } else {
      throw core::ConfigError({.subject = "key",
                               .expected = "a list, or a map with one of any, slots, number",
                               .found = text,
                               .file = "",
                               .hint = ""});
    }
  } catch (const nlohmann::json::exception& error) {
    throw core::ConfigError({.subject = "key",
                             .expected = "a list, or a map with one of any, slots, number",
                             .found = error.what(),
                             .file = "",
                             .hint = ""});
  }
  return key;
}

AnswerKey answer_key_from_json(const std::string& text, const std::string& topic) {
  AnswerKey key = answer_key_from_json(text);
  if (topic == "sum" && key.any_of.size() == 1 && key.any_of[0].size() == 1)
    key.number = last_number(key.any_of[0][0]);
  return key;
}

std::string answer_key_to_json(const AnswerKey& key) {
  if (key.order) {
    nlohmann::json slots = nlohmann::json::object();
    for (const auto& [name, value] : *key.order) slots[name] = value;
    return nlohmann::json{{"slots", slots}}.dump();
  }
  if (key.number) return nlohmann::json{{"number", *key.number}}.dump();
  if (key.any_of.size() == 1) return nlohmann::json(key.any_of[0]).dump();
  return nlohmann::json{{"any", key.any_of}}.dump();
}

}  // namespace duet::runtime::bench
