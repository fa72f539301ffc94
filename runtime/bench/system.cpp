#include "runtime/bench/system.h"

#include <utility>

namespace duet::runtime::bench {

namespace {

class EnginePartner : public Partner {
 public:
  explicit EnginePartner(std::unique_ptr<Session> session) : session_(std::move(session)) {}
  void step(std::span<const float> block, StepOutput& out) override { session_->step(block, out); }

 private:
  std::unique_ptr<Session> session_;
};

}  // namespace

std::unique_ptr<Partner> EngineSystem::connect(const SessionOptions& options) const {
  return std::make_unique<EnginePartner>(engine_->make_session(options));
}

}  // namespace duet::runtime::bench
