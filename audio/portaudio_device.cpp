#include "audio/portaudio_device.h"

#include <portaudio.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "audio/device_list.h"
#include "audio/portaudio_library.h"
#include "runtime/core/error.h"

namespace duet::audio {

namespace {

/// Sound cards that refuse one channel take two.
constexpr int kMaxChannels = 2;

struct Callback {
  DuplexStream* stream = nullptr;
  int in_channels = 1;
  int out_channels = 1;
};

int on_audio(const void* in, void* out, unsigned long frames, const PaStreamCallbackTimeInfo*,
             PaStreamCallbackFlags flags, void* user) noexcept {
  const auto* callback = static_cast<const Callback*>(user);
  constexpr PaStreamCallbackFlags kFaults =
      paInputUnderflow | paInputOverflow | paOutputUnderflow | paOutputOverflow;
  callback->stream->process(static_cast<const float*>(in), callback->in_channels,
                            static_cast<float*>(out), callback->out_channels, frames,
                            (flags & kFaults) != 0);
  return paContinue;
}

class PortAudioDevice : public DuplexDevice {
 public:
  ~PortAudioDevice() override { stop(); }

  DeviceFacts open(const DeviceRequest& request) override {
    stop();
    const std::vector<AudioDevice> devices = list_audio_devices();
    const AudioDevice& input = choose_device(devices, request.input, true);
    const AudioDevice& output = choose_device(devices, request.output, false);
    library_.emplace();
    request_ = request;
    try {
      choose_format(input, output);
    } catch (...) {
      library_.reset();
      throw;
    }
    facts_.input_name = input.name;
    facts_.output_name = output.name;
    facts_.input_latency_ms = input_.suggestedLatency * 1e3;
    facts_.output_latency_ms = output_.suggestedLatency * 1e3;
    return facts_;
  }

  void start(DuplexStream& stream) override {
    DUET_CHECK(library_.has_value() && stream.rate_hz() == facts_.rate_hz);
    callback_ = {&stream, input_.channelCount, output_.channelCount};
    const auto frames = static_cast<unsigned long>(std::clamp(request_.buffer_ms, 1.0, 100.0) *
                                                   1e-3 * facts_.rate_hz);
    const QuietStderr quiet;
    PaError failed = Pa_OpenStream(&stream_, &input_, &output_, facts_.rate_hz, frames,
                                   paClipOff | paDitherOff, on_audio, &callback_);
    if (failed != paNoError) stream_ = nullptr;
    if (failed == paNoError) failed = Pa_StartStream(stream_);
    if (failed == paNoError) return;
    stop();
    refuse(Pa_GetErrorText(failed));
  }

  void stop() noexcept override {
    if (stream_ != nullptr) {
      const QuietStderr quiet;
      Pa_AbortStream(stream_);  // Returns when the callback has; a lost device may refuse it.
      Pa_CloseStream(stream_);
      stream_ = nullptr;
    }
    library_.reset();
  }

  bool is_alive() const noexcept override {
    return stream_ != nullptr && Pa_IsStreamActive(stream_) == 1;
  }

 private:
  [[noreturn]] void refuse(const std::string& reason) const {
    throw core::DeviceError(
        {.subject = "sound device",
         .expected = facts_.input_name + " and " + facts_.output_name + " to open together",
         .found = reason,
         .file = {},
         .hint = "another program may hold it; duet devices lists others"});
  }

  /// The first of the likely rates and channel counts that both directions take.
  void choose_format(const AudioDevice& input, const AudioDevice& output) {
    const QuietStderr quiet;
    // 48 kHz first: nearly all hardware and sound servers run at it, whatever ALSA calls the
    // default; PulseAudio's plugin stops a full-duplex stream at 44.1 kHz over a 48 kHz server.
    std::vector<int> rates{48000, static_cast<int>(input.default_sample_rate_hz),
                           static_cast<int>(output.default_sample_rate_hz), 44100, 16000};
    if (request_.rate_hz > 0) rates = {request_.rate_hz};
    facts_ = {.input_name = input.name, .output_name = output.name};
    PaError last = paInvalidDevice;
    for (const int rate : rates) {
      for (int channels = 1; channels <= kMaxChannels; ++channels) {
        input_ = parameters(input.index, std::min(channels, input.max_input_channels), true);
        output_ = parameters(output.index, std::min(channels, output.max_output_channels), false);
        last = Pa_IsFormatSupported(&input_, &output_, rate);
        if (last != paFormatIsSupported) continue;
        facts_.rate_hz = rate;
        return;
      }
    }
    refuse(Pa_GetErrorText(last));
  }

  static PaStreamParameters parameters(int index, int channels, bool is_input) {
    const PaDeviceInfo* info = Pa_GetDeviceInfo(index);
    PaStreamParameters result{};
    result.device = index;
    result.channelCount = channels;
    result.sampleFormat = paFloat32;
    if (info != nullptr)
      result.suggestedLatency =
          is_input ? info->defaultLowInputLatency : info->defaultLowOutputLatency;
    return result;
  }

  std::optional<PortAudioLibrary> library_;
  PaStream* stream_ = nullptr;
  PaStreamParameters input_{}, output_{};
  DeviceRequest request_;
  DeviceFacts facts_;
  Callback callback_;
};

}  // namespace

std::unique_ptr<DuplexDevice> make_portaudio_device() {
  return std::make_unique<PortAudioDevice>();
}

}  // namespace duet::audio
