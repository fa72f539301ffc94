#include "models/nn/fused_kernels.h"

#include <bit>
#include <cmath>

// Run-time choice of the instruction set; the loops below are written so that compilers vectorise
// them.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define DUET_CLONES __attribute__((target_clones("arch=skylake-avx512", "arch=haswell", "default")))
#else
#define DUET_CLONES
#endif
#define DUET_INLINE inline __attribute__((always_inline))

namespace duet::models::nn::kernels {
namespace {

DUET_INLINE float load(const float* p, int64_t i) { return p[i]; }
DUET_INLINE float load(const uint16_t* p, int64_t i) {
  return std::bit_cast<float>(static_cast<uint32_t>(p[i]) << 16);
}
DUET_INLINE void store(float* p, int64_t i, float value) { p[i] = value; }
DUET_INLINE void store(uint16_t* p, int64_t i, float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t rounded =
      (bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16;  // to nearest, ties to even
  p[i] = static_cast<uint16_t>((bits & 0x7FFFFFFFU) > 0x7F800000U ? 0x7FC0U : rounded);
}

/// e^x for x <= 0 or moderate, relative error below 2e-7: x = n ln 2 + r, Taylor to r^6.
DUET_INLINE float exponential(float x) {
  x = x < -87.0F ? -87.0F : (x > 88.0F ? 88.0F : x);
  constexpr float kRound =
      12582912.0F;  // 1.5 * 2^23: adding and taking it away rounds to an integer
  const float n = (x * 1.44269504F + kRound) - kRound;
  const float r = (x - n * 0.693359375F) + n * 2.12194440e-4F;
  float p = 1.0F / 720.0F;
  p = p * r + 1.0F / 120.0F;
  p = p * r + 1.0F / 24.0F;
  p = p * r + 1.0F / 6.0F;
  p = p * r + 0.5F;
  p = p * r + 1.0F;
  p = p * r + 1.0F;
  return p * std::bit_cast<float>((static_cast<int32_t>(n) + 127) << 23);
}
DUET_INLINE float sigmoid(float x) { return 1.0F / (1.0F + exponential(-x)); }

constexpr int64_t kLanes = 16;

DUET_INLINE float total(const float* lanes) {
  float sum = 0.0F;
  for (int64_t l = 0; l < kLanes; ++l) sum += lanes[l];
  return sum;
}

template <class X, class D, class Y>
DUET_INLINE void norm_rows(const X* x, const D* delta, const float* weight, float epsilon,
                           int64_t count, int64_t width, X* sum, Y* y, float* r) {
  const int64_t whole = width - width % kLanes;
  for (int64_t n = 0; n < count; ++n, x += width, y += width) {
    const X* s = x;
    if (delta != nullptr) {
      for (int64_t i = 0; i < width; ++i) store(sum, i, load(x, i) + load(delta, i));
      s = sum;
    }
    float lanes[kLanes] = {};
    for (int64_t i = 0; i < whole; i += kLanes)
      for (int64_t l = 0; l < kLanes; ++l) lanes[l] += load(s, i + l) * load(s, i + l);
    for (int64_t i = whole; i < width; ++i) lanes[0] += load(s, i) * load(s, i);
    const float scale = 1.0F / std::sqrt(total(lanes) / static_cast<float>(width) + epsilon);
    for (int64_t i = 0; i < width; ++i) store(y, i, load(s, i) * scale * weight[i]);
    r[n] = scale;
    if (delta != nullptr) {
      delta += width;
      sum += width;
    }
  }
}

// y_i = s_i r w_i, r = (mean(s^2) + eps)^(-1/2):  ds_j = r w_j dy_j - s_j r^3 / D sum_i(dy_i w_i
// s_i).
template <class X, class Y>
DUET_INLINE void norm_rows_backward(const X* s, const float* weight, const float* r, const Y* dy,
                                    const X* dsum, int64_t count, int64_t width, X* dx,
                                    float* dweight) {
  const int64_t whole = width - width % kLanes;
  for (int64_t n = 0; n < count; ++n, s += width, dy += width, dx += width) {
    float lanes[kLanes] = {};
    for (int64_t i = 0; i < whole; i += kLanes)
      for (int64_t l = 0; l < kLanes; ++l)
        lanes[l] += load(dy, i + l) * weight[i + l] * load(s, i + l);
    for (int64_t i = whole; i < width; ++i) lanes[0] += load(dy, i) * weight[i] * load(s, i);
    const float scale = r[n],
                back = total(lanes) * scale * scale * scale / static_cast<float>(width);
    if (dsum != nullptr) {
      for (int64_t i = 0; i < width; ++i)
        store(dx, i, load(dsum, i) + scale * weight[i] * load(dy, i) - load(s, i) * back);
      dsum += width;
    } else {
      for (int64_t i = 0; i < width; ++i)
        store(dx, i, scale * weight[i] * load(dy, i) - load(s, i) * back);
    }
    for (int64_t i = 0; i < width; ++i) dweight[i] += load(dy, i) * load(s, i) * scale;
  }
}

template <class T>
DUET_INLINE void swiglu_rows(const T* gate, const T* up, int64_t count, T* y) {
  for (int64_t i = 0; i < count; ++i) {
    const float g = load(gate, i);
    store(y, i, g * sigmoid(g) * load(up, i));
  }
}

template <class T>
DUET_INLINE void swiglu_rows_backward(const T* gate, const T* up, const T* dy, int64_t count,
                                      T* dgate, T* dup) {
  for (int64_t i = 0; i < count; ++i) {
    const float g = load(gate, i), d = load(dy, i), s = sigmoid(g);
    store(dup, i, d * g * s);
    store(dgate, i, d * load(up, i) * s * (1.0F + g * (1.0F - s)));
  }
}

DUET_INLINE void softmax_values(float* x, int64_t count, float scale) {
  const int64_t whole = count - count % kLanes;
  float most[kLanes], sums[kLanes] = {};
  for (int64_t l = 0; l < kLanes; ++l) most[l] = x[0];
  for (int64_t i = 0; i < whole; i += kLanes)
    for (int64_t l = 0; l < kLanes; ++l) most[l] = x[i + l] > most[l] ? x[i + l] : most[l];
  float largest = most[0];
  for (const float v : most) largest = v > largest ? v : largest;
  for (int64_t i = whole; i < count; ++i) largest = x[i] > largest ? x[i] : largest;
  for (int64_t i = 0; i < count; ++i) x[i] = exponential(scale * (x[i] - largest));
  for (int64_t i = 0; i < whole; i += kLanes)
    for (int64_t l = 0; l < kLanes; ++l) sums[l] += x[i + l];
  float sum = total(sums);
  for (int64_t i = whole; i < count; ++i) sum += x[i];
  const float share = 1.0F / sum;
  for (int64_t i = 0; i < count; ++i) x[i] *= share;
}

template <class T>
DUET_INLINE void rotate(const T* x, const float* cos, const float* sin, int64_t d, T* y) {
  const int64_t half = d / 2;
  for (int64_t i = 0; i < half; ++i) {
    const float a = load(x, i), b = load(x, half + i);
    store(y, i, a * cos[i] - b * sin[i]);
    store(y, half + i, b * cos[i] + a * sin[i]);
  }
}

template <class T>
DUET_INLINE void unrotate_add(const T* x, const float* cos, const float* sin, int64_t d, float* y) {
  const int64_t half = d / 2;
  if (cos == nullptr) {
    for (int64_t i = 0; i < d; ++i) y[i] += load(x, i);
    return;
  }
  for (int64_t i = 0; i < half; ++i) {
    const float a = load(x, i), b = load(x, half + i);
    y[i] += a * cos[i] + b * sin[i];
    y[half + i] += b * cos[i] - a * sin[i];
  }
}

const float* f32(Rows rows) { return static_cast<const float*>(rows.data); }
const uint16_t* b16(Rows rows) { return static_cast<const uint16_t*>(rows.data); }
float* f32_out(Rows rows) { return static_cast<float*>(rows.data); }
uint16_t* b16_out(Rows rows) { return static_cast<uint16_t*>(rows.data); }

// One function a dtype combination, so that each is cloned for each instruction set.
using Half = uint16_t;
#define DUET_NORM(name, X, D, Y)                                                        \
  DUET_CLONES void name(const X* x, const D* delta, const float* weight, float epsilon, \
                        int64_t count, int64_t width, X* sum, Y* y, float* r) {         \
    norm_rows(x, delta, weight, epsilon, count, width, sum, y, r);                      \
  }
DUET_NORM(norm_fff, float, float, float)
DUET_NORM(norm_ffh, float, float, Half)
DUET_NORM(norm_fhf, float, Half, float)
DUET_NORM(norm_fhh, float, Half, Half)
#undef DUET_NORM
#define DUET_NORM_BACKWARD(name, X, Y)                                                        \
  DUET_CLONES void name(const X* s, const float* weight, const float* r, const Y* dy,         \
                        const X* dsum, int64_t count, int64_t width, X* dx, float* dweight) { \
    norm_rows_backward(s, weight, r, dy, dsum, count, width, dx, dweight);                    \
  }
DUET_NORM_BACKWARD(norm_backward_ff, float, float)
DUET_NORM_BACKWARD(norm_backward_fh, float, Half)
#undef DUET_NORM_BACKWARD
#define DUET_BY_TYPE(suffix, T)                                                                 \
  DUET_CLONES void swiglu_##suffix(const T* gate, const T* up, int64_t count, T* y) {           \
    swiglu_rows(gate, up, count, y);                                                            \
  }                                                                                             \
  DUET_CLONES void swiglu_backward_##suffix(const T* gate, const T* up, const T* dy,            \
                                            int64_t count, T* dgate, T* dup) {                  \
    swiglu_rows_backward(gate, up, dy, count, dgate, dup);                                      \
  }                                                                                             \
  DUET_CLONES void rotate_##suffix(const T* x, const float* cos, const float* sin, int64_t d,   \
                                   T* y) {                                                      \
    rotate(x, cos, sin, d, y);                                                                  \
  }                                                                                             \
  DUET_CLONES void unrotate_##suffix(const T* x, const float* cos, const float* sin, int64_t d, \
                                     float* y) {                                                \
    unrotate_add(x, cos, sin, d, y);                                                            \
  }
