#pragma once
// Is a reply right? Deterministic, without a judge: numbers for sums, slots for orders, whole words
// for the rest. English, the language of the shipped domain.

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace duet::runtime {

/// Lower-case words: digits and digit groups as number words ("27" -> twenty seven), punctuation,
/// hyphens and apostrophes gone ("don't" -> dont), "oz" and "ounces" -> ounce, "and" within a
/// number dropped ("one hundred and five").
std::vector<std::string> normalise_words(const std::string& text);

/// Fewest words to replace, insert and delete that turn `reference` into `heard`.
std::size_t count_word_errors(const std::vector<std::string>& reference,
                              const std::vector<std::string>& heard);

/// 0 to 999999 in words.
std::vector<std::string> number_words(long value);

/// The last number said ("three plus four is seven" -> 7), in digits or words; negative after
/// "minus" or "negative" that no number precedes ("is minus two" -> -2, "nine minus four" -> 4).
std::optional<long> last_number(const std::string& text);

/// What an order can consist of: per slot its values as said. `amounts` may stand before a value of
/// an amount slot and then fill
/// `<slot>_amount`.
struct OrderVocabulary {
  std::map<std::string, std::vector<std::string>> slots;
  std::vector<std::string> amounts;
  std::vector<std::string> amount_slots;
};

/// The coffee bar's.
const OrderVocabulary& coffee_vocabulary();

/// All slots said in `text`, sorted by name and value; the longest phrase wins ("medium roast" is
/// no size). The same value twice is one.
using OrderSlots = std::vector<std::pair<std::string, std::string>>;
OrderSlots find_order(const std::string& text,
                      const OrderVocabulary& vocabulary = coffee_vocabulary());

/// What a right answer holds. Exactly one form is used.
struct AnswerKey {
  std::vector<std::vector<std::string>>
      any_of;                       ///< One of these lists, all phrases of it, each as whole words.
  std::optional<long> number;       ///< The last number said.
  std::optional<OrderSlots> order;  ///< These slots and no others.
};

/// Key words need no normalisation by the caller. An empty key (nothing to answer) is met by an
/// empty reply only.
bool is_right(const std::string& reply, const AnswerKey& key,
              const OrderVocabulary& vocabulary = coffee_vocabulary());

}  // namespace duet::runtime
