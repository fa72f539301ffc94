// A NeMo bundle behind the engine seam.
#include <ATen/ATen.h>

#include <catch2/catch.hpp>

#include "runtime/engine/torch_engine.h"
#include "tests/support/golden_weights.h"
#include "tests/support/nemo_golden.h"
#include "tests/support/nemo_tiny.h"
#include "tests/support/temp_dir.h"

using namespace duet;

TEST_CASE("a NeMo bundle speaks through the engine, chunks of two frames included", "[e2e]") {
  // With [4, 1] two frames come every second block: the voice is one block late, the words are the
  // same.
  const support::TempDir folder;
  test::write_tiny_bundle(folder, test::tiny_nemo_config());
  const auto engine = engine::load_engine(folder.path());
  CHECK(engine->info().output_block_samples == 1764);
  CHECK(engine->info().output_rate_hz == 22050);
  CHECK(engine->info().encoder_lookahead_samples == 2360);
  const auto session = engine->make_session({});
  const at::Tensor signal = test::golden_signal(12800);
  runtime::StepOutput out;
  std::vector<int> last_text;
  for (int pass = 0; pass < 2; ++pass) {  // the second after a reset
    std::vector<int> text;
    std::vector<float> voice;
    for (int64_t start = 0; start < 12800; start += 1280) {
      session->step({signal.data_ptr<float>() + start, 1280}, out);
      voice.insert(voice.end(), out.pcm.begin(), out.pcm.end());
      text.push_back(out.text_token);
      REQUIRE(out.pcm.size() == 1764);
    }
    // Blocks 1, 3, 5 .. say frames 0+1, 2+3, ..; a step tells the last token of its frames.
    CHECK(text == std::vector<int>{-1, 3, -1, 18, -1, 10, -1, 37, -1, 6});
    CHECK(std::all_of(voice.begin(), voice.begin() + 1764, [](float x) { return x == 0.0F; }));
    CHECK(std::any_of(voice.begin() + 1764, voice.begin() + 2 * 1764,
                      [](float x) { return x != 0.0F; }));
    session->reset();
  }
}
