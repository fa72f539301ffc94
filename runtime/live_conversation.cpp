#include "runtime/live_conversation.h"

#include <pthread.h>
#include <sched.h>
#include <xmmintrin.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <thread>
#include <utility>

#include "runtime/core/error.h"

namespace duet::runtime {

namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kPoll = std::chrono::milliseconds(2);
constexpr auto kTick = std::chrono::milliseconds(20);
constexpr std::size_t kEvents = 256;       // Steps that may wait for whoever looks on: 20 s.
constexpr std::int64_t kQuietSteps = 125;  // Between notices about dropped audio: 10 s.
constexpr int kRealtimePriority = 10;

double now_s() { return std::chrono::duration<double>(Clock::now().time_since_epoch()).count(); }

std::string seconds_text(double seconds) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f s", seconds);
  return text;
}

/// Empty, or why not.
std::string ask_for_realtime(std::thread& thread) {
  const sched_param parameter{.sched_priority = kRealtimePriority};
  const int failed = ::pthread_setschedparam(thread.native_handle(), SCHED_FIFO, &parameter);
  return failed == 0 ? "" : std::strerror(failed);
}

}  // namespace

struct LiveConversation::Inference {
  explicit Inference(LiveWorker& worker)
      : thread([this, &worker] {
          _MM_SET_FLUSH_ZERO_MODE(_MM_FLUSH_ZERO_ON);  // Silence fades into denormals.
          while (!is_stopped.load(std::memory_order_relaxed))
            if (!worker.poll()) std::this_thread::sleep_for(kPoll);
        }) {}
  ~Inference() {
    is_stopped.store(true, std::memory_order_relaxed);  // The join orders everything else.
    thread.join();
  }
  Inference(const Inference&) = delete;
  Inference& operator=(const Inference&) = delete;

  std::atomic<bool> is_stopped{false};
  std::thread thread;
};

LiveConversation::LiveConversation(const Engine& engine, audio::DuplexDevice& device,
                                   const LiveOptions& options, LiveHooks hooks)
    : options_(options), hooks_(std::move(hooks)), device_(device), events_(kEvents) {
  state_.session = engine.make_session(options.session);
}

LiveConversation::~LiveConversation() { close(); }

void LiveConversation::notice(const std::string& text) const {
  if (hooks_.on_notice) hooks_.on_notice(text);
}

void LiveConversation::open() {
  const audio::DeviceFacts facts = device_.open(options_.device);
  stream_ =
      std::make_unique<audio::DuplexStream>(audio::DuplexStream::Config{.rate_hz = facts.rate_hz});
  stream_->set_muted(options_.is_muted);
  stream_->set_volume(options_.volume);
  events_.release_producer();
  worker_ =
      std::make_unique<LiveWorker>(options_.worker, state_, *stream_, events_, num_lost_events_);
  device_.start(*stream_);
  watched_callbacks_ = 0;
  watched_at_s_ = now_s();
  if (hooks_.on_open) hooks_.on_open(facts);
}

/// The producer of samples stops first; then nobody needs the consumer.
void LiveConversation::close() {
  device_.stop();
  inference_.reset();
  if (stream_ == nullptr) return;
  totals_.added_latency_ms = worker_->added_latency_ms();
  totals_.has_given_up = worker_->has_given_up();
  const audio::StreamCounters counters = stream_->counters();
  audio::StreamCounters& all = totals_.stream;
  all.num_callbacks += counters.num_callbacks;
  all.num_samples += counters.num_samples;
  all.num_underruns += counters.num_underruns;
  all.num_silence_samples += counters.num_silence_samples;
  all.num_overruns += counters.num_overruns;
  all.num_lost_samples += counters.num_lost_samples;
  all.num_device_faults += counters.num_device_faults;
  all.num_clips += counters.num_clips;
  state_.clock_s += static_cast<double>(counters.num_samples) / stream_->rate_hz();
  options_.is_muted = stream_->is_muted();
  options_.volume = stream_->volume();
  worker_.reset();
  stream_.reset();
}

