#pragma once
// PortAudio's life: everything that starts it goes through here.

#include <string>

namespace duet::audio {

/// Swallows what is written to stderr while it lives: ALSA and JACK write lines for every device
/// that is not there. Not thread-safe.
class QuietStderr {
 public:
  QuietStderr();
  ~QuietStderr();
  QuietStderr(const QuietStderr&) = delete;
  QuietStderr& operator=(const QuietStderr&) = delete;

 private:
  int saved_ = -1;
};

/// Pa_Initialize to Pa_Terminate; the list of devices is of the moment of the first.
class PortAudioLibrary {
 public:
  PortAudioLibrary();  ///< Throws core::DeviceError.
  ~PortAudioLibrary();
  PortAudioLibrary(const PortAudioLibrary&) = delete;
  PortAudioLibrary& operator=(const PortAudioLibrary&) = delete;
};

}  // namespace duet::audio
