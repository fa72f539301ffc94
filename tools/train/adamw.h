#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <string>
#include <vector>

#include "tools/train/parameter_store.h"

namespace duet::train {

/// AdamW (Loshchilov & Hutter 2019), fp32 states, one pass over memory. Only tensors with two or
/// more axes decay.
class AdamW {
 public:
  struct Config {
    double learning_rate = 1e-3;
    double beta1 = 0.9, beta2 = 0.95;
    double epsilon = 1e-8;
    double weight_decay = 0.01;
    double clip_norm = 1.0;  ///< Global gradient norm; 0 = no clipping.
    std::map<std::string, double>
        multipliers;  ///< Name prefix -> factor on the learning rate (longest prefix wins).
  };

  /// Optimises those parameters of `store` whose name starts with one of `prefixes` (empty: all).
  AdamW(const Config& config, const ParameterStore& store, std::vector<std::string> prefixes = {});

  void zero_grad();
  /// Applies the gradients, scaled by `lr_factor` (schedule). Returns the gradient norm before
  /// clipping. A step whose norm is not finite is skipped and counted.
  double step(double lr_factor);
  int64_t num_skipped() const { return skipped_; }

  /// "<prefix>m.<name>", "<prefix>v.<name>" and "<prefix>count".
  void save(models::TensorMap& out, const std::string& prefix) const;
  void load(const models::TensorMap& in, const std::string& prefix);  ///< Throws core::LoadError.

 private:
  struct Slot {
    std::string name;
    at::Tensor parameter, m, v;
    double multiplier = 1.0;
  };
  Config config_;
  std::vector<Slot> slots_;
  int64_t count_ = 0, skipped_ = 0;
};

}  // namespace duet::train