DUET_BY_TYPE(f, float)
DUET_BY_TYPE(h, Half)
#undef DUET_BY_TYPE
DUET_CLONES void softmax_f(float* x, int64_t count, float scale) {
  softmax_values(x, count, scale);
}
DUET_CLONES void store_h(const float* x, int64_t d, Half* y) {
  for (int64_t i = 0; i < d; ++i) store(y, i, x[i]);
}

}  // namespace

void add_rms_norm(Rows x, Rows delta, const float* weight, double epsilon, int64_t count,
                  int64_t width, Rows sum, Rows y, float* r) {
  const auto eps = static_cast<float>(epsilon);
  if (delta.is_bf16 && y.is_bf16)
    norm_fhh(f32(x), b16(delta), weight, eps, count, width, f32_out(sum), b16_out(y), r);
  else if (delta.is_bf16)
    norm_fhf(f32(x), b16(delta), weight, eps, count, width, f32_out(sum), f32_out(y), r);
  else if (y.is_bf16)
    norm_ffh(f32(x), f32(delta), weight, eps, count, width, f32_out(sum), b16_out(y), r);
  else
    norm_fff(f32(x), f32(delta), weight, eps, count, width, f32_out(sum), f32_out(y), r);
}

void add_rms_norm_backward(Rows s, const float* weight, const float* r, Rows dy, Rows dsum,
                           int64_t count, int64_t width, Rows dx, float* dweight) {
  if (dy.is_bf16)
    norm_backward_fh(f32(s), weight, r, b16(dy), f32(dsum), count, width, f32_out(dx), dweight);
  else
    norm_backward_ff(f32(s), weight, r, f32(dy), f32(dsum), count, width, f32_out(dx), dweight);
}

