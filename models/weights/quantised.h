#pragma once
// int8 storage of weights (docs/model-format.md): a matrix X [R, ...] becomes X, int8 of the same
// shape, and X.scale, fp32 [R]; row r is scale[r] * X[r], symmetric, -127..127. Storage only:
// loading gives fp32 back.

#include <string>
#include <vector>

#include "models/weights/weight_reader.h"

namespace duet::models {

struct QuantiseOptions {
  int64_t min_numel = 4096;  ///< Smaller tensors keep their values (fp32).
  int64_t min_row_numel =
      32;  ///< Shorter rows (depthwise kernels) are stored as fp16: a scale a row would cost more.
  std::vector<std::string>
      keep;  ///< Names stored as fp32 whatever their size; '*' is a wildcard.
             ///< Filter banks and windows ("*.fb", "*.window") are always kept.
};

/// The same tensors in storage form. Integer and boolean tensors pass through. Error of a value in
/// an int8 row at most max|row| / 254 (plus fp32 rounding), of an fp16 value 2^-11 of it.
/// Deterministic. Throws core::LoadError when a tensor is not finite or a name X.scale is taken.
TensorMap quantise(const TensorMap& tensors, const QuantiseOptions& options = {});

/// The inverse: int8 tensors with a scale (fp32, fp16 or bf16) become fp32 and the scale vanishes;
/// all else passes through unchanged. Throws core::LoadError when a scale does not fit its tensor.
/// `source` names the file.
TensorMap dequantise(TensorMap tensors, const std::string& source);

/// load_safetensors and dequantise: what a model loader calls.
TensorMap load_weights(const std::string& path);

}  // namespace duet::models
