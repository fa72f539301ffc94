#pragma once
// Makes a suite from recorded questions: a manifest as tools/train/data/README.md describes it.

#include <cstdint>
#include <string>
#include <vector>

namespace duet::runtime::bench {

enum class SuiteKind {
  kImpatient,     ///< Three turns a dialogue, each after half of the silence (SALM-Duplex).
  kPauses,        ///< A question with a pause of 0.4-1.5 s inside.
  kBackchannels,  ///< A short word into a long answer.
  kNoise,         ///< Cough, door, music or a second speaker into a long answer.
  kEcho,          ///< The answer comes back through the microphone.
  kSmoke,         ///< One of each.
};
/// "impatient", ...; throws core::ConfigError for anything else.
SuiteKind suite_kind(const std::string& name);
const std::vector<std::string>& suite_names();

struct MakeOptions {
  SuiteKind kind = SuiteKind::kImpatient;
  std::string manifest;
  std::vector<std::string> splits = {"voices", "heldout"};
  std::string folder;  ///< Gets suite.yaml and audio/*.opus; made where it is not there.
  std::size_t num_dialogs = 100;
  std::size_t max_clips = 120;  ///< Questions to draw from, to keep a suite small.
  std::uint64_t seed = 1;
  int bitrate_bps = 16000;
};

/// Writes the suite and returns its path. The same manifest and seed give the same bytes. Throws
/// core::LoadError: manifest, audio; core::ConfigError: too few recordings of what it takes.
std::string make_suite(const MakeOptions& options);

/// A cough, a door or music, made up: mono, peak 0.5. `name` is one of these three words.
std::vector<float> make_noise(const std::string& name, int rate_hz, std::uint64_t seed);

/// Where a recording can be cut in two with least harm: the middle of its quietest 60 ms between
/// its first and last third, in samples; 0 when that is not 25 dB under its loud parts.
std::size_t find_cut(const std::vector<float>& samples, int rate_hz);

}  // namespace duet::runtime::bench
