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
  /// |weight[r]| |x[n]|, what rounding is measured by.
  double size(int64_t n, int64_t r) const {
    double w = 0.0, v = 0.0;
    for (int64_t i = 0; i < width; ++i) {
      w += std::pow(static_cast<double>(bytes[static_cast<size_t>(r * width + i)]), 2.0);
      v += std::pow(static_cast<double>(x[static_cast<size_t>(n * width + i)]), 2.0);
    }
    return std::sqrt(w * v) * static_cast<double>(std::abs(scale[static_cast<size_t>(r)]));
  }
  /// x as 8-bit products take it: in 16 bits by its row's largest value.
  double rounded(int64_t n, int64_t i) const {
    float largest = 0.0F;
    for (int64_t j = 0; j < width; ++j)
      largest = std::max(largest, std::abs(x[static_cast<size_t>(n * width + j)]));
    const float value = x[static_cast<size_t>(n * width + i)] * (32767.0F / largest);
    return static_cast<double>(std::nearbyint(value)) * static_cast<double>(largest / 32767.0F);
  }
  double exact_rounded(int64_t n, int64_t r) const {
    double sum = 0.0;
    for (int64_t i = 0; i < width; ++i)
      sum += rounded(n, i) * bytes[static_cast<size_t>(r * width + i)];
    return sum * static_cast<double>(scale[static_cast<size_t>(r)]);
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
    for (int64_t width : {511, 512, 513, 1100}) out.emplace_back(3, 5, width);
    return out;
  }();
  return all;
}

}  // namespace

TEST_CASE("every unit of this machine gives the product, fp32 and int8, at every border",
          "[unit]") {
  for (const Units units : supported_units()) {
    INFO("units " << static_cast<int>(units));
    double worst = 0.0, worst_integer = 0.0, worst_rounding = 0.0;
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
              worst_integer, std::abs(static_cast<double>(integers[at]) - p.exact_rounded(n, r)));
          worst_rounding = std::max(
              worst_rounding, std::abs(static_cast<double>(integers[at]) - p.exact(n, r, true)) /
                                  (p.size(n, r) + 1e-12));
        }
    }
    CHECK(worst < 2e-5);
    CHECK(worst_integer < 2e-3);  // values up to 127
    CHECK(worst_rounding < 2e-5);
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

TEST_CASE("8-bit products: the largest sums are exact, zeros are zero, what is not finite stays so",
          "[unit]") {
  constexpr int64_t kWidth = 1408, kRows = 5;
  const std::vector<int8_t> weight(kRows * kWidth, 127);
  const std::vector<float> scale(kRows, 0.5F);
  const auto multiply = [&](Units units, const std::vector<float>& x) {
    std::vector<float> y(kRows * x.size() / kWidth);
    multiply_rows_with(units, weight.data(), scale.data(), x.data(),
                       static_cast<int64_t>(x.size()) / kWidth, nullptr, kRows, kWidth, y.data());
    return y;
  };
  for (const Units units : supported_units()) {
    INFO("units " << static_cast<int>(units));
    for (const float value : {3.0F, -3.0F, 1e30F, 1e-20F})
      for (const float y : multiply(units, std::vector<float>(kWidth, value)))
        CHECK(y == Approx(static_cast<double>(value) * 127.0 * 0.5 * kWidth).epsilon(1e-6));
    for (const float tiny : {0.0F, 1e-38F})
      for (const float y : multiply(units, std::vector<float>(kWidth, tiny)))
        CHECK(std::abs(y) < 1e-30F);
    for (const float bad : {NAN, INFINITY, -INFINITY}) {
      std::vector<float> x(3 * kWidth, 1.0F);
      x[kWidth + 700] = bad;  // of the second of three conversations
      const auto y = multiply(units, x);
      for (size_t i = 0; i < y.size(); ++i)
        CHECK(std::isfinite(y[i]) == (i < kRows || i >= 2 * kRows));
    }
  }
}

TEST_CASE("attention of a few queries is that of the definition, each as if alone, on every unit",
          "[unit]") {
  std::mt19937 random(5);
  std::normal_distribution<float> value(0.0F, 2.0F);
  for (const int64_t d : {1, 15, 16, 64, 70, 130})
    for (const int64_t num_keys : {1, 2, 15, 16, 33, 192})
      for (const int64_t num : {1, 2, 4, 5}) {
        std::vector<float> q, k, v;
        const auto draw = [&](std::vector<float>& out, int64_t rows) {
          for (int64_t i = 0; i < rows * d; ++i) out.push_back(value(random));
        };
        draw(q, num), draw(k, num_keys), draw(v, num_keys);
        std::vector<double> exact(q.size(), 0.0);
        for (int64_t n = 0; n < num; ++n) {
          std::vector<double> weights;
          double sum = 0.0;
          for (int64_t t = 0; t < num_keys; ++t) {
            double dot = 0.0;
            for (int64_t i = 0; i < d; ++i)
              dot += double{q[static_cast<size_t>(n * d + i)]} *
                     double{k[static_cast<size_t>(t * d + i)]};
            weights.push_back(std::exp(dot / std::sqrt(static_cast<double>(d))));
            sum += weights.back();
          }
          for (int64_t t = 0; t < num_keys; ++t)
            for (int64_t i = 0; i < d; ++i)
              exact[static_cast<size_t>(n * d + i)] +=
                  weights[static_cast<size_t>(t)] / sum * double{v[static_cast<size_t>(t * d + i)]};
        }
        for (const Units units : supported_units()) {
          INFO("units " << static_cast<int>(units) << ", " << d << ' ' << num_keys << ' ' << num);
          std::vector<float> y(q.size(), NAN), one(static_cast<size_t>(d));
          attend_rows_with(units, q.data(), num, k.data(), v.data(), num_keys, d, y.data());
          double worst = 0.0;
          bool is_same = true;
          for (size_t i = 0; i < y.size(); ++i)
            worst = std::max(worst, std::isfinite(y[i]) ? std::abs(double{y[i]} - exact[i]) : 1e9);
          for (int64_t n = 0; n < num; ++n) {
            attend_rows_with(units, q.data() + n * d, 1, k.data(), v.data(), num_keys, d,
                             one.data());
            is_same = is_same && std::equal(one.begin(), one.end(), y.begin() + n * d);
          }
          CHECK(worst < 2e-5);
          CHECK(is_same);
        }
      }
}

TEST_CASE("plain units are always there, and first", "[unit]") {
  REQUIRE_FALSE(supported_units().empty());
  CHECK(supported_units().front() == Units::kPlain);
}
