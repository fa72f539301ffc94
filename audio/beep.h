#pragma once
// Whether a device plays and captures: beeps, and listens for them.

#include <functional>
#include <string>

#include "audio/duplex_device.h"

namespace duet::audio {

struct BeepResult {
  DeviceFacts facts;
  StreamCounters counters;
  double beep_dbfs = -200.0;   ///< Of the tone in the microphone while it was played.
  double quiet_dbfs = -200.0;  ///< At the same frequency before.
  float peak = 0.0F;           ///< Of the microphone.
  bool is_heard = false;       ///< 10 dB above what was there before.
};

/// Two seconds: silence, then a tone of 880 Hz. Throws core::DeviceError.
BeepResult beep(DuplexDevice& device, const DeviceRequest& request);

/// What that means, in lines for people.
std::string beep_text(const BeepResult& result);

}  // namespace duet::audio
