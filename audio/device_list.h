#pragma once
// The sound devices that PortAudio sees. Listing only; opening and streaming are not here.

#include <string>
#include <vector>

namespace duet::audio {

struct AudioDevice {
  int index = 0;  ///< PortAudio's number of it.
  std::string name;
  std::string host_api;  ///< "ALSA", "PulseAudio", ...
  int max_input_channels = 0;
  int max_output_channels = 0;
  double default_sample_rate_hz = 0.0;
  bool is_default_input = false;
  bool is_default_output = false;
};

/// Empty on a machine without a sound card. What the host's sound libraries print meanwhile is
/// swallowed. Not thread-safe: it redirects stderr while it asks. Throws core::DeviceError when
/// PortAudio itself fails.
std::vector<AudioDevice> list_audio_devices();

}  // namespace duet::audio
