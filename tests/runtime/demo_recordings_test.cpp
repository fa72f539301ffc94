#include <catch2/catch.hpp>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "audio/audio_file.h"
#include "runtime/activity.h"

using namespace duet;

TEST_CASE("the demo recordings have their words where demo.jsonl says", "[unit]") {
  const std::string folder = DUET_SOURCE_DIR "/tests/data/demo/";
  std::ifstream lines(folder + "demo.jsonl");
  std::string line;
  int num_files = 0;
  while (std::getline(lines, line)) {
    const auto entry = nlohmann::json::parse(line);
    INFO(line);
    const auto clip = audio::load_audio_file(folder + entry["file"].get<std::string>());
    const auto found =
        runtime::find_activity(runtime::measure_levels_db(clip.samples, clip.rate_hz));
    // Words may have silence inside them, so each turn's first and last activity count.
    for (const auto& turn : entry["turns"]) {
      const runtime::Segment* first = found.next(turn["start_s"].get<double>() - 0.05);
      REQUIRE(first != nullptr);
      CHECK(first->start_s == Approx(turn["start_s"].get<double>()).margin(0.12));
      double last = 0.0;
      for (const auto& segment : found.segments) {
        if (segment.start_s < turn["end_s"].get<double>()) last = segment.end_s;
      }
      // A fading consonant lies under the activity threshold: the end of activity comes earlier.
      CHECK(last == Approx(turn["end_s"].get<double>()).margin(0.35));
    }
    ++num_files;
  }
  CHECK(num_files == 6);
  CHECK(audio::load_audio_file(folder + "order-human.ogg").samples.size() > 16000);
}
