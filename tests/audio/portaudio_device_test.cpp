// Real PortAudio, through ALSA's plugin, on PulseAudio's null sinks. Where no daemon can start the
// test says so and is skipped.

#include "audio/portaudio_device.h"

#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "audio/device_list.h"
#include "runtime/core/error.h"
#include "tests/support/temp_dir.h"

using namespace duet;

namespace {

/// A PulseAudio daemon of its own in a folder of its own, whose only sink's monitor is the
/// microphone: what is played is heard.
class PulseServer {
 public:
  PulseServer() {
    ::setenv("XDG_RUNTIME_DIR", folder_.path().c_str(), 1);
    ::setenv("PULSE_RUNTIME_PATH", folder_.path().c_str(), 1);
    ::setenv("PULSE_STATE_PATH", folder_.path().c_str(), 1);
    ::setenv("HOME", folder_.path().c_str(), 1);
    ::setenv("PULSE_SERVER", ("unix:" + folder_.file("native")).c_str(), 1);
    folder_.write(".asoundrc", "pcm.!default { type pulse }\nctl.!default { type pulse }\n");
    pid_ = ::fork();
    if (pid_ == 0) {
      ::execlp("pulseaudio", "pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1",
               "--disable-shm=yes", "--use-pid-file=no", "--log-level=0", "-L",
               "module-null-sink sink_name=duet rate=48000", "-L",
               "module-native-protocol-unix auth-anonymous=1", static_cast<char*>(nullptr));
      ::_exit(127);
    }
    for (int i = 0; i < 50 && !is_up_; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      int status = 0;
      if (::waitpid(pid_, &status, WNOHANG) == pid_) {
        pid_ = -1;
        return;
      }
      is_up_ = ::access(folder_.file("native").c_str(), F_OK) == 0;
    }
  }
  ~PulseServer() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGTERM);
    ::waitpid(pid_, nullptr, 0);
  }
  PulseServer(const PulseServer&) = delete;
  PulseServer& operator=(const PulseServer&) = delete;
  bool is_up() const { return is_up_; }

 private:
  support::TempDir folder_;
  pid_t pid_ = -1;
  bool is_up_ = false;
};

}  // namespace

TEST_CASE("PortAudio plays and captures at once on a null sink", "[device]") {
  const PulseServer server;
  if (!server.is_up()) {
    WARN("skipped: no PulseAudio daemon can start here (packages pulseaudio, libasound2-plugins)");
    return;
  }
  const auto devices = audio::list_audio_devices();
  INFO(audio::devices_text(devices));
  const auto device = audio::make_portaudio_device();
  audio::DeviceFacts facts;
  try {
    facts = device->open({});
  } catch (const core::DeviceError& error) {
    WARN("skipped: " << error.what() << " (package libasound2-plugins)\n"
                     << audio::devices_text(devices));
    return;
  }
  audio::DuplexStream stream({.rate_hz = facts.rate_hz, .playout_seconds = 2.0});
  device->start(stream);
  CHECK(device->is_alive());
  std::vector<float> tone(static_cast<std::size_t>(facts.rate_hz));
  for (std::size_t i = 0; i < tone.size(); ++i)
    tone[i] = 0.5F * static_cast<float>(std::sin(2.0 * M_PI * 440.0 * double(i) / facts.rate_hz));
  stream.write(tone);
  double loudest = 0.0;
  std::vector<audio::SamplePair> pairs(static_cast<std::size_t>(facts.rate_hz));
  std::size_t num_read = 0;
  for (int i = 0; i < 80 && (loudest < 0.45 || stream.counters().num_callbacks < 50); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    const std::size_t count = stream.read(pairs);
    num_read += count;
    for (std::size_t k = 0; k < count; ++k)
      loudest = std::max(loudest, std::abs(double(pairs[k].near)));
  }
  device->stop();
  CHECK_FALSE(device->is_alive());
  CHECK(stream.counters().num_callbacks > 20);
  CHECK(num_read > static_cast<std::size_t>(facts.rate_hz) / 4);
  CHECK(loudest == Approx(0.5).margin(0.1));
  WARN("PortAudio: " << facts.input_name << " at " << facts.rate_hz << " Hz, "
                     << stream.counters().num_callbacks << " callbacks, "
                     << stream.counters().num_device_faults << " device faults");
}
