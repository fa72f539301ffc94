#pragma once
// The sound devices that PortAudio sees. Listing and choosing; opening is portaudio_device.h's.

#include <string>
#include <vector>

namespace duet::audio {

struct AudioDevice {
  int index = 0;  ///< PortAudio's number of it.
  std::string name = {};
  std::string host_api = {};  ///< "ALSA", "PulseAudio", ...
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

/// `wanted`: a number, a name, or part of a name in any case (the first that has it); empty: the
/// default. Throws core::DeviceError that lists what there is.
const AudioDevice& choose_device(const std::vector<AudioDevice>& devices, const std::string& wanted,
                                 bool is_input);

/// A table for people, the defaults marked.
std::string devices_text(const std::vector<AudioDevice>& devices);

}  // namespace duet::audio
