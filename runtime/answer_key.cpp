#include "runtime/answer_key.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <numeric>

namespace duet::runtime {

namespace {

using Words = std::vector<std::string>;

constexpr std::array<const char*, 20> kUnits = {
    "zero",     "one",     "two",     "three",     "four",     "five",    "six",
    "seven",    "eight",   "nine",    "ten",       "eleven",   "twelve",  "thirteen",
    "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"};
constexpr std::array<const char*, 10> kTens = {"",      "",      "twenty",  "thirty", "forty",
                                               "fifty", "sixty", "seventy", "eighty", "ninety"};
constexpr long kMaxNumber = 999999;

std::optional<long> unit_value(const std::string& word) {
  const auto found = std::find(kUnits.begin(), kUnits.end(), word);
  if (found == kUnits.end()) return std::nullopt;
  return found - kUnits.begin();
}

std::optional<long> tens_value(const std::string& word) {
  const auto found = std::find(kTens.begin() + 2, kTens.end(), word);
  if (found == kTens.end()) return std::nullopt;
  return 10 * (found - kTens.begin());
}

/// Reads the number that begins at `at`, if any, and moves `at` behind it. "twenty seven", "one
/// hundred five"; two numbers that cannot be one ("seven five", "twenty twelve") stay two.
std::optional<long> read_number(const Words& words, std::size_t& at) {
  long total = 0;    // Thousands that are complete.
  long current = 0;  // Below a thousand.
  bool has_number = false;
  long room = 1000;  // The next piece must be smaller than this.
  for (; at < words.size(); ++at) {
    const std::string& word = words[at];
    if (const auto tens = tens_value(word); tens && room > 90) {
      current += *tens;
      room = 10;
    } else if (const auto unit = unit_value(word);
               unit && *unit < room && !(has_number && *unit == 0)) {
      current += *unit;
      room = 0;
    } else if (word == "hundred" && current >= 1 && current <= 9) {
      current *= 100;
      room = 100;
    } else if (word == "thousand" && current >= 1 && total == 0) {
      total = 1000 * current;
      current = 0;
      room = 1000;
    } else {
      break;
    }
    has_number = true;
  }
  return has_number ? std::optional<long>(total + current) : std::nullopt;
}

/// Splits into lower-case tokens of letters (bytes above 127 count as letters) or digits.
Words tokens_of(const std::string& text) {
  Words tokens;
  bool is_open = false;
  bool was_digit = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    const bool digit = std::isdigit(c) != 0;
    if (c == '\'' || (c == ',' && was_digit && is_open && i + 1 < text.size() &&
                      std::isdigit(static_cast<unsigned char>(text[i + 1])) != 0)) {
      continue;  // don't -> dont; 1,000 -> 1000.
    }
    if (!digit && std::isalpha(c) == 0 && c < 0x80) {
      is_open = false;
      continue;
    }
    // U+2019, the typographic apostrophe.
    if (text.compare(i, 3, "\xe2\x80\x99") == 0) {
      i += 2;
      continue;
    }
    if (!is_open || digit != was_digit) tokens.emplace_back();
    tokens.back() += static_cast<char>(std::tolower(c));
    is_open = true;
    was_digit = digit;
  }
  return tokens;
}

bool is_number_word(const std::string& word) {
  return unit_value(word) || tens_value(word) || word == "hundred" || word == "thousand";
}

/// Where `phrase` stands in `words` at or after `from`, as whole words.
bool stands_at(const Words& words, std::size_t at, const Words& phrase) {
  return !phrase.empty() && at + phrase.size() <= words.size() &&
         std::equal(phrase.begin(), phrase.end(), words.begin() + static_cast<std::ptrdiff_t>(at));
}

bool holds(const Words& words, const Words& phrase) {
  for (std::size_t at = 0; at + phrase.size() <= words.size(); ++at) {
    if (stands_at(words, at, phrase)) return true;
  }
  return false;
}

struct Phrase {
  Words words;
  std::string slot;  // Empty: an amount.
  std::string value;
};

std::vector<Phrase> phrases_of(const OrderVocabulary& vocabulary) {
  std::vector<Phrase> phrases;
  for (const auto& [slot, values] : vocabulary.slots) {
    for (const std::string& value : values)
      phrases.push_back({normalise_words(value), slot, value});
  }
  for (const std::string& amount : vocabulary.amounts)
    phrases.push_back({normalise_words(amount), "", amount});
  std::stable_sort(phrases.begin(), phrases.end(), [](const Phrase& a, const Phrase& b) {
    return a.words.size() > b.words.size();
  });
  return phrases;
}

}  // namespace

Words number_words(long value) {
  Words words;
  if (value >= 1000) {
    words = number_words(value / 1000);
    words.emplace_back("thousand");
    value %= 1000;
    if (value == 0) return words;
  }
  if (value >= 100) {
    words.emplace_back(kUnits[static_cast<std::size_t>(value / 100)]);
    words.emplace_back("hundred");
    value %= 100;
    if (value == 0) return words;
  }
  if (value >= 20) {
    words.emplace_back(kTens[static_cast<std::size_t>(value / 10)]);
    value %= 10;
    if (value == 0) return words;
  }
  words.emplace_back(kUnits[static_cast<std::size_t>(value)]);
  return words;
}

