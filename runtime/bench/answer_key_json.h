#pragma once
// Keys of right answers as manifests (tools/train/data/README.md) and suites (docs/bench.md) write
// them.

#include <string>

#include "runtime/answer_key.h"

namespace duet::runtime::bench {

/// A list of phrases, {"any": [[...], ...]}, {"slots": {...}} or {"number": 12}. Throws
/// core::ConfigError.
AnswerKey answer_key_from_json(const std::string& json);
/// The same, where a sum's only phrase counts as its number.
AnswerKey answer_key_from_json(const std::string& json, const std::string& topic);
std::string answer_key_to_json(const AnswerKey& key);

}  // namespace duet::runtime::bench
