// Products of a few rows with a weight matrix, fp32 or 8-bit integers: what a step of a stream, or
// of some streams together, consists of. Library matrix products first copy the weights into a
// layout of their own, which costs more than the product itself when there are only a few rows.
//
// fp32: a block of kBlockW weight rows and kBlockX rows of x is kept in registers; every dot
// product is one chain of 16 lanes, whatever the block, so that a row's result does not depend on
// its neighbours.
//
// 8 bits: the rows of x are rounded to 16 bits, each with a scale of its own (its largest value
// over 32767; that of a row of weights is over 127), and the products added as integers, exactly.
// Twice as many fit a register, and the weights need one conversion in place of five.

#include <bit>
#include <cmath>
#include <limits>

#include "models/nn/fused_kernels.h"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define DUET_X86 1
#include <immintrin.h>
#endif
#define DUET_INLINE inline __attribute__((always_inline))

namespace duet::models::nn::kernels {
namespace {

constexpr int64_t kRowLanes = 16;
constexpr int kIntRows = 4;
/// So many products of at most 127 * 32767 fit 31 bits.
constexpr int64_t kExactColumns = 512;
constexpr int64_t kPrefetchAhead = 2048;  // bytes beyond the next kIntRows rows

/// Rows of `width` integers with a scale each.
template <class T>
struct Integers {
  const T* values;
  const float* scales;
  int64_t width;
};

/// Rounds a row to 16 bits; its scale. A row that is not finite gets a scale that is not.
float round_row(const float* x, int64_t width, int16_t* out) {
  constexpr uint32_t kInfinite = 0x7f800000;
  constexpr float kRound = 12582912.0F;  // 1.5 * 2^23: the sum's low bits are the integer
  uint32_t largest_bits = 0;             // of |x|, where NaN is above infinity
  for (int64_t i = 0; i < width; ++i) {
    const uint32_t bits = std::bit_cast<uint32_t>(x[i]) & 0x7fffffffU;
    largest_bits = bits > largest_bits ? bits : largest_bits;
  }
  const float largest = std::bit_cast<float>(largest_bits);
  const bool is_usual = largest_bits < kInfinite && largest > 1e-30F;
  const float inverse = is_usual ? 32767.0F / largest : 0.0F;
  for (int64_t i = 0; i < width; ++i) {
    const float value = is_usual ? x[i] * inverse : 0.0F;
    out[i] = static_cast<int16_t>(std::bit_cast<int32_t>(value + kRound) -
                                  std::bit_cast<int32_t>(kRound));
  }
  if (largest_bits >= kInfinite) return std::numeric_limits<float>::quiet_NaN();
  return is_usual ? largest / 32767.0F : 0.0F;
}

namespace plain {

constexpr int kBlockW = 2, kBlockX = 1;

struct Lanes {
  float value[kRowLanes];
};
DUET_INLINE void load(const float* p, Lanes& out) {
  for (int64_t l = 0; l < kRowLanes; ++l) out.value[l] = p[l];
}
DUET_INLINE void fill(float x, Lanes& out) {
  for (float& v : out.value) v = x;
}
DUET_INLINE void store(const Lanes& lanes, float* p) {
  for (int64_t l = 0; l < kRowLanes; ++l) p[l] = lanes.value[l];
}
DUET_INLINE void add_product(const Lanes& a, const Lanes& b, Lanes& sum) {
  for (int64_t l = 0; l < kRowLanes; ++l) sum.value[l] += a.value[l] * b.value[l];
}
DUET_INLINE float total(const Lanes& lanes) {
  float sum = 0.0F;
  for (const float v : lanes.value) sum += v;
  return sum;
}

constexpr int64_t kShorts = 16;
constexpr int kIntBlockX = 1;

struct Shorts {
  int16_t value[kShorts];
};
struct Ints {
  int32_t value[kShorts];
};
DUET_INLINE void load(const int8_t* p, Shorts& out) {
  for (int64_t l = 0; l < kShorts; ++l) out.value[l] = p[l];
}
DUET_INLINE void load(const int16_t* p, Shorts& out) {
  for (int64_t l = 0; l < kShorts; ++l) out.value[l] = p[l];
}
DUET_INLINE void add_product(const Shorts& a, const Shorts& b, Ints& sum) {
  for (int64_t l = 0; l < kShorts; ++l) sum.value[l] += int32_t{a.value[l]} * int32_t{b.value[l]};
}
DUET_INLINE void totals(const Ints (&sums)[kIntRows], int32_t* out) {
  for (int r = 0; r < kIntRows; ++r) {
    out[r] = 0;
    for (const int32_t v : sums[r].value) out[r] += v;
  }
}

#include "models/nn/multiply_ints.inc"
#include "models/nn/multiply_rows.inc"

}  // namespace plain

#ifdef DUET_X86
// GCC 12's own header gives undefined values to masked forms that ignore them (GCC bug 105593).
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC push_options
#pragma GCC target("avx2,fma")
namespace avx2 {

constexpr int kBlockW = 2, kBlockX = 2;  // 8 of 16 registers are sums

struct Lanes {
  __m256 low, high;
};
DUET_INLINE void load(const float* p, Lanes& out) {
  out = {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
}
DUET_INLINE void fill(float x, Lanes& out) { out = {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
DUET_INLINE void store(const Lanes& lanes, float* p) {
  _mm256_storeu_ps(p, lanes.low);
  _mm256_storeu_ps(p + 8, lanes.high);
}
DUET_INLINE void add_product(const Lanes& a, const Lanes& b, Lanes& sum) {
  sum = {_mm256_fmadd_ps(a.low, b.low, sum.low), _mm256_fmadd_ps(a.high, b.high, sum.high)};
}
DUET_INLINE float total(const Lanes& lanes) {
  float value[8];
  _mm256_storeu_ps(value, _mm256_add_ps(lanes.low, lanes.high));
  return ((value[0] + value[4]) + (value[1] + value[5])) +
         ((value[2] + value[6]) + (value[3] + value[7]));
}

constexpr int64_t kShorts = 16;
constexpr int kIntBlockX = 2;  // 8 of 16 registers are sums

struct Shorts {
  __m256i value;
};
struct Ints {
  __m256i value;
};
DUET_INLINE void load(const int8_t* p, Shorts& out) {
  out.value = _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
DUET_INLINE void load(const int16_t* p, Shorts& out) {
  out.value = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}
DUET_INLINE void add_product(const Shorts& a, const Shorts& b, Ints& sum) {
  sum.value = _mm256_add_epi32(sum.value, _mm256_madd_epi16(a.value, b.value));
}
DUET_INLINE void add_lanes(__m256i a, __m256i b, __m256i c, __m256i d, int32_t* out) {
  const __m256i halves = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
  _mm_storeu_si128(
      reinterpret_cast<__m128i*>(out),
      _mm_add_epi32(_mm256_castsi256_si128(halves), _mm256_extracti128_si256(halves, 1)));
}
DUET_INLINE void totals(const Ints (&sums)[kIntRows], int32_t* out) {
  add_lanes(sums[0].value, sums[1].value, sums[2].value, sums[3].value, out);
}

#include "models/nn/multiply_ints.inc"
#include "models/nn/multiply_rows.inc"

}  // namespace avx2
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")
namespace avx512 {

constexpr int kBlockW = 4, kBlockX = 4;  // 16 of 32 registers are sums

struct Lanes {
  __m512 value;
};
DUET_INLINE void load(const float* p, Lanes& out) { out.value = _mm512_loadu_ps(p); }
DUET_INLINE void fill(float x, Lanes& out) { out.value = _mm512_set1_ps(x); }
DUET_INLINE void store(const Lanes& lanes, float* p) { _mm512_storeu_ps(p, lanes.value); }
DUET_INLINE void add_product(const Lanes& a, const Lanes& b, Lanes& sum) {
  sum.value = _mm512_fmadd_ps(a.value, b.value, sum.value);
}
DUET_INLINE float total(const Lanes& lanes) { return _mm512_reduce_add_ps(lanes.value); }

constexpr int64_t kShorts = 32;
constexpr int kIntBlockX = 4;  // 16 of 32 registers are sums

struct Shorts {
  __m512i value;
};
struct Ints {
  __m512i value;
};
DUET_INLINE void load(const int8_t* p, Shorts& out) {
  out.value = _mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
DUET_INLINE void load(const int16_t* p, Shorts& out) { out.value = _mm512_loadu_si512(p); }
DUET_INLINE void add_product(const Shorts& a, const Shorts& b, Ints& sum) {
  sum.value = _mm512_add_epi32(sum.value, _mm512_madd_epi16(a.value, b.value));
}
DUET_INLINE __m256i halved(const Ints& sum) {
  return _mm256_add_epi32(_mm512_castsi512_si256(sum.value),
                          _mm512_extracti64x4_epi64(sum.value, 1));
}
DUET_INLINE void totals(const Ints (&sums)[kIntRows], int32_t* out) {
  avx2::add_lanes(halved(sums[0]), halved(sums[1]), halved(sums[2]), halved(sums[3]), out);
}

#include "models/nn/multiply_ints.inc"
#include "models/nn/multiply_rows.inc"

}  // namespace avx512
#pragma GCC pop_options
#pragma GCC diagnostic pop
#endif

void multiply([[maybe_unused]] Units units, const float* weight, const float* x, int64_t count,
              const float* bias, int64_t rows, int64_t width, float* y) {
#ifdef DUET_X86
  if (units == Units::kAvx512) return avx512::multiply(weight, x, count, bias, rows, width, y);
  if (units == Units::kAvx2) return avx2::multiply(weight, x, count, bias, rows, width, y);
#endif
  plain::multiply(weight, x, count, bias, rows, width, y);
}

void multiply([[maybe_unused]] Units units, const int8_t* weight, const float* scale,
              const float* x, int64_t count, const float* bias, int64_t rows, int64_t width,
              float* y) {
  constexpr int64_t kTile = 128;  // rows of x that stay near while the weights pass by
  thread_local std::vector<int16_t> shorts;
  thread_local std::vector<float> scales;
  const int64_t most = count < kTile ? count : kTile;
  shorts.resize(static_cast<size_t>(most * width));
  scales.resize(static_cast<size_t>(most));
  const Integers<int8_t> w = {weight, scale, width};
  const Integers<int16_t> v = {shorts.data(), scales.data(), width};
  for (; count > 0; count -= kTile, x += kTile * width, y += kTile * rows) {
    const int64_t num = count < kTile ? count : kTile;
    for (int64_t n = 0; n < num; ++n)
      scales[static_cast<size_t>(n)] = round_row(x + n * width, width, shorts.data() + n * width);
#ifdef DUET_X86
    if (units == Units::kAvx512)
      avx512::multiply_integers(w, v, num, bias, rows, y);
    else if (units == Units::kAvx2)
      avx2::multiply_integers(w, v, num, bias, rows, y);
    else
#endif
      plain::multiply_integers(w, v, num, bias, rows, y);
  }
}

void add_rows([[maybe_unused]] Units units, const float* p, const float* rows, int64_t count,
              int64_t width, float* y) {
#ifdef DUET_X86
  if (units == Units::kAvx512) return avx512::add_rows(p, rows, count, width, y);
  if (units == Units::kAvx2) return avx2::add_rows(p, rows, count, width, y);
#endif
  plain::add_rows(p, rows, count, width, y);
}

Units best_units() {
  static const Units best = supported_units().back();
  return best;
}

}  // namespace

std::vector<Units> supported_units() {
  std::vector<Units> out = {Units::kPlain};
#ifdef DUET_X86
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    out.push_back(Units::kAvx2);
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
      out.push_back(Units::kAvx512);
  }
#endif
  return out;
}

void multiply_rows(const float* weight, const float* x, int64_t count, const float* bias,
                   int64_t rows, int64_t width, float* y) {
  multiply(best_units(), weight, x, count, bias, rows, width, y);
}

void multiply_rows(const int8_t* weight, const float* scale, const float* x, int64_t count,
                   const float* bias, int64_t rows, int64_t width, float* y) {
  multiply(best_units(), weight, scale, x, count, bias, rows, width, y);
}

void multiply_rows_with(Units units, const float* weight, const float* x, int64_t count,
                        const float* bias, int64_t rows, int64_t width, float* y) {
  multiply(units, weight, x, count, bias, rows, width, y);
}

void multiply_rows_with(Units units, const int8_t* weight, const float* scale, const float* x,
                        int64_t count, const float* bias, int64_t rows, int64_t width, float* y) {
  multiply(units, weight, scale, x, count, bias, rows, width, y);
}

void attend_rows(const float* q, int64_t num_queries, const float* k, const float* v,
                 int64_t num_keys, int64_t d, float* y) {
  attend_rows_with(best_units(), q, num_queries, k, v, num_keys, d, y);
}

void attend_rows_with(Units units, const float* q, int64_t num_queries, const float* k,
                      const float* v, int64_t num_keys, int64_t d, float* y) {
  thread_local std::vector<float> scores;
  scores.resize(static_cast<size_t>(num_queries * num_keys));
  multiply(units, k, q, num_queries, nullptr, num_keys, d, scores.data());
  const float scale = 1.0F / std::sqrt(static_cast<float>(d));
  for (int64_t n = 0; n < num_queries; ++n) {
    float* weights = scores.data() + n * num_keys;
    softmax_row(weights, num_keys, scale);
    add_rows(units, weights, v, num_keys, d, y + n * d);
  }
}

}  // namespace duet::models::nn::kernels
