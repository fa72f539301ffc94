#include "audio/portaudio_library.h"

#include <fcntl.h>
#include <portaudio.h>
#include <unistd.h>

#include <cstdio>

#include "runtime/core/error.h"

namespace duet::audio {

QuietStderr::QuietStderr() {
  std::fflush(stderr);
  saved_ = dup(STDERR_FILENO);
  const int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
  if (null < 0) return;
  dup2(null, STDERR_FILENO);
  close(null);
}

QuietStderr::~QuietStderr() {
  std::fflush(stderr);
  if (saved_ < 0) return;
  dup2(saved_, STDERR_FILENO);
  close(saved_);
}

PortAudioLibrary::PortAudioLibrary() {
  const QuietStderr quiet;
  const PaError started = Pa_Initialize();
  if (started != paNoError)
    throw core::DeviceError({.subject = "PortAudio",
                             .expected = "to start",
                             .found = Pa_GetErrorText(started),
                             .file = {},
                             .hint = {}});
}

PortAudioLibrary::~PortAudioLibrary() { Pa_Terminate(); }

}  // namespace duet::audio
