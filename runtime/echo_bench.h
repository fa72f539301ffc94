#pragma once
// `duet bench echo`: what the audio half does to echoes, measured in virtual rooms, side by side:
// nothing, SpeexDSP with the right delay given, the full chain. Here without a model: the listener
// is a level detector, which is easier to fool (echo_bench_model.h: with one). docs/echo.md holds
// the table.

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "audio/echo_canceller.h"
#include "audio/room.h"
#include "runtime/echo_bench_model.h"

namespace duet::runtime {

struct EchoBenchOptions {
  std::size_t num_rooms = 12;
  /// Playback in each THD class, over all rooms [s].
  double seconds_per_class = 360.0;
  std::size_t talks_per_room = 1;  ///< Interruptions at each level.
  std::vector<double> thd = {0.0, 0.03, 0.1};

  void validate() const;  ///< Throws core::ConfigError.
};

inline constexpr std::array<const char*, 3> kEchoContenders = {"nothing", "SpeexDSP", "full chain"};

/// Of one contender.
struct EchoScore {
  struct Class {
    double thd = 0.0;
    double hours = 0.0;
    int num_false = 0;           ///< Times the listener took the agent's own echo for a voice.
    double erle_db = 0.0;        ///< Microphone over output while the agent speaks, after 3 s.
    double worst_erle_db = 0.0;  ///< Of the rooms.
  };
  struct Talk {
    double below_echo_db = 0.0;
    int num = 0;
    int num_heard = 0;     ///< Within 1 s of its onset.
    double kept_db = 0.0;  ///< Gain on the near-end, mean.
    double worst_kept_db = 0.0;
  };
  std::vector<Class> classes;
  std::vector<Talk> talks;
  std::vector<double> reconverge_s;    ///< To 15 dB after the path changed; infinite: never.
  std::vector<double> delay_error_ms;  ///< After 2 s of speech; the full chain's only.
  double added_latency_ms = 0.0;       ///< Resample, cancel, frame, playout at 48 kHz.
  double cpu = 0.0;                    ///< Of a core, of all that, at 48 kHz.
};

struct EchoReportTable {
  EchoBenchOptions options;
  std::array<EchoScore, 3> scores;
  std::optional<EchoModelResult> model;  ///< Its rows come first.
  std::string to_text() const;           ///< A Markdown table.
  std::string to_json() const;
};

/// `agent`: speech at 16 kHz for the loudspeaker, looped; `user`: speech for the interruptions.
/// `on_progress` gets the share done.
EchoReportTable measure_echo(std::span<const float> agent, std::span<const float> user,
                             const EchoBenchOptions& options,
                             const std::function<void(double)>& on_progress = {},
                             const std::function<bool()>& should_stop = {});

/// The rooms of the table: RT60 0.2 to 0.6 s, delays 10 to 400 ms, drift 0 to 100 ppm.
audio::RoomConfig bench_room(std::size_t index, std::size_t num_rooms, double thd);

/// What stands between microphone and listener: kEchoContenders[index].
audio::EchoConfig contender(std::size_t index, const audio::RoomConfig& room);

/// Times the listener hears a voice: 200 ms above `threshold_dbfs` with gaps of 50 ms at most; each
/// lasts until 0.5 s of silence. Start samples (16 kHz).
std::vector<std::size_t> hear_voices(std::span<const float> samples, double threshold_dbfs);

}  // namespace duet::runtime
