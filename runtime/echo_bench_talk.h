#pragma once
// One conversation with the model over open loudspeakers, for `duet bench echo`: recorded turns of
// a user in a virtual room, through the code of `duet talk` (device, callback, canceller, model,
// playout), in step and therefore always the same. All times are the device's: sample i that it
// captures and plays lies at i / 16 kHz.

#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "audio/echo_canceller.h"
#include "audio/room.h"
#include "runtime/activity.h"
#include "runtime/bench/conversation.h"
#include "runtime/engine.h"
#include "runtime/timeline.h"

namespace duet::runtime {

/// A turn with the place of its first sample.
struct PlacedTurn {
  bench::Clip clip;  ///< 16 kHz, as loud as it shall be at the microphone.
  double start_s = 0.0;
};

struct RoomTalkPlan {
  audio::RoomConfig room;  ///< 16 kHz.
  audio::EchoConfig echo;
  SessionOptions session = {};
  /// Where they begin; nothing is said that begins after the end.
  std::vector<PlacedTurn> turns;
  /// The user waits: the first turn begins where it is placed, each other one when the agent has
  /// been silent for 1 s after an answer, or has not answered for 4 s.
  bool is_reactive = false;
  /// It ends when it has lasted so long, when the agent has been audible for so long (reactive), or
  /// when all turns have been answered, whichever comes first.
  double max_seconds = std::numeric_limits<double>::infinity();
  double max_playback_seconds = std::numeric_limits<double>::infinity();
  bool keeps_samples = false;
  std::function<bool()> should_stop = {};
};

struct RoomTalk {
  std::vector<PlacedTurn> turns;  ///< As they came to lie; those that began.
  std::vector<Segment> users;     ///< The audible part of each.
  Activity agent;                 ///< Of what the loudspeaker played.
  std::vector<AgentTurn> replies;
  /// 10 ms levels of the loudspeaker, the microphone, the user's part of it, and what the model
  /// heard (late by the latency of the capture path, less than 10 ms).
  std::vector<float> far_db, mic_db, near_db, heard_db;
  std::vector<float> near, heard;  ///< Samples, 16 kHz; heard with the latency taken off.
  std::int64_t num_steps = 0;
  std::int64_t num_half_duplex_steps = 0;
  std::int64_t num_failures = 0;  ///< Of the engine.
  bool is_stopped = false;        ///< By should_stop: the rest is not there.
};

/// The model must take 16 kHz. One thread. Throws core::ConfigError.
RoomTalk converse_in_room(const Engine& engine, const RoomTalkPlan& plan);

}  // namespace duet::runtime
