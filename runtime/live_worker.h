#pragma once
// The inference thread of a live conversation: from captured pairs to blocks, a step for each, and
// the agent's voice back to the device. One call of poll does what is there to do; who calls it (a
// thread, a test, a virtual room) decides what time is.

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "audio/capture_path.h"
#include "audio/playout_path.h"
#include "runtime/core/spsc_ring.h"
#include "runtime/engine.h"

namespace duet::runtime {

/// One step, as it happened. Times in seconds since the conversation began, on the capture clock.
struct LiveStep {
  std::int64_t index = 0;  ///< Since the conversation began; resets of the session included.
  bool is_first_after_reset = false;
  std::vector<float> block;       ///< What the engine was given.
  StepOutput out;                 ///< Empty pcm: the step failed.
  double captured_until_s = 0.0;  ///< When its last sample had come from the device.
  double audible_at_s = 0.0;      ///< When its pcm begins to leave through the device.
  double compute_s = 0.0;
  /// How much later than it was captured the block was answered.
  double lag_s = 0.0;
  double playout_waiting_s = 0.0;
  bool is_deadline_missed = false;
  std::int64_t num_dropped_blocks = 0;  ///< Of the microphone, just before this one.
  double dropped_voice_s = 0.0;         ///< Of the agent, since the conversation began.
  audio::EchoReport echo;
  bool is_half_duplex = false;
  std::string failure;  ///< What the engine said; the session was reset after it.
  /// What went through the device since the step before; only when recording.
  std::vector<audio::SamplePair> device;
};

struct LiveWorkerConfig {
  audio::EchoConfig echo = {};
  audio::HalfDuplexGuard::Config guard = {};
  std::size_t max_waiting_blocks = 5;  ///< 400 ms: the engine is behind; older audio is dropped.
  double cushion_ms = 10.0;
  bool is_recording = false;
  /// So many failed steps without a good one between end the conversation.
  int max_failures = 3;
};

/// Outlives devices: for each stream a worker of its own, with the session and the clock of the one
/// before.
struct LiveState {
  std::unique_ptr<Session> session;
  std::int64_t num_steps = 0;
  double clock_s = 0.0;  ///< When the present stream began.
  double dropped_voice_s = 0.0;
  int num_failures = 0;  ///< In a row.
  bool is_reset = true;  ///< The next step is the session's first.
};

/// One thread, which may change between calls when the caller joins.
class LiveWorker {
 public:
  using Events = core::SpscRing<std::unique_ptr<LiveStep>>;

  /// All must outlive it. `num_lost_events` counts steps that `events` had no room for.
  LiveWorker(const LiveWorkerConfig& config, LiveState& state, audio::DuplexStream& stream,
             Events& events, std::atomic<std::uint64_t>& num_lost_events);

  /// Takes what was captured; makes at most one step. False: there was nothing for a step.
  bool poll();
  /// Too many failures: there will be no more steps.
  bool has_given_up() const noexcept { return has_given_up_.load(std::memory_order_relaxed); }
  /// What the audio half adds: resamplers, canceller, cushion; not the device, not the step.
  double added_latency_ms() const noexcept;

 private:
  void take_captured();
  void run_step(std::span<const float> block, LiveStep& step);

  LiveWorkerConfig config_;
  LiveState& state_;
  audio::DuplexStream& stream_;
  Events& events_;
  std::atomic<std::uint64_t>& num_lost_events_;
  audio::CapturePath capture_;
  audio::PlayoutPath playout_;
  std::vector<audio::SamplePair> pairs_, recorded_;
  std::vector<float> block_;
  std::int64_t num_dropped_ = 0;
  double dropped_before_s_ = 0.0;
  std::atomic<bool> has_given_up_{false};  // Relaxed: only ends loops.
};

}  // namespace duet::runtime
