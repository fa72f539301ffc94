#include "audio/beep.h"

#include <catch2/catch.hpp>

#include "audio/room_device.h"
#include "runtime/core/error.h"

using namespace duet;

TEST_CASE("a beep is heard in the room, and missed where the loudspeaker is off", "[unit]") {
  for (const double gain_db : {-10.0, -80.0}) {
    audio::RoomDevice device(
        {.room = {.rt60_s = 0.2, .echo_gain_db = gain_db, .noise_dbfs = -60.0}, .is_paced = true});
    const audio::BeepResult result = audio::beep(device, {});
    INFO(audio::beep_text(result));
    CHECK(result.is_heard == (gain_db > -40.0));
    CHECK(result.counters.num_callbacks > 100);
    CHECK_THAT(audio::beep_text(result),
               Catch::Contains("virtual room") &&
                   Catch::Contains(result.is_heard ? "beep: heard" : "turn the speaker up"));
  }
}

TEST_CASE("silence and absence have their own words", "[unit]") {
  audio::BeepResult result;
  CHECK_THAT(audio::beep_text(result), Catch::Contains("no audio at all"));
  result.counters.num_callbacks = 5;
  CHECK_THAT(audio::beep_text(result), Catch::Contains("muted?"));
}
