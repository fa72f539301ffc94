#pragma once
// A conversation through a sound device, as long as it lasts: opens the device, runs the inference
// thread, hands its steps to whoever looks on, and takes the device back when it was pulled out.
// The session, and with it what was said, survives that.

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "audio/duplex_device.h"
#include "runtime/engine.h"
#include "runtime/live_worker.h"

namespace duet::runtime {

struct LiveOptions {
  SessionOptions session = {};
  audio::DeviceRequest device = {};
  LiveWorkerConfig worker = {};
  double stall_seconds = 1.0;  ///< Without a callback for so long: the device is lost.
  double retry_seconds = 1.0;  ///< Between attempts to open it again.
  bool is_muted = false;       ///< To begin with.
  float volume = 1.0F;
  bool wants_realtime =
      false;  ///< Ask the system for a real-time priority of the inference thread.
};

/// Called on the thread that runs the conversation; none may wait for long.
struct LiveHooks {
  std::function<void(const LiveStep&)> on_step = {};
  /// Something the user should know: one line, without a line break.
  std::function<void(const std::string&)> on_notice = {};
  std::function<void(const audio::DeviceFacts&)> on_open = {};
  /// About every 20 ms, for keys and screens.
  std::function<void(audio::DuplexStream&)> on_tick = {};
  std::function<bool()> should_stop = {};
};

struct LiveTotals {
  std::int64_t num_steps = 0;
  std::int64_t num_deadline_misses = 0;
  std::int64_t num_failures = 0;
  std::int64_t num_device_losses = 0;
  double dropped_input_s = 0.0;
  double dropped_voice_s = 0.0;
  double max_lag_s = 0.0;
  double added_latency_ms = 0.0;
  std::uint64_t num_lost_events = 0;
  audio::StreamCounters stream;  ///< Of all devices together.
  bool has_given_up = false;
};

class LiveConversation {
 public:
  /// All must outlive it. Throws core::ConfigError for the session's options.
  LiveConversation(const Engine& engine, audio::DuplexDevice& device, const LiveOptions& options,
                   LiveHooks hooks);
  ~LiveConversation();

  /// Until should_stop, or until the engine failed too often. Throws core::DeviceError when the
  /// device cannot be opened at first; later it is waited for.
  LiveTotals run();
  /// The same on one thread: `pump` brings one buffer and says whether there are more. For virtual
  /// devices that are not paced; deterministic.
  LiveTotals run_in_step(const std::function<bool()>& pump);

 private:
  struct Inference;
  void open();
  void close();
  void drain();
  bool is_lost();
  bool wait_for_device();
  void notice(const std::string& text) const;
  void look_at(const LiveStep& step);
  LiveTotals finish();

  LiveOptions options_;
  LiveHooks hooks_;
  audio::DuplexDevice& device_;
  LiveState state_;
  LiveWorker::Events events_;
  std::atomic<std::uint64_t> num_lost_events_{0};
  std::unique_ptr<audio::DuplexStream> stream_;
  std::unique_ptr<LiveWorker> worker_;
  std::unique_ptr<Inference> inference_;
  LiveTotals totals_;
  bool is_half_duplex_ = false;
  std::int64_t last_drop_step_ = -1000000;
  std::uint64_t watched_callbacks_ = 0;
  double watched_at_s_ = 0.0;
};

}  // namespace duet::runtime
