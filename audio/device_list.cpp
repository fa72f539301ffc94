#include "audio/device_list.h"

#include <portaudio.h>

#include <algorithm>
#include <cctype>
#include <cstdio>

#include "audio/portaudio_library.h"
#include "runtime/core/error.h"

namespace duet::audio {
namespace {

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

bool is_number(const std::string& text) {
  return !text.empty() && text.size() < 6 &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isdigit(c); });
}

}  // namespace

std::vector<AudioDevice> list_audio_devices() {
  const PortAudioLibrary library;
  std::vector<AudioDevice> devices;
  const int count = Pa_GetDeviceCount();
  for (int index = 0; index < count; ++index) {
    const PaDeviceInfo* info = Pa_GetDeviceInfo(index);
    if (info == nullptr) continue;
    const PaHostApiInfo* host = Pa_GetHostApiInfo(info->hostApi);
    devices.push_back({.index = index,
                       .name = info->name ? info->name : "",
                       .host_api = host && host->name ? host->name : "",
                       .max_input_channels = info->maxInputChannels,
                       .max_output_channels = info->maxOutputChannels,
                       .default_sample_rate_hz = info->defaultSampleRate,
                       .is_default_input = index == Pa_GetDefaultInputDevice(),
                       .is_default_output = index == Pa_GetDefaultOutputDevice()});
  }
  return devices;
}

const AudioDevice& choose_device(const std::vector<AudioDevice>& devices, const std::string& wanted,
                                 bool is_input) {
  const char* kind = is_input ? "microphone" : "speaker";
  std::string names;
  const AudioDevice* partly = nullptr;
  for (const AudioDevice& device : devices) {
    if ((is_input ? device.max_input_channels : device.max_output_channels) <= 0) continue;
    if (wanted.empty() && (is_input ? device.is_default_input : device.is_default_output))
      return device;
    if (is_number(wanted) && device.index == std::stoi(wanted)) return device;
    if (!wanted.empty() && device.name == wanted) return device;
    if (!wanted.empty() && partly == nullptr &&
        lower(device.name).find(lower(wanted)) != std::string::npos)
      partly = &device;
    names += (names.empty() ? "" : ", ") + std::to_string(device.index) + " " + device.name;
  }
  if (partly != nullptr) return *partly;
  throw core::DeviceError({.subject = kind,
                           .expected = wanted.empty() ? "a default one" : "\"" + wanted + "\"",
                           .found = names.empty() ? "none at all" : names,
                           .file = {},
                           .hint = "duet devices lists them"});
}

std::string devices_text(const std::vector<AudioDevice>& devices) {
  if (devices.empty()) return "no sound devices\n";
  std::string text = "  no  in out    rate  name\n";
  for (const AudioDevice& device : devices) {
    char line[96];
    std::snprintf(line, sizeof line, "%c%c%3d %3d %3d %7.0f  ", device.is_default_input ? '<' : ' ',
                  device.is_default_output ? '>' : ' ', device.index, device.max_input_channels,
                  device.max_output_channels, device.default_sample_rate_hz);
    text += line + device.name + " (" + device.host_api + ")\n";
  }
  return text + "< default microphone, > default speaker\n";
}

}  // namespace duet::audio
