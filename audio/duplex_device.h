#pragma once
// A sound device that captures and plays at once, shaped as PortAudio's full-duplex stream.

#include <string>

#include "audio/duplex_stream.h"

namespace duet::audio {

struct DeviceRequest {
  std::string input = {};   ///< Number, or part of the name; empty: the default.
  std::string output = {};  ///< The same.
  int rate_hz = 0;          ///< 0: 48 kHz where the device takes it, else its own.
  double buffer_ms = 10.0;  ///< Of one callback, 1 to 100; a wish.
};

/// What was opened.
struct DeviceFacts {
  std::string input_name = {};
  std::string output_name = {};
  int rate_hz = 0;
  double input_latency_ms = 0.0;  ///< As the device says.
  double output_latency_ms = 0.0;
};

/// One thread, not the callback's. Order: open, start, stop; then again.
class DuplexDevice {
 public:
  virtual ~DuplexDevice() = default;
  /// Finds the devices anew (after an unplug, too). Throws core::DeviceError: none there, refused.
  virtual DeviceFacts open(const DeviceRequest& request) = 0;
  /// From now on a thread of the device calls stream.process. `stream` has the rate of the facts
  /// and lives until stop. Throws core::DeviceError.
  virtual void start(DuplexStream& stream) = 0;
  /// After it no callback runs. Closes; without effect when nothing is open.
  virtual void stop() noexcept = 0;
  /// False: the device itself says that it ended.
  virtual bool is_alive() const noexcept = 0;
};

}  // namespace duet::audio
