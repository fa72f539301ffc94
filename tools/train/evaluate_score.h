#pragma once
// Answer keys as the speech manifests write them, for the deterministic judge of
// runtime/answer_key.h.

#include <string>

#include "runtime/answer_key.h"

namespace duet::train {

/// `key` is JSON: ["w1 w2", "w3"] (every phrase occurs), {"any": [[...], ...]} (those of one list
/// do), or
/// {"slots": {"drink": "latte", "milk": "soy milk", "milk_amount": "some", ...}} (these slots and
/// no others); a text that is no JSON is one phrase. With topic "sum" the last number of the answer
/// counts. Throws core::LoadError for another shape.
runtime::AnswerKey read_answer_key(const std::string& topic, const std::string& key);

}  // namespace duet::train
