#include "tools/train/evaluate_score.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <nlohmann/json.hpp>
#include <set>

#include "runtime/core/error.h"

namespace duet::train {
namespace {

const std::array<const char*, 20> kOnes = {"zero",    "one",     "two",       "three",    "four",     "five",    "six",
                                           "seven",   "eight",   "nine",      "ten",      "eleven",   "twelve",  "thirteen",
                                           "fourteen", "fifteen", "sixteen",  "seventeen", "eighteen", "nineteen"};
const std::array<const char*, 10> kTens = {"", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"};

void spell(int value, std::vector<std::string>& out) {
  if (value >= 100) {
    out.push_back(kOnes[static_cast<size_t>(value / 100)]);
    out.push_back("hundred");
    value %= 100;
    if (value == 0) return;
    out.push_back("and");
  }
  if (value >= 20) {
    out.push_back(kTens[static_cast<size_t>(value / 10)]);
    if (value % 10 == 0) return;
    value %= 10;
  }
  out.push_back(kOnes[static_cast<size_t>(value)]);
}

int unit_of(const std::string& word) {
  for (size_t i = 0; i < kOnes.size(); ++i)
    if (word == kOnes[i]) return static_cast<int>(i);
  return -1;
}

int tens_of(const std::string& word) {
  for (size_t i = 2; i < kTens.size(); ++i)
    if (word == kTens[i]) return static_cast<int>(10 * i);
  return -1;
}

// Reads a number that starts at words[i]; returns how many words it took (0: none).
size_t read_number(const std::vector<std::string>& words, size_t i, int& value) {
  const size_t start = i;
  value = 0;
  const auto small = [&](size_t at, int& out) -> size_t {
    if (at >= words.size()) return 0;
    if (const int tens = tens_of(words[at]); tens > 0) {
      const int unit = at + 1 < words.size() ? unit_of(words[at + 1]) : -1;
      out = tens + (unit > 0 && unit < 10 ? unit : 0);
      return unit > 0 && unit < 10 ? 2 : 1;
    }
    out = unit_of(words[at]);
    return out >= 0 ? 1 : 0;
  };
  int part = 0;
  size_t taken = small(i, part);
  if (taken == 0) return 0;
  i += taken;
  value = part;
  if (i < words.size() && words[i] == "hundred" && part > 0 && part < 10) {
    value = part * 100;
    ++i;
    const size_t skip = i < words.size() && words[i] == "and" ? 1 : 0;
    taken = small(i + skip, part);
    if (taken > 0) {
      value += part;
      i += skip + taken;
    }
  }
  return i - start;
}

bool contains(const std::vector<std::string>& words, const std::vector<std::string>& phrase) {
  return phrase.empty() ||
         std::search(words.begin(), words.end(), phrase.begin(), phrase.end()) != words.end();
}

bool contains_all(const std::vector<std::string>& words, const nlohmann::json& phrases) {
  return std::all_of(phrases.begin(), phrases.end(),
                     [&](const auto& phrase) { return contains(words, answer_words(phrase.template get<std::string>())); });
}

// Every slot value occurs once, longest first, and only filler words are left.
bool slots_match(std::vector<std::string> words, const nlohmann::json& slots) {
  std::vector<std::vector<std::string>> phrases;
  for (const char* extra : {"milk", "sugar"}) {  // an amount belongs to its own extra: look for both as one phrase
    if (!slots.contains(extra)) continue;
    const std::string amount = slots.value(std::string(extra) + "_amount", "");
    phrases.push_back(answer_words((amount.empty() ? "" : amount + " ") + slots[extra].get<std::string>()));
  }
  for (const auto& [name, value] : slots.items())
    if (name.rfind("milk", 0) != 0 && name.rfind("sugar", 0) != 0) phrases.push_back(answer_words(value.get<std::string>()));
  std::stable_sort(phrases.begin(), phrases.end(), [](const auto& a, const auto& b) { return a.size() > b.size(); });
  for (const auto& phrase : phrases) {
    const auto found = std::search(words.begin(), words.end(), phrase.begin(), phrase.end());
    if (found == words.end()) return false;
    *found = "\x01";  // a wall: no later phrase may be put together across it
    words.erase(found + 1, found + static_cast<long>(phrase.size()));
  }
  static const std::set<std::string> kFiller = {"\x01", "a", "an", "with", "and", "coming", "up", "okay", "of", "the"};
  return std::all_of(words.begin(), words.end(), [](const std::string& word) { return kFiller.count(word) != 0; });
}

}  // namespace

std::vector<std::string> answer_words(const std::string& text) {
  std::vector<std::string> words;
  std::string word;
  const auto end_word = [&] {
    if (word.empty()) return;
    if (std::all_of(word.begin(), word.end(), [](unsigned char c) { return std::isdigit(c) != 0; }) && word.size() <= 3) {
      spell(std::stoi(word), words);
    } else {
      if (word == "cancelled") word = "canceled";
      if (word == "colour") word = "color";
      if (word == "ok") word = "okay";
      words.push_back(word);
    }
    word.clear();
  };
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (std::isalpha(c) != 0 || std::isdigit(c) != 0 || c == '\'' || c >= 0x80) {
      const bool change = !word.empty() && (std::isdigit(c) != 0) != (std::isdigit(static_cast<unsigned char>(word.back())) != 0);
      if (change) end_word();  // "12oz"
      word += static_cast<char>(std::tolower(c));
    } else {
      const bool negative = c == '-' && word.empty() && i + 1 < text.size() && std::isdigit(static_cast<unsigned char>(text[i + 1])) != 0;
      end_word();
      if (negative) words.push_back("minus");
    }
  }
  end_word();
  return words;
}

bool last_number(const std::vector<std::string>& words, int& value) {
  bool found = false;
  for (size_t i = 0; i < words.size();) {
    int number = 0;
    const size_t taken = read_number(words, i, number);
    if (taken == 0) {
      ++i;
      continue;
    }
    const bool negative = i > 0 && words[i - 1] == "minus" && (i < 2 || unit_of(words[i - 2]) < 0) && (i < 2 || tens_of(words[i - 2]) < 0);
    value = negative ? -number : number;
    found = true;
    i += taken;
  }
  return found;
}

bool is_right_answer(const std::string& topic, const std::string& key, const std::string& answer) {
  const std::vector<std::string> words = answer_words(answer);
  nlohmann::json parsed = nlohmann::json::parse(key, nullptr, /*allow_exceptions=*/false);
  if (parsed.is_discarded() || parsed.is_string() || parsed.is_number())
    parsed = nlohmann::json::array({parsed.is_string() ? parsed.get<std::string>() : key});
  if (topic == "sum" && parsed.is_array() && !parsed.empty()) {
    int want = 0, got = 0;
    return last_number(answer_words(parsed.back().get<std::string>()), want) && last_number(words, got) && want == got;
  }
  if (parsed.is_array()) return !words.empty() && contains_all(words, parsed);
  if (parsed.is_object() && parsed.contains("slots")) return slots_match(words, parsed["slots"]);
  if (parsed.is_object() && parsed.contains("any"))
    return std::any_of(parsed["any"].begin(), parsed["any"].end(), [&](const auto& list) { return contains_all(words, list); });
  throw core::LoadError({.subject = "answer key", .expected = "a list, {\"any\": ...} or {\"slots\": ...}", .found = key.substr(0, 60)});
}

}  // namespace duet::train
