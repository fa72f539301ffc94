#pragma once
// The deterministic tiny model of the golden tests: every tensor is computed from its own
// state-dict name, so that no binary file is needed and any other implementation (numpy, NeMo) can
// make the same weights. Source: the rules written out at `golden_tensor`; FNV-1a 32 bit.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "models/weights/weight_reader.h"

namespace duet::test {

/// 32-bit FNV-1a (offset 2166136261, prime 16777619).
uint32_t fnv1a(std::string_view text);

/// The value of a named tensor, fp32. With row-major index i = 1..N and s = sin(0.7 i + 0.01
/// (fnv1a(name) mod 1000)): names ending original0: 0.6 + 0.2 s; ending alpha: 1 + 0.3 s; ending
/// running_var: 1 + 0.3 s; 1-D names ending weight: 1 + 0.1 s; other 1-D: 0.1 s; names containing
/// pos_bias: 0.2 s; else 1.5 s / sqrt(N / shape[0]).
at::Tensor golden_tensor(std::string_view name, at::IntArrayRef shape);

/// Makes every tensor it is asked for. Buffers with a default (window, filter bank, FSQ tables)
/// take the default. `contains` says yes to every name except the spellings a NeMo state dict of
/// today does not use: weight_g/weight_v pairs, folded weights of the codec's convolutions, LoRA
/// parts.
class GoldenWeightReader : public models::WeightReader {
 public:
  at::Tensor parameter(const std::string& name, at::IntArrayRef shape, models::Init init) override;
  at::Tensor buffer(const std::string& name, at::IntArrayRef shape,
                    const std::function<at::Tensor()>& make) override;
  bool contains(const std::string& name) const override;
  void finish() override {}

  /// Everything asked for so far, e.g. to write a model file of the tiny model.
  const models::TensorMap& tensors() const { return tensors_; }

 private:
  models::TensorMap tensors_;
};

}  // namespace duet::test
