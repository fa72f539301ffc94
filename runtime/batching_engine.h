#pragma once
// An engine in front of another: sessions that are stepped on many threads at once share their
// steps (Engine::step_together), so that the weights are read once for all of them. For benchmarks
// and evaluations, where each dialogue runs on a thread of its own, faster than real time.

#include <chrono>
#include <memory>

#include "runtime/engine.h"

namespace duet::runtime {

struct BatchingOptions {
  int max_batch = 16;   ///< Sessions in one step.
  int num_workers = 1;  ///< Threads that step: one a core.
  /// A step waits so long for others to join, unless all sessions that could are there.
  std::chrono::microseconds patience{2000};
};

/// Session::step of its sessions blocks until the shared step is done; a failure is that session's
/// alone. Sessions must be gone before the engine; different sessions may be used on any threads.
class BatchingEngine : public Engine {
 public:
  /// `inner` must outlive it. Throws core::ConfigError for options below 1.
  BatchingEngine(const Engine& inner, const BatchingOptions& options);
  ~BatchingEngine() override;

  const EngineInfo& info() const noexcept override { return inner_.info(); }
  std::unique_ptr<Session> make_session(const SessionOptions& options) const override;

  /// Mean number of sessions in a step so far; 0 before the first.
  double mean_batch() const;

 private:
  class Queue;
  class BatchedSession;

  const Engine& inner_;
  std::unique_ptr<Queue> queue_;
};

}  // namespace duet::runtime
