#pragma once
// What the audio callback does, and what it shares with the other threads: captured and played
// samples in pairs out of it, the agent's voice into it, counters and meters beside it. Knows no
// sound library: PortAudio (portaudio_device.h) and the virtual room (room_device.h) both call it.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "runtime/core/spsc_ring.h"
#include "runtime/core/triple_buffer.h"

namespace duet::audio {

/// One sample caught by the microphone and the one that was sent to the loudspeaker meanwhile.
struct SamplePair {
  float near = 0.0F;
  float far = 0.0F;
};

/// Levels as of the last callback, in [0, 1] of full scale.
struct StreamMeters {
  float near_peak = 0.0F;  ///< Falls by half in 0.2 s.
  float far_peak = 0.0F;
  float near_rms = 0.0F;         ///< Smoothed over 0.1 s.
  bool is_near_clipped = false;  ///< Two samples in a row at full scale within the last second.
};

/// Since the stream was made.
struct StreamCounters {
  std::uint64_t num_callbacks = 0;
  std::uint64_t num_samples = 0;          ///< Of each direction.
  std::uint64_t num_underruns = 0;        ///< Times the agent's voice was not there in time.
  std::uint64_t num_silence_samples = 0;  ///< Played instead.
  std::uint64_t num_overruns = 0;         ///< Callbacks whose samples nobody took.
  std::uint64_t num_lost_samples = 0;     ///< Dropped by them.
  std::uint64_t num_device_faults = 0;    ///< Under- and overflows that the device itself reported.
  std::uint64_t num_clips = 0;            ///< Runs of clipped microphone samples.
};

/// Threads: process is the callback's. read is the consumer's, write the producer's (both the
/// inference thread). meters has one reader. The rest is for any thread.
class DuplexStream {
 public:
  struct Config {
    int rate_hz = 48000;           ///< 4000 to 384000.
    double capture_seconds = 2.0;  ///< Captured audio that may wait.
    double playout_seconds = 0.5;  ///< The agent's voice that may wait.

    void validate() const;  ///< Throws core::ConfigError.
  };

  explicit DuplexStream(const Config& config);

  int rate_hz() const noexcept { return config_.rate_hz; }

  /// The callback: `num` frames of `in` (interleaved; the first channel counts; nullptr: silence)
  /// and as many of `out` (all channels alike). Never waits, allocates, locks, logs or throws.
  void process(const float* in, int in_channels, float* out, int out_channels, std::size_t num,
               bool has_device_fault = false) noexcept;

  /// The next pairs, as many as there are; returns how many.
  std::size_t read(std::span<SamplePair> pairs) noexcept { return captured_.pop_some(pairs); }
  std::size_t num_captured() const noexcept { return captured_.size(); }
  /// The agent's voice at rate_hz; what does not fit is not taken. Returns how many were. From the
  /// first call on, silence in its stead counts as underrun.
  std::size_t write(std::span<const float> samples) noexcept;
  /// Written and not played yet.
  std::size_t num_queued() const noexcept { return playout_.size(); }

  /// The microphone is not heard; fades over 10 ms, so does volume.
  void set_muted(bool is_muted) noexcept { is_muted_.store(is_muted, std::memory_order_relaxed); }
  bool is_muted() const noexcept { return is_muted_.load(std::memory_order_relaxed); }
  void set_volume(float gain) noexcept { volume_.store(gain, std::memory_order_relaxed); }
  float volume() const noexcept { return volume_.load(std::memory_order_relaxed); }

  StreamMeters meters() noexcept { return meters_.read(); }
  StreamCounters counters() const noexcept;
  /// Frames both directions have gone through.
  std::uint64_t num_samples() const noexcept {
    // Acquire: partner of the release at the end of process(); the pairs are there before.
    return num_samples_.load(std::memory_order_acquire);
  }

 private:
  void measure(std::span<const SamplePair> pairs) noexcept;
  std::size_t fill(std::span<SamplePair> pairs) noexcept;

  Config config_;
  core::SpscRing<SamplePair> captured_;
  core::SpscRing<float> playout_;
  core::TripleBuffer<StreamMeters> meters_;

  // Single values that order nothing else: relaxed everywhere.
  std::atomic<bool> is_muted_{false};
  std::atomic<bool> is_expected_{false};  // Somebody has written.
  std::atomic<float> volume_{1.0F};
  std::atomic<std::uint64_t> num_callbacks_{0}, num_underruns_{0}, num_silence_{0},
      num_overruns_{0}, num_lost_{0}, num_faults_{0}, num_clips_{0};
  std::atomic<std::uint64_t> num_samples_{0};
  static_assert(std::atomic<float>::is_always_lock_free && std::atomic<bool>::is_always_lock_free);

  // The callback's own.
  float ramp_ = 0.0F;  // Step of a gain per sample.
  float near_gain_ = 1.0F;
  float far_gain_ = 1.0F;
  float last_far_ = 0.0F;
  bool is_starved_ = false;
  bool was_full_scale_ = false;
  std::uint64_t clipped_until_ = 0;
  double near_power_ = 0.0;
  StreamMeters now_;
};

}  // namespace duet::audio
