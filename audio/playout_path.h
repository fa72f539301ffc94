#pragma once
// From the model to the device: the agent's voice at the device's rate, and how much of it may
// wait. The policy is docs/realtime-audio.md's: a queue that is too long is shortened in silence,
// and when that is not enough the end of a step is cut; so delay never adds up.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "audio/duplex_stream.h"
#include "audio/resampler.h"

namespace duet::audio {

/// One thread, the producer of the stream's playout.
class PlayoutPath {
 public:
  struct Config {
    int model_rate_hz = 24000;
    double cushion_ms = 10.0;  ///< Kept between the model and the device.
    double max_ms = 160.0;     ///< Waiting before a step's voice is added, at most.
    double silence_dbfs = -50.0;
  };

  PlayoutPath(const Config& config, DuplexStream& stream);  ///< Throws core::ConfigError.

  /// The voice of one step.
  void push(std::span<const float> pcm);

  /// Waiting in front of the last pushed step, when it came.
  double waiting_ms() const noexcept { return waiting_ms_; }
  double dropped_silence_ms() const noexcept { return dropped_silence_ms_; }
  double dropped_voice_ms() const noexcept { return dropped_voice_ms_; }
  /// Of the resampler.
  double latency_ms() const noexcept;

 private:
  static constexpr std::size_t kHistory = 25;  // Steps; 2 s.
  double usual_ms() const;

  Config config_;
  DuplexStream& stream_;
  Resampler resampler_;
  std::vector<float> samples_;
  std::vector<double> recent_ms_;  // Waiting at the last pushes.
  double waiting_ms_ = 0.0;
  double dropped_silence_ms_ = 0.0, dropped_voice_ms_ = 0.0;
  bool is_first_ = true;
  bool was_cut_ = false;
};

}  // namespace duet::audio
