#pragma once
// The loops of fused.cpp, without LibTorch: rows of fp32 or bf16 (its bits in uint16_t). Built for
// AVX-512, AVX2 and the baseline where the compiler can choose at run time.

#include <cstdint>
#include <vector>

namespace duet::models::nn::kernels {

/// A row-major matrix or a set of rows, fp32 or bf16.
struct Rows {
  void* data = nullptr;
  bool is_bf16 = false;
};

/// sum = x + delta (delta.data may be null; then sum.data may be null too), y = sum * r * weight,
/// r[n] = 1 / sqrt(mean(sum^2) + epsilon). x and sum are fp32 or bf16 alike.
void add_rms_norm(Rows x, Rows delta, const float* weight, double epsilon, int64_t count,
                  int64_t width, Rows sum, Rows y, float* r);
/// dx (dtype of the stream) and dweight (fp32, added to) from dy and, unless null, dsum; s is the
/// forward's sum.
void add_rms_norm_backward(Rows s, const float* weight, const float* r, Rows dy, Rows dsum,
                           int64_t count, int64_t width, Rows dx, float* dweight);

void swiglu(Rows gate, Rows up, int64_t count, Rows y);
void swiglu_backward(Rows gate, Rows up, Rows dy, int64_t count, Rows dgate, Rows dup);

/// One row of d values: y = x rotated by cos, sin [d / 2] (null: copied). Same dtype.
void rotate_row(Rows x, const float* cos, const float* sin, int64_t d, Rows y);
/// y (fp32) += x rotated back.
void unrotate_add_row(Rows x, const float* cos, const float* sin, int64_t d, float* y);
void store_row(const float* x, int64_t d, Rows y);

/// y[n] = weight x[n] + bias (null: 0) for `count` rows x[n] of `width` values, weight [rows,
/// width] row-major, y [count, rows]; the second form has weight[r] * scale[r] and rounds x[n] to
/// 16 bits by its largest value (one that is not finite makes y[n] NaN). The result of a row does
/// not depend on the rows beside it: what a stream computes alone and among others is the same to
/// the bit.
void multiply_rows(const float* weight, const float* x, int64_t count, const float* bias,
                   int64_t rows, int64_t width, float* y);
void multiply_rows(const int8_t* weight, const float* scale, const float* x, int64_t count,
                   const float* bias, int64_t rows, int64_t width, float* y);

/// x = softmax(scale x) over `count` >= 1 values, in place.
void softmax_row(float* x, int64_t count, float scale);
/// y[n] = sum over t of softmax_t(q[n] . k[t] / sqrt(d)) v[t]: attention of a few queries to all
/// keys (Vaswani et al. 2017, section 3.2.1). q, y [num_queries, d]; k, v [num_keys, d]. The result
/// of a query does not depend on the others.
void attend_rows(const float* q, int64_t num_queries, const float* k, const float* v,
                 int64_t num_keys, int64_t d, float* y);

/// What these may be computed with; every one keeps the promise above by itself, their
/// results differ in rounding.
enum class Units { kPlain, kAvx2, kAvx512 };
/// Those that this machine has, the one in use last.
std::vector<Units> supported_units();
/// The same with units chosen by the caller, of those supported: for tests and benchmarks.
void multiply_rows_with(Units units, const float* weight, const float* x, int64_t count,
                        const float* bias, int64_t rows, int64_t width, float* y);
void multiply_rows_with(Units units, const int8_t* weight, const float* scale, const float* x,
                        int64_t count, const float* bias, int64_t rows, int64_t width, float* y);
void attend_rows_with(Units units, const float* q, int64_t num_queries, const float* k,
                      const float* v, int64_t num_keys, int64_t d, float* y);

/// The row `index` rows of `width` values further on.
inline Rows at_row(Rows rows, int64_t values) {
  if (rows.data == nullptr) return rows;
  const int64_t size = rows.is_bf16 ? 2 : 4;
  return {static_cast<char*>(rows.data) + values * size, rows.is_bf16};
}

}  // namespace duet::models::nn::kernels
