#pragma once
// A sound card in the virtual room: the same callback as a real one, a microphone that hears the
// loudspeaker, a person and noise. Driven buffer by buffer (deterministic, as fast as the machine)
// or by a thread of its own at the speed of the clock.

#include <atomic>
#include <functional>
#include <memory>
#include <span>
#include <thread>
#include <vector>

#include "audio/duplex_device.h"
#include "audio/room.h"

namespace duet::audio {

class RoomDevice : public DuplexDevice {
 public:
  struct Config {
    RoomConfig room =
        {};  ///< Its rate is the device's. The loop through the device adds one buffer.
    std::size_t buffer_samples = 160;
    bool is_paced = false;  ///< start() runs a thread; otherwise the caller calls pump().
    /// What the person says next; called with every buffer. Unset: nothing.
    std::function<void(std::span<float>)> say = {};
    /// Sees every buffer: what the person's voice is at the microphone, the microphone, what was
    /// played meanwhile.
    std::function<void(std::span<const float> voice, std::span<const float> mic,
                       std::span<const float> far)>
        watch = {};
  };

  explicit RoomDevice(const Config& config);  ///< Throws core::ConfigError.
  ~RoomDevice() override;

  DeviceFacts open(const DeviceRequest& request) override;
  void start(DuplexStream& stream) override;
  void stop() noexcept override;
  bool is_alive() const noexcept override;

  /// One buffer. Only when not paced, on the thread that plays the callback.
  void pump();
  /// The device is pulled out: callbacks stop and open throws, until plug(). Any thread.
  void unplug() noexcept { is_plugged_.store(false, std::memory_order_relaxed); }
  void plug() noexcept { is_plugged_.store(true, std::memory_order_relaxed); }
  Room& room() noexcept { return room_; }

 private:
  void run();

  Config config_;
  Room room_;
  DuplexStream* stream_ = nullptr;
  std::vector<float> voice_, near_, mic_, far_;
  std::atomic<bool> is_plugged_{true}, is_running_{false};  // Relaxed: they order nothing.
  std::thread thread_;
};

}  // namespace duet::audio
