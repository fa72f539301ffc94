#pragma once
// The half of `duet bench echo` in which the model talks: how often its own echo stops it or makes
// it speak, and whether it falls silent for a user who is quieter than the echo. Each conversation
// goes through the code of `duet talk` in a virtual room (echo_bench_talk.h).

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "runtime/bench/conversation.h"
#include "runtime/engine.h"
#include "runtime/scorer.h"

namespace duet::runtime {

inline constexpr std::array<double, 3> kBelowEchoDb = {0.0, 6.0, 12.0};

struct EchoModelOptions {
  std::size_t num_rooms = 12;
  std::vector<double> thd = {0.0, 0.03, 0.1};
  /// Playback of the control in each THD class, over all rooms [s]: of the full chain, of the
  /// others.
  double playback_s = 360.0;
  double others_playback_s = 120.0;
  std::size_t talks_per_room = 1;  ///< Interruptions at each level.
  std::size_t others_talks_per_room = 1;
  SessionOptions session = {};
  std::string folder = {};  ///< One JSON a conversation, from which a stopped run goes on.
  int num_threads = 8;      ///< Conversations side by side.

  void validate() const;  ///< Throws core::ConfigError.
};

/// What the user says: questions with long answers; turns to interrupt with. 16 kHz.
struct EchoVoices {
  std::vector<bench::Clip> questions, interruptions;
  std::string fingerprint;
};

/// From a suite (docs/bench.md): questions whose answer is expected to last for 8 s or more, and
/// all interruptions; each recording once. Throws core::LoadError, core::ConfigError.
EchoVoices load_echo_voices(const std::string& suite);

/// Of one contender (kEchoContenders).
struct EchoModelScore {
  struct Class {
    double thd = 0.0;
    double hours = 0.0;  ///< Of playback.
    int num_stops = 0, num_starts = 0;
    int num_shorter_answers = 0;    ///< Not cut off: other answers that end before the control's.
    double most_per_hour = 0.0;     ///< Of both together, 95 %.
    std::optional<double> erle_db;  ///< Mean of the rooms; what the model hears over the mic.
    std::optional<double> worst_erle_db;
    int num_replies = 0;     ///< Turns that both runs answered ...
    int num_same_words = 0;  ///< ... and in the same words.
    double half_duplex_share = 0.0;
  };
  struct Talk {
    double below_echo_db = 0.0;
    Estimate success;  ///< Silent within 1.5 s, of those that count.
    double median_stop_s = 0.0;
    double kept_db = 0.0;  ///< Gain on the near-end while the agent still sounds, mean.
    double worst_kept_db = 0.0;
  };
  std::vector<Class> classes;
  std::vector<Talk> talks;
};

struct EchoModelResult {
  std::string system;  ///< "coffee-bar 0.6"
  std::array<EchoModelScore, 3> scores;
  std::size_t num_done = 0, num_wanted = 0;  ///< Conversations (with their controls).
  std::int64_t num_failures = 0;             ///< Steps that failed.
  bool is_complete() const noexcept { return num_done == num_wanted; }
};

/// The full chain first. Stopped, it gives what is done. Throws core::LoadError (folder).
EchoModelResult measure_echo_with_model(const Engine& engine, const EchoVoices& voices,
                                        const EchoModelOptions& options,
                                        const std::function<void(double)>& on_progress = {},
                                        const std::function<bool()>& should_stop = {});

/// When an interruption would cut the agent off: the first time, 3 s or more after it began to
/// answer, at which it has been audible for 0.3 s and will be for 1.5 s more.
std::optional<double> find_interruption(const Activity& agent, double question_end_s);

}  // namespace duet::runtime
