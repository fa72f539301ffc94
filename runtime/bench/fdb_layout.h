#pragma once
// The folders of Full-Duplex-Bench v1.0 and v1.5: which samples are there, what is annotated, what
// a system has answered. Source: DanielLin94144/Full-Duplex-Bench, v1_v1.5/dataset/README.md and
// evaluation/README.md.

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "runtime/bench/fdb_metrics.h"
#include "runtime/bench/suite_run.h"
#include "runtime/timeline.h"

namespace duet::runtime::bench::fdb {

enum class Task { kPause, kTurnTaking, kBackchannel, kInterruption, kOverlap };

/// A folder of samples of one kind, "candor_turn_taking".
struct Subset {
  std::string name;
  std::string path;
  Task task = Task::kPause;
};

/// The subsets below `root`: itself, its folders, or those of its v1_0 and v1_5, in the order of
/// their publication. Throws core::LoadError when there is none.
std::vector<Subset> find_subsets(const std::string& root);

/// Names of the sample folders, sorted (numbers by value). Those of backchannels must be all
/// digits, as published code skips others.
std::vector<std::string> sample_ids(const Subset& subset);

/// When the user ends (turn-taking: timestamp[0] of its annotation; interruption: timestamp[1]), or
/// v1.5's event. Nothing for pauses and backchannels. Throws core::LoadError: no annotation,
/// damaged.
std::optional<Segment> annotation(const Subset& subset, const std::string& id);

/// Calls work(i) for the samples `names` one after the other; it returns false when it was told to
/// stop. Returns those that failed, by name, with the reason; gives up when three in a row find
/// nobody to connect to.
std::vector<std::string> work_off(const std::vector<std::string>& names,
                                  const std::function<bool(std::size_t)>& work,
                                  const SuiteHooks& hooks);

/// output.json or clean_output.json: {"text": ..., "chunks": [{"text": w, "timestamp": [s, e]}]}.
/// Chunks without a start or an end are left out. Nothing when there is no file. Throws
/// core::LoadError for a damaged one.
std::optional<std::vector<Word>> read_words(const std::string& path);
void write_words(const std::string& path, const std::vector<Word>& words);

/// icc_gt_distribution.json: sample -> distribution. Throws core::LoadError.
std::vector<std::pair<std::string, std::vector<double>>> read_people(const std::string& path);

/// latency_intervals.json as get_timing.py writes it.
void write_intervals(const std::string& path, const std::vector<Segment>& stops,
                     const std::vector<Segment>& responses);

/// Speech of a channel with Silero's usual limits on our own measure of sound: gaps under 100 ms
/// closed, what is shorter than 250 ms dropped, 30 ms added on either side. Throws core::LoadError.
struct Speech {
  std::vector<Segment> segments;
  double duration_s = 0.0;
};
Speech find_speech(const std::string& wav_path);
std::vector<Segment> find_speech(std::span<const float> samples, int rate_hz);

/// Words without a recogniser: of the text channel where `turns` have any, spread over their sound
/// by length; elsewhere one of at most 1/3 s after the other, so that a second of sound is a turn
/// and less is three words.
std::vector<Word> words_of(std::span<const Segment> speech, std::span<const AgentTurn> turns = {});

}  // namespace duet::runtime::bench::fdb
