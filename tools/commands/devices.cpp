#include <iostream>
#include <memory>

#include "audio/beep.h"
#include "audio/device_list.h"
#include "audio/portaudio_device.h"
#include "tools/commands/commands.h"

namespace duet::commands {
namespace {

struct DeviceOptions {
  audio::DeviceRequest device;
  bool is_test = false;
};

int run_devices(const DeviceOptions& options) {
  std::cout << audio::devices_text(audio::list_audio_devices()) << std::flush;
  if (!options.is_test) return 0;
  const auto device = audio::make_portaudio_device();
  std::cout << audio::beep_text(audio::beep(*device, options.device)) << std::flush;
  return 0;
}

}  // namespace

void add_devices(CLI::App& app, Dispatch& dispatch) {
  auto options = std::make_shared<DeviceOptions>();
  CLI::App* command =
      app.add_subcommand("devices", "List microphones and speakers; --test beeps and listens");
  command->add_flag("--test", options->is_test, "Play a beep and listen for it");
  command->add_option("--input", options->device.input, "Microphone: number or part of its name");
  command->add_option("--output-device", options->device.output, "Speaker, likewise");
  command->add_option("--device-rate", options->device.rate_hz,
                      "Rate of both [Hz]; 0: 48000 where it can, else its own");
  on_run(*command, dispatch, [options] { return run_devices(*options); });
}

}  // namespace duet::commands
