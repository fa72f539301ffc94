#pragma once
// One client's protocol, without its socket: messages and steps in, messages out. Implementations:
// moshi_dialect.h, realtime_dialect.h. Everything here is called on one thread at a time (the
// connection's strand), never on the inference thread.

#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "audio/framer.h"
#include "audio/resampler.h"
#include "runtime/server/scheduler.h"

namespace duet::server {

/// Audio may be dropped for a client that reads too slowly; the rest never is.
enum class Lane { kAudio, kControl };

/// WebSocket close codes (RFC 6455, section 7.4.1, and the IANA registry).
inline constexpr int kCloseNormal = 1000, kCloseGoingAway = 1001, kClosePolicy = 1008,
                     kCloseInternal = 1011, kCloseTryAgain = 1013;

/// What a dialect may do to its connection. Never fails: a dead connection swallows it.
class Link {
 public:
  virtual ~Link() = default;
  virtual void send_text(std::string message, Lane lane) = 0;
  virtual void send_binary(std::vector<std::uint8_t> message, Lane lane) = 0;
  /// After everything sent so far. Nothing is sent afterwards.
  virtual void close(int code, const std::string& reason) = 0;
};

/// Limits of a conversation.
struct SessionLimits {
  double max_session_s = 3600.0;
  double idle_s = 300.0;    ///< Without any audio of the client.
  double warning_s = 30.0;  ///< Before either ends the conversation.
};

class Dialect {
 public:
  virtual ~Dialect() = default;
  virtual void open() = 0;
  virtual void on_message(std::span<const std::uint8_t> message, bool is_text) = 0;
  /// A step was taken from the seat; a failed one is the last.
  virtual void on_step(Step& step) = 0;
  /// A few times a second.
  virtual void on_tick(Clock::time_point now) = 0;
  /// The server is about to close the conversation.
  virtual void on_shutdown() = 0;
  /// The server drains, and closes the conversation in `left_s`.
  virtual void on_drain(double /*left_s*/) {}
  /// The client is back on a new connection, with everything up to number `seq`.
  virtual void on_resumed(std::int64_t /*seq*/) {}
  /// The conversation leaves this connection for another one.
  virtual void on_replaced() {}
  /// False: the client is ahead of the model; read no more until it is true again.
  virtual bool wants_input() = 0;
};

/// Samples of a client to blocks of the engine. What the seat has no room for waits here.
class InputPath {
 public:
  InputPath(Seat& seat, int rate_hz);
  /// From now on the samples are at this rate.
  void set_rate(int rate_hz);
  int rate_hz() const noexcept { return resampler_.input_rate_hz(); }
  void feed(std::span<const float> samples);
  /// Moves waiting blocks into the seat; false when some are left.
  bool pump();
  void clear();
  bool has_heard() const noexcept { return has_heard_; }

 private:
  Seat* seat_;
  audio::Resampler resampler_;
  audio::Framer framer_;
  std::vector<float> resampled_, block_;
  bool has_block_ = false;
  bool has_heard_ = false;
};

/// When a conversation ends by its limits, and when to say so before.
class LimitWatch {
 public:
  enum class Event { kNone, kWarnLength, kWarnIdle, kEndLength, kEndIdle };
  LimitWatch(const SessionLimits& limits, Clock::time_point start);
  void touch(Clock::time_point now) noexcept;  ///< The client sent audio.
  void set_idle(double idle_s) noexcept { limits_.idle_s = idle_s; }
  Event check(Clock::time_point now) noexcept;

 private:
  SessionLimits limits_;
  Clock::time_point start_, last_;
  bool length_warned_ = false, idle_warned_ = false;
};

}  // namespace duet::server
