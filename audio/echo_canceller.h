#pragma once
// Takes what the loudspeaker plays out of what the microphone hears. One interface, four
// implementations, so that they can be measured side by side (docs/echo.md).

#include <cstddef>
#include <memory>
#include <span>

namespace duet::audio {

constexpr int kEchoRateHz = 16000;
constexpr std::size_t kEchoBlockSamples = 128;  ///< 8 ms.

struct EchoReport {
  bool is_delay_known = false;
  double delay_ms = 0.0;          ///< From handing the far end over to hearing it.
  double delay_confidence = 0.0;  ///< Of the last estimate, 0 to 1.
  double drift_ppm = 0.0;         ///< Playback clock over capture clock; 0 until known.
  double drift_error_ppm = 0.0;   ///< Standard deviation.
  double erle_db = 0.0;      ///< Microphone over output, the last second or so of active far end.
  bool is_bypassed = false;  ///< Nothing plays or no echo comes: the microphone passes as it is.
  bool is_double_talk = false;  ///< Somebody talks over the echo.
  int num_path_changes = 0;     ///< Jumps of the delay and failures of the filter.
};

/// One thread. `process` does not allocate, lock or throw. Not a const module with a copyable
/// state: SpeexDSP's own state cannot be copied.
class EchoCanceller {
 public:
  virtual ~EchoCanceller() = default;
  /// kEchoBlockSamples each, 16 kHz, in [-1, 1]: what the microphone caught, what was handed to the
  /// loudspeaker meanwhile, and the microphone without it, `latency_samples` late.
  virtual void process(std::span<const float> near, std::span<const float> far,
                       std::span<float> out) = 0;
  virtual std::size_t latency_samples() const noexcept = 0;
  virtual EchoReport report() const = 0;
  virtual void reset() = 0;
};

struct EchoConfig {
  enum class Backend {
    kNone,    ///< The microphone, delayed by nothing.
    kSpeex,   ///< SpeexDSP's canceller and preprocessor.
    kKalman,  ///< EchoFilter and EchoSuppressor.
  };
  Backend backend = Backend::kKalman;
  /// Follow delay and drift. Without, the far end is delayed by `delay_ms` all the time.
  bool is_aligned = true;
  double delay_ms = 0.0;   ///< Delay to begin with, 0 to 500.
  double tail_ms = 256.0;  ///< Length of the filter, 32 to 512.

  void validate() const;  ///< Throws core::ConfigError.
};

/// Throws core::ConfigError.
std::unique_ptr<EchoCanceller> make_echo_canceller(const EchoConfig& config = {});

}  // namespace duet::audio