void LiveConversation::look_at(const LiveStep& step) {
  const double step_s = state_.session->info().step_seconds;
  ++totals_.num_steps;
  totals_.num_deadline_misses += step.is_deadline_missed;
  totals_.max_lag_s = std::max(totals_.max_lag_s, step.lag_s);
  totals_.dropped_input_s += static_cast<double>(step.num_dropped_blocks) * step_s;
  totals_.dropped_voice_s = step.dropped_voice_s;
  if (step.num_dropped_blocks > 0 && step.index - last_drop_step_ >= kQuietSteps) {
    last_drop_step_ = step.index;
    notice("this machine is too slow: " +
           seconds_text(static_cast<double>(step.num_dropped_blocks) * step_s) +
           " of your voice was not heard");
  }
  if (!step.failure.empty()) {
    ++totals_.num_failures;
    notice("the agent failed and begins anew, without memory of what was said: " + step.failure);
  }
  if (step.is_half_duplex != is_half_duplex_) {
    is_half_duplex_ = step.is_half_duplex;
    notice(is_half_duplex_ ? "the echo of your loudspeaker gets through: your microphone is shut "
                             "while the agent speaks (headphones help)"
                           : "the echo is cancelled again: you can interrupt");
  }
  if (hooks_.on_step) hooks_.on_step(step);
}

void LiveConversation::drain() {
  std::unique_ptr<LiveStep> step;
  while (events_.pop(step)) look_at(*step);
}

bool LiveConversation::is_lost() {
  const std::uint64_t callbacks = stream_->counters().num_callbacks;
  const double now = now_s();
  if (callbacks != watched_callbacks_) {
    watched_callbacks_ = callbacks;
    watched_at_s_ = now;
  }
  return !device_.is_alive() || now - watched_at_s_ > options_.stall_seconds;
}

/// False: stopped meanwhile.
bool LiveConversation::wait_for_device() {
  double next_s = 0.0;
  while (!(hooks_.should_stop && hooks_.should_stop())) {
    if (now_s() >= next_s) {
      try {
        open();
        return true;
      } catch (const core::DeviceError&) {
        close();
        next_s = now_s() + options_.retry_seconds;
      }
    }
    std::this_thread::sleep_for(kTick);
  }
  return false;
}

LiveTotals LiveConversation::finish() {
  close();
  drain();
  totals_.num_lost_events = num_lost_events_.load(std::memory_order_relaxed);
  return totals_;
}

LiveTotals LiveConversation::run() {
  open();
  const auto infer = [this] {
    inference_ = std::make_unique<Inference>(*worker_);
    if (!options_.wants_realtime) return;
    const std::string refused = ask_for_realtime(inference_->thread);
    if (!refused.empty())
      notice("no real-time priority (" + refused +
             "); it needs the rtprio limit of limits.conf or CAP_SYS_NICE. Going on without");
  };
  infer();
  while (!(hooks_.should_stop && hooks_.should_stop())) {
    drain();
    if (hooks_.on_tick) hooks_.on_tick(*stream_);
    if (worker_->has_given_up()) break;
    if (is_lost()) {
      ++totals_.num_device_losses;
      close();
      notice("the sound device is gone; waiting for it");
      if (!wait_for_device()) break;
      infer();
      notice("the sound device is back");
    }
    std::this_thread::sleep_for(kTick);
  }
  return finish();
}

LiveTotals LiveConversation::run_in_step(const std::function<bool()>& pump) {
  open();
  while (!(hooks_.should_stop && hooks_.should_stop()) && pump()) {
    while (worker_->poll()) {
    }
    drain();
    if (hooks_.on_tick) hooks_.on_tick(*stream_);
    if (worker_->has_given_up()) break;
  }
  return finish();
}

}  // namespace duet::runtime
