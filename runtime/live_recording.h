#pragma once
// `duet talk --record DIR`: both channels as the device had them, what was said, and all that is
// needed to run the same steps again. docs/realtime-audio.md lists the files.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "runtime/engine.h"
#include "runtime/live_transcript.h"
#include "runtime/live_worker.h"

namespace duet::runtime {

/// One thread, not the inference thread: it writes files.
class LiveRecording {
 public:
  /// Makes the folder where needed. Throws core::ConfigError when it holds a recording already,
  /// core::LoadError when it cannot be written.
  LiveRecording(const std::string& folder, const EngineInfo& info, const SessionOptions& session);
  ~LiveRecording();  ///< Finishes, without a word about what fails.
  LiveRecording(const LiveRecording&) = delete;
  LiveRecording& operator=(const LiveRecording&) = delete;

  /// A device was opened: its rate. The first decides that of the WAV.
  void set_rate(int rate_hz);
  /// Steps made with LiveWorkerConfig::is_recording, in order.
  void add(const LiveStep& step);
  /// Completes and names every file. Throws core::LoadError.
  void finish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

struct ReplayReport {
  std::int64_t num_steps = 0;
  std::int64_t num_equal = 0;
  std::int64_t first_difference = -1;  ///< Step; -1: none.
  std::string difference;              ///< What was there and what came, in one line.
};

/// Feeds the recorded blocks to the engine again and compares codes and text tokens.
/// Throws core::LoadError (damaged), core::ConfigError (another model).
ReplayReport replay_recording(const std::string& folder, const Engine& engine,
                              const std::function<void(const LiveStep&)>& on_step = {},
                              const std::function<bool()>& should_stop = {});

/// Path of the model that a recording was made with. Throws core::LoadError.
std::string recorded_model(const std::string& folder);

}  // namespace duet::runtime
