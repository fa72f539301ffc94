#pragma once
// The seam between scripted conversations and whatever they measure: an engine in this process, or
// a server behind a URL (runtime/client).

#include <memory>
#include <optional>
#include <span>
#include <string>

#include "runtime/engine.h"

namespace duet::runtime::bench {

/// The other end is gone, or does not do what its protocol says. what() is one line.
class LostError : public StepError {
 public:
  LostError(const std::string& why, bool may_retry) : StepError(why), may_retry_(may_retry) {}
  /// False: it has refused, or sent what cannot be understood; another try would meet the same.
  bool may_retry() const noexcept { return may_retry_; }

 private:
  bool may_retry_;
};

/// There was no conversation at all.
class ConnectError : public LostError {
 public:
  using LostError::LostError;
};

/// One conversation. One thread.
class Partner {
 public:
  virtual ~Partner() = default;
  /// The next info().block_samples of the user. Clears `out`, then fills it; out.pcm is what has
  /// become known of the agent's channel since the step before: an engine gives one output block, a
  /// server any number of samples. Throws StepError.
  virtual void step(std::span<const float> block, StepOutput& out) = 0;
  /// After the last block: what was still on its way.
  virtual void finish(StepOutput& out) { out.clear(); }
  /// How far the agent's channel has trailed behind the user's at worst [s], where that means
  /// something.
  virtual std::optional<double> lag_s() const noexcept { return std::nullopt; }
};

/// Const methods are safe on many threads.
class System {
 public:
  virtual ~System() = default;
  /// Rates, sizes and names. The agent's channel begins with one output block of silence: a
  /// listener hears nothing of a step before its end.
  virtual const EngineInfo& info() const noexcept = 0;
  /// Throws core::ConfigError (options), ConnectError.
  virtual std::unique_ptr<Partner> connect(const SessionOptions& options) const = 0;
  /// It keeps the wall clock's pace: its computing cannot be timed.
  virtual bool is_realtime() const noexcept { return false; }
};

/// An engine in this process; must be outlived by it.
class EngineSystem : public System {
 public:
  explicit EngineSystem(const Engine& engine) : engine_(&engine) {}
  const EngineInfo& info() const noexcept override { return engine_->info(); }
  std::unique_ptr<Partner> connect(const SessionOptions& options) const override;

 private:
  const Engine* engine_;
};

}  // namespace duet::runtime::bench
