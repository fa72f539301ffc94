#pragma once
// Whether an answer is right: normalised words against a key. No tensors. Definition: "right answer" of docs/benchmarks.md:
// sums by the last number, orders by their slots with nothing extra, everything else by whole words.

#include <string>
#include <vector>

namespace duet::train {

/// Lower case; letters, digits and apostrophes kept, all else a space; digits up to 999 spelt as words ("15" = "fifteen");
/// "canceled" = "cancelled"; a few spellings an ASR varies ("uh huh" = "uh-huh").
std::vector<std::string> answer_words(const std::string& text);

/// The last number of a text, "minus" included; false when there is none. Numbers in words or digits, 0 to 999.
bool last_number(const std::vector<std::string>& words, int& value);

/// `key` is JSON: ["w1 w2", "w3"] (every phrase occurs as whole words), {"any": [[...], ...]} (one of the lists does), or
/// {"slots": {"drink": "latte", "milk": "soy milk", "milk_amount": "some", ...}}; a text that is not JSON is one phrase.
/// With topic "sum" the last number of the answer must be that of the key. Throws core::LoadError for another shape.
bool is_right_answer(const std::string& topic, const std::string& key, const std::string& answer);

}  // namespace duet::train
