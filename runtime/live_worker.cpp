#include "runtime/live_worker.h"

#include <chrono>

namespace duet::runtime {

namespace {

constexpr std::size_t kPairs = 4096;  // At once from the ring.

audio::CapturePath::Config capture_config(const LiveWorkerConfig& config, const EngineInfo& info,
                                          int device_rate_hz) {
  return {.device_rate_hz = device_rate_hz,
          .model_rate_hz = info.input_rate_hz,
          .block_samples = static_cast<std::size_t>(info.block_samples),
          .echo = config.echo,
          .guard = config.guard,
          .max_waiting_blocks = config.max_waiting_blocks};
}

}  // namespace

LiveWorker::LiveWorker(const LiveWorkerConfig& config, LiveState& state,
                       audio::DuplexStream& stream, Events& events,
                       std::atomic<std::uint64_t>& num_lost_events)
    : config_(config),
      state_(state),
      stream_(stream),
      events_(events),
      num_lost_events_(num_lost_events),
      capture_(capture_config(config, state.session->info(), stream.rate_hz())),
      playout_(
          {.model_rate_hz = state.session->info().output_rate_hz, .cushion_ms = config.cushion_ms},
          stream),
      pairs_(kPairs),
      block_(static_cast<std::size_t>(state.session->info().block_samples)),
      dropped_before_s_(state.dropped_voice_s) {}

double LiveWorker::added_latency_ms() const noexcept {
  return capture_.latency_ms() + playout_.latency_ms() + playout_.waiting_ms();
}

void LiveWorker::take_captured() {
  for (;;) {
    const std::size_t count = stream_.read(pairs_);
    const auto pairs = std::span<const audio::SamplePair>(pairs_).first(count);
    capture_.process(pairs);
    if (config_.is_recording) recorded_.insert(recorded_.end(), pairs.begin(), pairs.end());
    if (count < pairs_.size()) return;
  }
}

bool LiveWorker::poll() {
  take_captured();
  if (has_given_up_.load(std::memory_order_relaxed)) return false;
  num_dropped_ += static_cast<std::int64_t>(capture_.drop_late());
  if (!capture_.pop(block_)) return false;
  auto step = std::make_unique<LiveStep>();
  step->num_dropped_blocks = num_dropped_;
  num_dropped_ = 0;
  run_step(block_, *step);
  if (config_.is_recording) {
    step->block = block_;
    step->device.swap(recorded_);
  }
  // Relaxed: a count for people.
  if (!events_.push(std::move(step))) num_lost_events_.fetch_add(1, std::memory_order_relaxed);
  return true;
}

void LiveWorker::run_step(std::span<const float> block, LiveStep& step) {
  const double rate_hz = stream_.rate_hz();
  step.index = state_.num_steps++;
  step.is_first_after_reset = state_.is_reset;
  step.captured_until_s = state_.clock_s + capture_.popped_until_s();
  const auto before = std::chrono::steady_clock::now();
  try {
    state_.session->step(block, step.out);
    state_.num_failures = 0;
    state_.is_reset = false;
  } catch (const StepError& error) {
    // Poisoned. The agent falls silent; a new session listens from the next block on.
    step.failure = error.what();
    step.out.clear();
    state_.session->reset();
    state_.is_reset = true;
    if (++state_.num_failures >= config_.max_failures)
      has_given_up_.store(true, std::memory_order_relaxed);
  }
  step.compute_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - before).count();
  step.is_deadline_missed = step.compute_s > state_.session->info().step_seconds;
  const double now_s = state_.clock_s + static_cast<double>(stream_.num_samples()) / rate_hz;
  step.lag_s = now_s - step.captured_until_s;
  step.audible_at_s = now_s + static_cast<double>(stream_.num_queued()) / rate_hz;
  if (!step.out.pcm.empty()) playout_.push(step.out.pcm);
  step.playout_waiting_s = playout_.waiting_ms() * 1e-3;
  state_.dropped_voice_s = dropped_before_s_ + playout_.dropped_voice_ms() * 1e-3;
  step.dropped_voice_s = state_.dropped_voice_s;
  step.echo = capture_.echo_report();
  step.is_half_duplex = capture_.is_half_duplex();
}

}  // namespace duet::runtime
