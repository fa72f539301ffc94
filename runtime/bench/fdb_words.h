#pragma once
// Word times of a channel by a recogniser: a model's own CTC head hears the agent's audio as if a
// user spoke it. In the place of the published recogniser step (get_transcript/asr.py), without a
// GPU.

#include <span>
#include <string>
#include <vector>

#include "runtime/bench/fdb_metrics.h"
#include "runtime/bench/suite_run.h"
#include "runtime/engine.h"

namespace duet::runtime::bench::fdb {

/// What one step of a recogniser wrote: pieces of words, a leading space before each new word.
struct HeardPiece {
  double time_s = 0.0;  ///< Start of the step.
  std::string text;
};

/// Pieces as words with times. CTC writes a piece when it has heard it, in one step: a word begins
/// where the one before it was complete and ends with the step of its last piece; the first and the
/// last word of a stretch of sound begin and end with it. Pieces up to half a second behind a
/// stretch still belong to it.
std::vector<Word> align_words(std::span<const HeardPiece> pieces, double step_s,
                              std::span<const Segment> speech);

/// The words of `samples` as `engine` hears them. Throws StepError, and core::ConfigError when it
/// writes no words.
std::vector<Word> hear_words(const Engine& engine, std::span<const float> samples, int rate_hz);

/// Writes output.json beside every output.wav (v1.5: clean_output.json, too) below `root`; of
/// interruptions the words after the user's end only, as the published step does. Those that have
/// one are left alone unless `again`. Returns those that failed, with the reason.
std::vector<std::string> transcribe(const Engine& engine, const std::string& root, bool again,
                                    const SuiteHooks& hooks);

}  // namespace duet::runtime::bench::fdb
