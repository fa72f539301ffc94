#pragma once
// From the device to the model: pairs of captured and played samples at the device's rate become
// blocks of cleaned microphone at the model's.
//
//   pairs -> Resampler x 2 -> EchoCanceller (align, drift, cancel) -> HalfDuplexGuard -> blocks
//            16 kHz

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "audio/duplex_stream.h"
#include "audio/echo_canceller.h"
#include "audio/framer.h"
#include "audio/half_duplex_guard.h"
#include "audio/resampler.h"

namespace duet::audio {

/// One thread.
class CapturePath {
 public:
  struct Config {
    int device_rate_hz = 48000;
    int model_rate_hz = 16000;
    std::size_t block_samples = 1280;  ///< At the model's rate.
    EchoConfig echo = {};
    HalfDuplexGuard::Config guard = {};
    /// Cleaned audio that may wait for the model, at most; older is dropped [blocks].
    std::size_t max_waiting_blocks = 5;
  };

  explicit CapturePath(const Config& config);  ///< Throws core::ConfigError.

  void process(std::span<const SamplePair> pairs);
  /// The next block (Config::block_samples); false when it is not there yet.
  bool pop(std::span<float> block);
  /// Drops the oldest waiting blocks when there are more than max_waiting_blocks, down to one;
  /// returns how many.
  std::size_t drop_late();

  /// Time of the device at which the last block popped was complete, in seconds since the first
  /// pair. Dropped blocks count.
  double popped_until_s() const noexcept;
  /// From a sample at the microphone to the same in a block: look-ahead of the resamplers, the
  /// canceller's own.
  double latency_ms() const noexcept;
  EchoReport echo_report() const { return echo_->report(); }
  bool is_half_duplex() const noexcept { return guard_.is_half_duplex(); }

 private:
  void clean();

  Config config_;
  Resampler near_in_, far_in_, to_model_;
  std::unique_ptr<EchoCanceller> echo_;
  HalfDuplexGuard guard_;
  Framer framer_;
  std::vector<float> near_piece_, far_piece_;  // At the device's rate.
  std::vector<float> near_, far_;              // At 16 kHz, not cleaned yet.
  std::vector<float> model_piece_;
  std::array<float, kEchoBlockSamples> cleaned_{};
  std::int64_t num_popped_ = 0;  // Samples at the model's rate, dropped ones too.
};

}  // namespace duet::audio
