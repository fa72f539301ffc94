#include "tools/commands/talk.h"

#include <catch2/catch.hpp>

#include "runtime/core/error.h"
#include "tests/support/temp_dir.h"

using namespace duet;
using namespace duet::commands;
using Catch::Matchers::Contains;

TEST_CASE("the demo recording comes from the first folder that has it", "[unit]") {
  const support::TempDir a, b;
  CHECK_THROWS_WITH(find_demo("x.ogg", {a.path(), b.path()}),
                    Contains("x.ogg") && Contains(a.path() + ", " + b.path()));
  b.write("x.ogg", "b");
  CHECK(find_demo("x.ogg", {a.path(), b.path()}) == b.file("x.ogg"));
  a.write("x.ogg", "a");
  CHECK(find_demo("x.ogg", {a.path(), b.path()}) == a.file("x.ogg"));
}

TEST_CASE("the demo recording is in the repository", "[unit]") {
  CHECK_NOTHROW(find_demo(kDemoRecording, demo_folders()));
}

TEST_CASE("the reason for the demo is told as it is", "[unit]") {
  CHECK_THAT(why_demo({}), Contains("no sound card"));
  audio::AudioDevice device;
  device.max_input_channels = 1;
  CHECK_THAT(why_demo({device}), Contains("no speaker"));
  device.max_output_channels = 2;
  CHECK(why_demo({device}).empty());
  device.max_input_channels = 0;
  CHECK_THAT(why_demo({device}), Contains("no microphone"));
}
