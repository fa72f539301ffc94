#include "runtime/core/spsc_ring.h"

#include <catch2/catch.hpp>
#include <memory>
#include <numeric>
#include <random>
#include <thread>

#include "runtime/core/triple_buffer.h"

using duet::core::SpscRing;
using duet::core::TripleBuffer;

TEST_CASE("a ring holds exactly its capacity, in order, over many turns", "[unit]") {
  for (const std::size_t capacity : {1U, 3U, 8U}) {
    SpscRing<int> ring(capacity);
    int next_in = 0, next_out = 0;
    for (int turn = 0; turn < 20; ++turn) {
      while (ring.push(next_in)) ++next_in;
      CHECK(ring.size() == capacity);
      CHECK(next_in - next_out == static_cast<int>(capacity));
      int value = -1;
      for (std::size_t i = 0; i <= capacity / 2; ++i) {
        REQUIRE(ring.pop(value));
        CHECK(value == next_out++);
      }
    }
  }
}

TEST_CASE("spans go in whole or as far as they fit", "[unit]") {
  SpscRing<float> ring(5);
  const std::vector<float> three{1, 2, 3};
  CHECK(ring.push_all(three));
  CHECK_FALSE(ring.push_all(three));
  CHECK(ring.size() == 3);
  CHECK(ring.push_some(three) == 2);
  std::vector<float> got(9);
  CHECK(ring.discard(1) == 1);
  CHECK(ring.pop_some(got) == 4);
  CHECK(std::vector<float>(got.begin(), got.begin() + 4) == std::vector<float>{2, 3, 1, 2});
  CHECK(ring.discard(7) == 0);
}

TEST_CASE("a full ring leaves what could not be pushed with its owner", "[unit]") {
  SpscRing<std::unique_ptr<int>> ring(1);
  CHECK(ring.push(std::make_unique<int>(1)));
  auto second = std::make_unique<int>(2);
  CHECK_FALSE(ring.push(std::move(second)));
  CHECK(second != nullptr);
  std::unique_ptr<int> got;
  CHECK(ring.pop(got));
  CHECK(*got == 1);
}

TEST_CASE("two threads: nothing is lost, doubled or out of order", "[property]") {
  constexpr int kTotal = 60000;
  for (const unsigned seed : {1U, 2U, 3U}) {
    INFO("seed " << seed);
    SpscRing<int> ring(97);
    std::thread producer([&] {
      std::mt19937 random(seed);
      std::vector<int> piece;
      for (int next = 0; next < kTotal;) {
        piece.resize(std::min<std::size_t>(1 + random() % 60, std::size_t(kTotal - next)));
        std::iota(piece.begin(), piece.end(), next);
        if (random() % 2 == 0) {
          next += static_cast<int>(ring.push_some(piece));
        } else if (ring.push_all(piece)) {
          next += static_cast<int>(piece.size());
        }
        if (random() % 8 == 0) std::this_thread::yield();
      }
    });
    std::mt19937 random(seed + 100);
    std::vector<int> piece(80);
    int wanted = 0;
    int num_wrong = 0;
    while (wanted < kTotal) {
      const std::size_t count = ring.pop_some(std::span(piece).first(1 + random() % 80));
      for (std::size_t i = 0; i < count; ++i) num_wrong += piece[i] != wanted++;
      if (count == 0) std::this_thread::yield();
    }
    producer.join();
    CHECK(num_wrong == 0);
    CHECK(ring.size() == 0);
  }
}

TEST_CASE("a side may change its thread when it is released", "[unit]") {
  SpscRing<int> ring(4);
  ring.push(1);
  ring.release_producer();
  std::thread other([&] { ring.push(2); });
  other.join();
  int value = 0;
  CHECK(ring.pop(value));
  CHECK(ring.pop(value));
  CHECK(value == 2);
}

namespace {
struct Pair {
  std::uint64_t a = 0, b = 0, c = 0;
};
}  // namespace

TEST_CASE("a triple buffer gives whole values, never older ones, and the last", "[property]") {
  TripleBuffer<Pair> buffer;
  constexpr std::uint64_t kTotal = 100000;
  CHECK(buffer.read().a == 0);
  std::thread writer([&] {
    for (std::uint64_t i = 1; i <= kTotal; ++i) buffer.write({i, 3 * i, ~i});
  });
  std::uint64_t last = 0;
  int num_torn = 0, num_older = 0;
  while (last < kTotal) {
    const Pair got = buffer.read();
    num_torn += got.a != 0 && (got.b != 3 * got.a || got.c != ~got.a);
    num_older += got.a < last;
    last = got.a;
    std::this_thread::yield();
  }
  writer.join();
  CHECK(num_torn == 0);
  CHECK(num_older == 0);
  CHECK(buffer.read().a == kTotal);
}
