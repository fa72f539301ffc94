#include "audio/framer.h"

#include <catch2/catch.hpp>
#include <numeric>
#include <random>

using duet::audio::Framer;

TEST_CASE("any chunking gives the same blocks, in order, nothing lost", "[property]") {
  std::vector<float> stream(20 * 1280 + 777);
  std::iota(stream.begin(), stream.end(), 1.0F);
  for (unsigned seed = 0; seed < 20; ++seed) {
    INFO("seed " << seed);
    std::mt19937 random(seed);
    Framer framer(1280);
    std::vector<float> got;
    std::vector<float> block(1280);
    for (std::size_t at = 0; at < stream.size();) {
      const std::size_t size =
          std::min<std::size_t>(random() % (seed % 2 == 0 ? 300 : 9000), stream.size() - at);
      framer.push(std::span(stream).subspan(at, size));
      at += size;
      while (framer.pop(block)) got.insert(got.end(), block.begin(), block.end());
      REQUIRE(framer.num_pending() < 1280);
    }
    CHECK(got.size() == 20 * 1280);
    CHECK(framer.flush(block) == 777);
    got.insert(got.end(), block.begin(), block.end());
    CHECK(std::equal(stream.begin(), stream.end(), got.begin()));
    CHECK(std::all_of(got.begin() + std::ssize(stream), got.end(),
                      [](float x) { return x == 0.0F; }));
    CHECK(got.size() == 21 * 1280);
    CHECK(framer.flush(block) == 0);
  }
}

TEST_CASE("an incomplete block is not given out, and reset forgets it", "[unit]") {
  Framer framer(4);
  std::vector<float> block(4, 9.0F);
  framer.push(std::vector<float>{1, 2, 3});
  CHECK_FALSE(framer.pop(block));
  CHECK(block[0] == 9.0F);
  framer.reset();
  framer.push(std::vector<float>{5, 6, 7, 8});
  CHECK(framer.pop(block));
  CHECK(block == std::vector<float>{5, 6, 7, 8});
}
