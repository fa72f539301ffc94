#pragma once
// Weights without a file: every tensor fixed pseudo-random values of a seed.

#include <ATen/ATen.h>

#include <cstdint>
#include <functional>
#include <string>

#include "models/weights/weight_reader.h"

namespace duet::test {

class SeededReader : public models::WeightReader {
 public:
  explicit SeededReader(uint64_t seed) : generator_(at::detail::createCPUGenerator(seed)) {}
  at::Tensor parameter(const std::string&, at::IntArrayRef shape, models::Init init) override {
    if (init.kind == models::Init::Kind::kOnes)
      return at::ones(shape) + 0.1 * at::randn(shape, generator_);
    return at::randn(shape, generator_) * 0.12;
  }
  at::Tensor buffer(const std::string&, at::IntArrayRef,
                    const std::function<at::Tensor()>& make) override {
    return make();
  }
  bool contains(const std::string&) const override { return true; }
  void finish() override {}

 private:
  at::Generator generator_;
};

}  // namespace duet::test
