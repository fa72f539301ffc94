#include "tools/train/evaluate_score.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "runtime/core/error.h"

namespace duet::train {

runtime::AnswerKey read_answer_key(const std::string& topic, const std::string& key) {
  nlohmann::json parsed = nlohmann::json::parse(key, nullptr, /*allow_exceptions=*/false);
  if (parsed.is_discarded() || parsed.is_string() || parsed.is_number())
    parsed = nlohmann::json::array({parsed.is_string() ? parsed.get<std::string>() : key});
  runtime::AnswerKey out;
  try {
    if (parsed.is_array() && topic == "sum" && !parsed.empty()) {
      out.number = runtime::last_number(parsed.back().get<std::string>());
      if (out.number) return out;
    }
    if (parsed.is_array()) {
      out.any_of.push_back(parsed.get<std::vector<std::string>>());
      return out;
    }
    if (parsed.contains("any")) {
      out.any_of = parsed["any"].get<std::vector<std::vector<std::string>>>();
      return out;
    }
    if (parsed.contains("slots")) {
      out.order.emplace();
      for (const auto& [slot, value] : parsed["slots"].items())
        out.order->emplace_back(slot, value.get<std::string>());
      std::sort(out.order->begin(), out.order->end());
      return out;
    }
  } catch (const nlohmann::json::exception&) {  // the right keys with the wrong types: below
  }
  throw core::LoadError({.subject = "answer key",
                         .expected = "a list of phrases, {\"any\": ...} or {\"slots\": ...}",
                         .found = key.substr(0, 80),
                         .file = {},
                         .hint = {}});
}

}  // namespace duet::train
