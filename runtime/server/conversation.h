#pragma once
// A conversation apart from the connection that carries it. It has one holder at a time: a
// connection, or the lobby while its client is away; only the holder touches it.

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "runtime/server/companion.h"
#include "runtime/server/dialect.h"
#include "runtime/server/relay_link.h"
#include "runtime/server/scheduler.h"

namespace duet::server {

/// Whom the inference thread tells of a new step. Its lock is held for one copy at a time.
class StepBell {
 public:
  void set(std::function<void()> ring) {
    const std::lock_guard lock(mutex_);
    ring_ = std::move(ring);
  }
  void ring() const {  ///< Inference thread.
    std::function<void()> ring;
    {
      const std::lock_guard lock(mutex_);
      ring = ring_;
    }
    if (ring) ring();
  }

 private:
  mutable std::mutex mutex_;
  std::function<void()> ring_;
};

struct Conversation {
  explicit Conversation(std::size_t journal_bytes) : link(journal_bytes) {}
  ~Conversation() {
    if (seat) seat->leave();
  }
  Conversation(const Conversation&) = delete;
  Conversation& operator=(const Conversation&) = delete;

  std::string id;
  std::function<std::string()> make_resumable;  ///< Set by the holder: see RealtimeDialectOptions.
  RelayLink link;
  std::shared_ptr<StepBell> bell = std::make_shared<StepBell>();
  std::shared_ptr<Seat> seat;
  std::unique_ptr<Companion> companion;
  std::unique_ptr<Dialect> dialect;  ///< Last, as it refers to the others.

  /// Whether a dropped connection is to keep it.
  bool is_resumable() const noexcept { return link.is_journaling() && !link.is_closed(); }
};

/// A connection as the rest of the server sees it. Any thread.
class Peer {
 public:
  virtual ~Peer() = default;
  virtual void shut_down() = 0;
  /// The server drains: `left_s` until it closes.
  virtual void warn(double left_s) = 0;
  /// Gives its conversation up to `take`, which is called on this connection's thread, with nothing
  /// when it has none any more.
  virtual void hand_over(std::function<void(std::shared_ptr<Conversation>)> take) = 0;
};

}  // namespace duet::server