void swiglu(Rows gate, Rows up, int64_t count, Rows y) {
  if (gate.is_bf16)
    swiglu_h(b16(gate), b16(up), count, b16_out(y));
  else
    swiglu_f(f32(gate), f32(up), count, f32_out(y));
}

void swiglu_backward(Rows gate, Rows up, Rows dy, int64_t count, Rows dgate, Rows dup) {
  if (gate.is_bf16)
    swiglu_backward_h(b16(gate), b16(up), b16(dy), count, b16_out(dgate), b16_out(dup));
  else
    swiglu_backward_f(f32(gate), f32(up), f32(dy), count, f32_out(dgate), f32_out(dup));
}

void rotate_row(Rows x, const float* cos, const float* sin, int64_t d, Rows y) {
  if (x.is_bf16)
    rotate_h(b16(x), cos, sin, d, b16_out(y));
  else
    rotate_f(f32(x), cos, sin, d, f32_out(y));
}

void unrotate_add_row(Rows x, const float* cos, const float* sin, int64_t d, float* y) {
  if (x.is_bf16)
    unrotate_h(b16(x), cos, sin, d, y);
  else
    unrotate_f(f32(x), cos, sin, d, y);
}

void softmax_row(float* x, int64_t count, float scale) { softmax_f(x, count, scale); }

void store_row(const float* x, int64_t d, Rows y) {
  if (y.is_bf16) {
    store_h(x, d, b16_out(y));
    return;
  }
  for (int64_t i = 0; i < d; ++i) f32_out(y)[i] = x[i];
}

}  // namespace duet::models::nn::kernels