std::size_t count_word_errors(const Words& reference, const Words& heard) {
  std::vector<std::size_t> row(heard.size() + 1);  // Of the reference's words so far.
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < reference.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i + 1);
    for (std::size_t j = 0; j < heard.size(); ++j) {
      const std::size_t replaced = diagonal + (reference[i] == heard[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({row[j + 1] + 1, row[j] + 1, replaced});
    }
  }
  return row.back();
}

Words normalise_words(const std::string& text) {
  Words words;
  for (const std::string& token : tokens_of(text)) {
    if (std::isdigit(static_cast<unsigned char>(token[0])) != 0 && token.size() <= 6) {
      const long value = std::stol(token);
      for (std::string& word : number_words(std::min(value, kMaxNumber)))
        words.push_back(std::move(word));
    } else if (token == "oz" || token == "ounces") {
      words.emplace_back("ounce");
    } else {
      words.push_back(token);
    }
  }
  // "one hundred and five": a number goes on after "hundred and".
  for (std::size_t i = 1; i + 1 < words.size(); ++i) {
    if (words[i] == "and" && (words[i - 1] == "hundred" || words[i - 1] == "thousand") &&
        is_number_word(words[i + 1])) {
      words.erase(words.begin() + static_cast<std::ptrdiff_t>(i));
    }
  }
  return words;
}

std::optional<long> last_number(const std::string& text) {
  const Words words = normalise_words(text);
  std::optional<long> last;
  bool follows_number = false;
  for (std::size_t at = 0; at < words.size();) {
    const std::size_t begin = at;
    if (const auto number = read_number(words, at)) {
      const bool has_sign =
          begin > 0 && (words[begin - 1] == "minus" || words[begin - 1] == "negative");
      last = has_sign && !follows_number ? -*number : *number;
      follows_number = true;
    } else {
      if (words[at] != "minus") follows_number = false;
      ++at;
    }
  }
  return last;
}

const OrderVocabulary& coffee_vocabulary() {
  static const OrderVocabulary vocabulary{
      .slots = {{"size",
                 {"small", "medium", "large", "eight ounce", "twelve ounce", "sixteen ounce",
                  "twenty ounce"}},
                {"roast", {"light roast", "medium roast", "dark roast"}},
                {"shot", {"single shot", "double shot", "triple shot"}},
                {"drink",
                 {"coffee", "iced coffee", "mocha", "iced mocha", "drip coffee", "house coffee",
                  "espresso", "americano", "cappuccino", "latte"}},
                {"milk",
                 {"milk", "whole milk", "skim milk", "soy milk", "almond milk", "oat milk",
                  "cream"}},
                {"sugar", {"sugar", "brown sugar", "sweetener"}}},
      .amounts = {"some", "a bit of", "a little bit of", "a lot of", "lots of"},
      .amount_slots = {"milk", "sugar"}};
  return vocabulary;
}

OrderSlots find_order(const std::string& text, const OrderVocabulary& vocabulary) {
  const Words words = normalise_words(text);
  const std::vector<Phrase> phrases = phrases_of(vocabulary);
  OrderSlots slots;
  std::string amount;
  for (std::size_t at = 0; at < words.size();) {
    const auto found = std::find_if(phrases.begin(), phrases.end(), [&](const Phrase& phrase) {
      return stands_at(words, at, phrase.words);
    });
    if (found == phrases.end()) {
      amount.clear();
      ++at;
      continue;
    }
    at += found->words.size();
    if (found->slot.empty()) {
      amount = found->value;
      continue;
    }
    slots.emplace_back(found->slot, found->value);
    const auto& with_amount = vocabulary.amount_slots;
    if (!amount.empty() &&
        std::find(with_amount.begin(), with_amount.end(), found->slot) != with_amount.end()) {
      slots.emplace_back(found->slot + "_amount", amount);
    }
    amount.clear();
  }
  std::sort(slots.begin(), slots.end());
  slots.erase(std::unique(slots.begin(), slots.end()), slots.end());
  return slots;
}

bool is_right(const std::string& reply, const AnswerKey& key, const OrderVocabulary& vocabulary) {
  if (key.number) return last_number(reply) == key.number;
  if (key.order) {
    OrderSlots wanted = *key.order;
    std::sort(wanted.begin(), wanted.end());
    return find_order(reply, vocabulary) == wanted;
  }
  const Words words = normalise_words(reply);
  if (key.any_of.empty()) return words.empty();
  return std::any_of(key.any_of.begin(), key.any_of.end(),
                     [&](const std::vector<std::string>& all) {
                       return std::all_of(all.begin(), all.end(), [&](const std::string& phrase) {
                         return holds(words, normalise_words(phrase));
                       });
                     });
}

}  // namespace duet::runtime
