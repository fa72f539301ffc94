#include "audio/device_list.h"

#include <fcntl.h>
#include <portaudio.h>
#include <unistd.h>

#include <cstdio>

#include "runtime/core/error.h"

namespace duet::audio {
namespace {

/// ALSA and JACK write lines to stderr for every device that is not there.
class Silence {
 public:
  Silence() {
    std::fflush(stderr);
    saved_ = dup(STDERR_FILENO);
    const int null = open("/dev/null", O_WRONLY);
    if (null >= 0) {
      dup2(null, STDERR_FILENO);
      close(null);
    }
  }
  Silence(const Silence&) = delete;
  Silence& operator=(const Silence&) = delete;
  ~Silence() {
    std::fflush(stderr);
    if (saved_ < 0) return;
    dup2(saved_, STDERR_FILENO);
    close(saved_);
  }

 private:
  int saved_ = -1;
};

}  // namespace

std::vector<AudioDevice> list_audio_devices() {
  const Silence silence;
  const PaError started = Pa_Initialize();
  if (started != paNoError)
    throw core::DeviceError({.subject = "PortAudio",
                             .expected = "to start",
                             .found = Pa_GetErrorText(started),
                             .file = {},
                             .hint = {}});
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
  Pa_Terminate();
  return devices;
}

}  // namespace duet::audio
