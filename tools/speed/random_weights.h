#pragma once
// Weights of any architecture without a checkpoint: for measuring speed, which does not depend on
// their values.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <vector>

#include "models/weights/weight_reader.h"

namespace duet::speed {

struct RandomWeightOptions {
  /// Matrices hold 8-bit integers times a scale, as our model files do: models/nn/matrix.h then
  /// reads a quarter of the bytes.
  bool is_int8 = true;
  /// Tensors of one shape are one tensor: one layer's memory serves all layers, which caches may
  /// make faster than the truth.
  bool shares_layers = false;
};

/// Gives fp32 tensors of a model's usual size, the same each time; biases 0, norms 1. Counts what
/// it gave.
class RandomWeightReader : public models::WeightReader {
 public:
  explicit RandomWeightReader(const RandomWeightOptions& options) : options_(options) {}

  at::Tensor parameter(const std::string& name, at::IntArrayRef shape, models::Init init) override;
  at::Tensor buffer(const std::string& name, at::IntArrayRef shape,
                    const std::function<at::Tensor()>& make) override;
  /// Yes to every name but other spellings of a weight: weight norm's halves and LoRA's parts.
  bool contains(const std::string& name) const override;
  void finish() override {}

  std::int64_t num_values() const noexcept { return num_values_; }

 private:
  at::Tensor random(at::IntArrayRef shape, double scale);

  RandomWeightOptions options_;
  std::map<std::vector<std::int64_t>, at::Tensor> by_shape_;
  std::uint64_t state_ = 1;
  std::int64_t num_values_ = 0;
};

}  // namespace duet::speed
