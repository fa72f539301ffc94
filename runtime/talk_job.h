#pragma once
// `duet talk` and `duet room` without their command lines: a device, an engine, and what the user
// sees, hears and keeps of it. The engine and the keyboard come from outside, so that everything
// here is tested without a model.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <ostream>
#include <string>

#include "audio/echo_canceller.h"
#include "audio/room.h"
#include "runtime/live_conversation.h"

namespace duet::runtime {

struct TalkJob {
  LiveOptions live;
  std::string record_dir;        ///< Empty: nothing is kept.
  std::string transcript;        ///< File ending in .txt, .srt or .json; empty: none.
  bool is_terminal = false;      ///< Of the output: redraw.
  bool is_push_to_talk = false;  ///< Muted until space is pressed, again with the next.
  std::size_t terminal_columns = 80;
};

/// Throws core::ConfigError for a transcript of an unknown kind.
void validate(const TalkJob& job);

/// One pressed key, 0: none. Asked about every 20 ms.
using Keyboard = std::function<int()>;

/// Live, until should_stop or 'q'. Keys: m mute, space talk (push-to-talk), + and - volume. Words
/// and status go to `out`, the totals at the end to `log`. Throws core::Error.
LiveTotals talk(const TalkJob& job, const Engine& engine, audio::DuplexDevice& device,
                std::ostream& out, std::ostream& log, const Keyboard& keyboard,
                const std::function<bool()>& should_stop);

struct RoomJob {
  std::string input;       ///< What the user says: a sound file.
  std::string output;      ///< Stereo WAV: left the microphone in the room, right the agent.
  audio::RoomConfig room;  ///< 16 kHz.
  TalkJob talk;
  double tail_s = 5.0;  ///< After the user's last word.
};

/// Through the virtual room, as fast as the machine; deterministic. Throws core::Error.
LiveTotals talk_in_room(const RoomJob& job, const Engine& engine, std::ostream& out,
                        std::ostream& log, const std::function<bool()>& should_stop);

/// Empty, or that the machine has too little memory free for a model of so many bytes on disk.
std::string memory_warning(std::int64_t model_bytes, std::int64_t available_bytes);

/// Lines for people.
std::string totals_text(const LiveTotals& totals);

}  // namespace duet::runtime
