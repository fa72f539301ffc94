#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <random>
#include <vector>

#include "models/nn/fused_kernels.h"

using namespace duet::models::nn::kernels;

namespace {

struct Problem {
  int64_t count, rows, width;
  std::vector<float> weight, x, bias, scale;
  std::vector<int8_t> bytes;

  Problem(int64_t count_, int64_t rows_, int64_t width_)
      : count(count_), rows(rows_), width(width_) {
    std::mt19937 random(static_cast<unsigned>(7 + count + 31 * rows + 1009 * width));
    std::uniform_real_distribution<float> value(-1.0F, 1.0F);
    std::uniform_int_distribution<int> byte(-127, 127);
    const auto fill = [&](std::vector<float>& out, int64_t size) {
      for (int64_t i = 0; i < size; ++i) out.push_back(value(random));
    };
    fill(weight, rows * width);
    fill(x, count * width);
    fill(bias, rows);
    fill(scale, rows);
    for (int64_t i = 0; i < rows * width; ++i) bytes.push_back(static_cast<int8_t>(byte(random)));
  }

  std::vector<float> floats(Units units, const float* rows_of_x, int64_t num) const {
    std::vector<float> y(static_cast<size_t>(num * rows), NAN);
    multiply_rows_with(units, weight.data(), rows_of_x, num, bias.data(), rows, width, y.data());
    return y;
  }
  std::vector<float> integers(Units units, const float* rows_of_x, int64_t num) const {
    std::vector<float> y(static_cast<size_t>(num * rows), NAN);
    multiply_rows_with(units, bytes.data(), scale.data(), rows_of_x, num, nullptr, rows, width,
                       y.data());
    return y;
  }
  double exact(int64_t n, int64_t r, bool is_integer) const {
    double sum = 0.0;
    for (int64_t i = 0; i < width; ++i)
      sum += static_cast<double>(x[static_cast<size_t>(n * width + i)]) *
             (is_integer ? bytes[static_cast<size_t>(r * width + i)]
                         : static_cast<double>(weight[static_cast<size_t>(r * width + i)]));
    return is_integer ? sum * static_cast<double>(scale[static_cast<size_t>(r)])
                      : sum + static_cast<double>(bias[static_cast<size_t>(r)]);
  }
};

// Around every block and lane border of every kind of units.
const std::vector<Problem>& problems() {
  static const std::vector<Problem> all = [] {
    std::vector<Problem> out;
    for (int64_t count : {1, 2, 3, 4, 5, 9})
      for (int64_t rows : {1, 2, 3, 4, 5, 7, 33})
        for (int64_t width : {1, 15, 16, 17, 31, 64, 100}) out.emplace_back(count, rows, width);
    return out;
  }();
  return all;
}

}  // namespace

TEST_CASE("every unit of this machine gives the product, fp32 and int8, at every border",
          "[unit]") {
  for (const Units units : supported_units()) {
    INFO("units " << static_cast<int>(units));
    double worst = 0.0, worst_integer = 0.0;
    for (const Problem& p : problems()) {
      const auto floats = p.floats(units, p.x.data(), p.count);
      const auto integers = p.integers(units, p.x.data(), p.count);
      for (int64_t n = 0; n < p.count; ++n)
        for (int64_t r = 0; r < p.rows; ++r) {
          const auto at = static_cast<size_t>(n * p.rows + r);
          REQUIRE(std::isfinite(floats[at]));
          REQUIRE(std::isfinite(integers[at]));
          worst = std::max(worst, std::abs(static_cast<double>(floats[at]) - p.exact(n, r, false)));
          worst_integer = std::max(
              worst_integer, std::abs(static_cast<double>(integers[at]) - p.exact(n, r, true)));
        }
    }
    CHECK(worst < 2e-5);
    CHECK(worst_integer < 2e-3);  // values up to 127
  }
}

TEST_CASE("a row's product does not depend on the rows beside it, to the bit, on every unit",
          "[unit]") {
  for (const Units units : supported_units()) {
    INFO("units " << static_cast<int>(units));
    bool is_same = true;
    for (const Problem& p : problems()) {
      const auto floats = p.floats(units, p.x.data(), p.count);
      const auto integers = p.integers(units, p.x.data(), p.count);
      for (int64_t n = 0; n < p.count; ++n) {
        const auto one = p.floats(units, p.x.data() + n * p.width, 1);
        const auto one_integer = p.integers(units, p.x.data() + n * p.width, 1);
        is_same = is_same && std::equal(one.begin(), one.end(), floats.begin() + n * p.rows) &&
                  std::equal(one_integer.begin(), one_integer.end(), integers.begin() + n * p.rows);
      }
    }
    CHECK(is_same);
  }
}

TEST_CASE("plain units are always there, and first", "[unit]") {
  REQUIRE_FALSE(supported_units().empty());
  CHECK(supported_units().front() == Units::kPlain);
}
