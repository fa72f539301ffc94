#include "models/nn/kv_cache.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <set>

using namespace duet::models::nn;

namespace {

at::Tensor constant(int64_t value) { return at::full({1, 1, 2}, static_cast<float>(value)); }

std::set<int> kept(const KvCache::View& view) {
  std::set<int> all;
  for (int64_t i = 0; i < view.values.size(2); ++i) all.insert(view.values[0][0][i][0].item<int>());
  return all;
}

}  // namespace

TEST_CASE("a windowed cache keeps the last positions", "[unit]") {
  const KvCache cache(1, 2, 3, 0);
  KvCache::State state = cache.initial_state(1);
  const void* storage = state.keys.data_ptr();
  std::vector<std::set<int>> seen;
  for (int64_t p = 0; p < 7; ++p)
    seen.push_back(kept(cache.append(p, constant(p), constant(p), constant(p), {}, state)));
  CHECK(seen[1] == std::set<int>{0, 1});
  CHECK(seen[2] == std::set<int>{0, 1, 2});
  CHECK(seen[3] == std::set<int>{1, 2, 3});
  CHECK(seen[6] == std::set<int>{4, 5, 6});
  CHECK(state.keys.data_ptr() == storage);
}

TEST_CASE("sinks stay and move along", "[unit]") {
  const KvCache cache(1, 2, 5, 2);
  const Rope rope(2, 10000.0);
  KvCache::State state = cache.initial_state(1);
  KvCache::View view;
  for (int64_t p = 0; p < 9; ++p) {
    CHECK(cache.sinks_move(p) == (p >= 5));
    const Rope::Angles angles = rope.angles(cache.first_sink_position(p), 2);
    view = cache.append(p, at::tensor({1.0F, 0.0F}).view({1, 1, 2}), constant(p), constant(p),
                        angles, state);
  }
  CHECK(kept(view) == std::set<int>{0, 1, 6, 7, 8});
  // The second sink sits one slot after the first: position 8 - (5 - 1) + 1 = 5, raw key (1, 0).
  CHECK(view.keys[0][0][1][0].item<double>() == Approx(std::cos(5.0)).margin(1e-6));
  CHECK(view.keys[0][0][1][1].item<double>() == Approx(std::sin(5.0)).margin(1e-6));
}

TEST_CASE("an unlimited cache loses nothing when it grows", "[unit]") {
  const KvCache cache(1, 2, 0, 0);
  KvCache::State state = cache.initial_state(1);
  KvCache::View view;
  for (int64_t p = 0; p < 1030; ++p)
    view = cache.append(p, constant(p), constant(p), constant(p), {}, state);
  CHECK(kept(view).size() == 1030);
}

TEST_CASE("rotary angles are exact at hour three", "[unit]") {
  const Rope rope(64, 10000.0);
  const int64_t position = 3 * 3600 * 25 / 2;
  const Rope::Angles angles = rope.angles(position, 1);
  for (int64_t j = 0; j < 32; ++j) {
    const long double angle =
        static_cast<long double>(position) * std::pow(10000.0L, -2.0L * j / 64.0L);
    CHECK(angles.cos[0][j].item<double>() ==
          Approx(static_cast<double>(std::cos(angle))).margin(1e-7));
    CHECK(angles.sin[0][j].item<double>() ==
          Approx(static_cast<double>(std::sin(angle))).margin(1e-7));
  }
}
