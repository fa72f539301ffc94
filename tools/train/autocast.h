#pragma once

namespace duet::train {

/// While alive, CPU autocast to bf16 on this thread (if `enabled`): matrix products in bf16, sums
/// and norms in fp32. With LibTorch 1.13 it does nothing and says so once.
class Autocast {
 public:
  explicit Autocast(bool enabled);
  ~Autocast();
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

 private:
  bool previous_;
};

}  // namespace duet::train
