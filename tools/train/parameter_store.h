#pragma once
// The trainer's weight reader: hands every module its parameters as autograd leaves and keeps the
// list, so that no layer is defined twice. Values come from `initial` where it has the name
// (fine-tuning, imported weights), else from the Init.

#include <ATen/core/Tensor.h>

#include <string>
#include <utility>
#include <vector>

#include "models/weights/weight_reader.h"

namespace duet::train {

class ParameterStore : public models::WeightReader {
 public:
  explicit ParameterStore(uint64_t seed, models::TensorMap initial = {}, std::string source = "");

  at::Tensor parameter(const std::string& name, at::IntArrayRef shape, models::Init init) override;
  at::Tensor buffer(const std::string& name, at::IntArrayRef shape,
                    const std::function<at::Tensor()>& make) override;
  bool contains(const std::string& name) const override;
  /// Throws core::LoadError when `initial` had tensors of the wrong shape.
  void finish() override;

  /// In order of creation; each name once.
  const std::vector<std::pair<std::string, at::Tensor>>& parameters() const { return parameters_; }
  int64_t num_values() const;
  /// How many parameters took their value from `initial`.
  int64_t num_initialised_from_source() const { return from_source_; }
  /// Parameters whose name starts with `prefix` no longer learn.
  void freeze(const std::string& prefix);
  /// Detached copies (parameters and buffers), for checkpoints and export.
  models::TensorMap tensors() const;
  /// Overwrites the values in place; every parameter must be there with its shape. Throws
  /// core::LoadError.
  void assign(const models::TensorMap& tensors, const std::string& source);

 private:
  uint64_t seed_;
  models::TensorMap initial_;
  std::string source_;
  std::vector<std::pair<std::string, at::Tensor>> parameters_, buffers_;
  std::vector<std::string> problems_;
  int64_t from_source_ = 0;
};

}  // namespace duet::train
