#pragma once
// A spoken sentence for people without a recording, by a speech synthesiser that is installed:
// flite or espeak-ng.

#include <string>
#include <vector>

#include "audio/audio_file.h"

namespace duet::runtime {

/// Programs that are tried in order; each is looked up in PATH.
inline const std::vector<std::string> kSynthesisers = {"flite", "espeak-ng"};

/// Speaks `text` (UTF-8, not empty) with the first program of `synthesisers` that is installed. No
/// shell is involved. Throws core::ConfigError for empty text and when none is installed,
/// core::LoadError when it fails.
audio::AudioClip speak_text(const std::string& text,
                            const std::vector<std::string>& synthesisers = kSynthesisers);

}  // namespace duet::runtime
