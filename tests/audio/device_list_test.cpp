#include "audio/device_list.h"

#include <catch2/catch.hpp>

#include "tests/support/capture.h"

TEST_CASE("devices can be listed on any machine, without a word on stderr", "[unit]") {
  std::vector<duet::audio::AudioDevice> devices;
  const duet::test::Captured got = duet::test::capture([&devices] {
    devices = duet::audio::list_audio_devices();
    return 0;
  });
  CHECK(got.out.empty());
  CHECK(got.err.empty());
  int num_default_inputs = 0;
  for (const auto& device : devices) num_default_inputs += device.is_default_input;
  CHECK(num_default_inputs <= 1);
}

TEST_CASE("a device is chosen by number, name or part of it, else the default", "[unit]") {
  using duet::audio::AudioDevice;
  using duet::audio::choose_device;
  std::vector<AudioDevice> devices{{.index = 0, .name = "HDMI", .max_output_channels = 2},
                                   {.index = 1, .name = "USB Mic", .max_input_channels = 1},
                                   {.index = 2, .name = "Desk", .max_input_channels = 2}};
  CHECK(choose_device(devices, "2", true).name == "Desk");
  CHECK(choose_device(devices, "usb", true).index == 1);
  CHECK(choose_device(devices, "hdmi", false).index == 0);
  CHECK_THROWS_WITH(choose_device(devices, "", true),
                    Catch::Contains("a default one") && Catch::Contains("1 USB Mic, 2 Desk"));
  devices[2].is_default_input = true;
  CHECK(choose_device(devices, "", true).index == 2);
  CHECK_THROWS_WITH(choose_device(devices, "usb", false), Catch::Contains("speaker"));
  CHECK_THROWS_WITH(choose_device({}, "", true), Catch::Contains("none at all"));
  const std::string text = duet::audio::devices_text(devices);
  CHECK_THAT(text, Catch::Contains("<   2   2   0") && Catch::Contains("USB Mic"));
}
