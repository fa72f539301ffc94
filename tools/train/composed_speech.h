#pragma once
// Replies strung together from units, words cut from sentences (`make_speech.py units`): the list
// that the duplex trainer makes clips of and the codec trainer hears.

#include <cstdint>
#include <string>
#include <vector>

#include "tools/train/speech_set.h"

namespace duet::train {

struct ComposedReply {
  std::string text;
  std::vector<uint32_t> units;  ///< Indices of the units it is made of, in order.
};

/// JSONL {"text", "units": [id, ...]}, ids of `units`. Throws core::LoadError (file and line).
std::vector<ComposedReply> read_composed(const std::string& path,
                                         const std::vector<Utterance>& units);

/// The units of `set` as they were cut: nothing more is trimmed, a missing file is an error.
std::vector<Utterance> load_units(SpeechSetConfig set);

/// Replies of `path`, as one recording each, so that every unit that occurs is heard at least
/// `per_unit` times: in as many replies where there are, else in the same ones again. The same each
/// time. Throws as `read_composed`.
std::vector<Utterance> compose_speech(const std::vector<Utterance>& units, const std::string& path,
                                      size_t per_unit);

}  // namespace duet::train
