// Products of a few rows with a weight matrix, fp32 or 8-bit integers: what a step of a stream, or
// of some streams together, consists of. Library matrix products first copy the weights into a
// layout of their own, which costs more than the product itself when there are only a few rows.
//
// A block of kBlockW weight rows and kBlockX rows of x is kept in registers; every dot product is
// one chain of 16 lanes, whatever the block, so that a row's result does not depend on its
// neighbours.

#include "models/nn/fused_kernels.h"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define DUET_X86 1
#include <immintrin.h>
#endif
#define DUET_INLINE inline __attribute__((always_inline))

namespace duet::models::nn::kernels {
namespace {

constexpr int64_t kRowLanes = 16;

namespace plain {

constexpr int kBlockW = 2, kBlockX = 1;

struct Lanes {
  float value[kRowLanes];
};
DUET_INLINE void load(const float* p, Lanes& out) {
  for (int64_t l = 0; l < kRowLanes; ++l) out.value[l] = p[l];
}
DUET_INLINE void load(const int8_t* p, Lanes& out) {
  for (int64_t l = 0; l < kRowLanes; ++l) out.value[l] = static_cast<float>(p[l]);
}
DUET_INLINE void add_product(const Lanes& a, const Lanes& b, Lanes& sum) {
  for (int64_t l = 0; l < kRowLanes; ++l) sum.value[l] += a.value[l] * b.value[l];
}
DUET_INLINE float total(const Lanes& lanes) {
  float sum = 0.0F;
  for (const float v : lanes.value) sum += v;
  return sum;
}

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
DUET_INLINE void load(const int8_t* p, Lanes& out) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  out = {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)),
         _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(bytes, 8)))};
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
DUET_INLINE void load(const int8_t* p, Lanes& out) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  out.value = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes));
}
DUET_INLINE void add_product(const Lanes& a, const Lanes& b, Lanes& sum) {
  sum.value = _mm512_fmadd_ps(a.value, b.value, sum.value);
}
DUET_INLINE float total(const Lanes& lanes) { return _mm512_reduce_add_ps(lanes.value); }

#include "models/nn/multiply_rows.inc"

}  // namespace avx512
#pragma GCC pop_options
#pragma GCC diagnostic pop
#endif

template <class W>
void dispatch([[maybe_unused]] Units units, const W* weight, const float* scale, const float* x,
              int64_t count, const float* bias, int64_t rows, int64_t width, float* y) {
#ifdef DUET_X86
  if (units == Units::kAvx512)
    return avx512::multiply(weight, scale, x, count, bias, rows, width, y);
  if (units == Units::kAvx2) return avx2::multiply(weight, scale, x, count, bias, rows, width, y);
#endif
  plain::multiply(weight, scale, x, count, bias, rows, width, y);
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
  dispatch(best_units(), weight, nullptr, x, count, bias, rows, width, y);
}

void multiply_rows(const int8_t* weight, const float* scale, const float* x, int64_t count,
                   const float* bias, int64_t rows, int64_t width, float* y) {
  dispatch(best_units(), weight, scale, x, count, bias, rows, width, y);
}

void multiply_rows_with(Units units, const float* weight, const float* x, int64_t count,
                        const float* bias, int64_t rows, int64_t width, float* y) {
  dispatch(units, weight, nullptr, x, count, bias, rows, width, y);
}

void multiply_rows_with(Units units, const int8_t* weight, const float* scale, const float* x,
                        int64_t count, const float* bias, int64_t rows, int64_t width, float* y) {
  dispatch(units, weight, scale, x, count, bias, rows, width, y);
}

}  // namespace duet::models::nn::kernels
