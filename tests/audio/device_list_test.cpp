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
