#pragma once
// The link of a conversation that may change its connection: messages go to whichever is attached,
// and, once journaling, are numbered and kept until the client acknowledges them, so that what got
// lost with a connection can be said again on the next.

#include <cstdint>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "runtime/server/dialect.h"

namespace duet::server {

/// The thread of whoever holds the conversation.
class RelayLink final : public Link {
 public:
  /// Journals hold at most `max_bytes`; the oldest go first.
  explicit RelayLink(std::size_t max_bytes) : max_bytes_(max_bytes) {}

  void attach(Link* target) noexcept { target_ = target; }
  void detach() noexcept { target_ = nullptr; }
  /// From now on every text message, a JSON object, gets a member `server_event_seq`, from 1.
  void start_journal() noexcept { is_journaling_ = true; }
  bool is_journaling() const noexcept { return is_journaling_; }
  bool is_closed() const noexcept { return is_closed_; }  ///< close() was called.

  void send_text(std::string message, Lane lane) override;
  void send_binary(std::vector<std::uint8_t> message, Lane lane) override;
  void close(int code, const std::string& reason) override;

  /// Not kept, with the number of the last message (`seq`) that the client has already.
  void send_aside(std::string message, std::int64_t seq);
  /// The client has everything up to `seq`.
  void acknowledge(std::int64_t seq);
  /// Whether everything after `seq` is still there.
  bool can_replay_from(std::int64_t seq) const noexcept { return seq + 1 >= oldest_seq(); }
  void replay_from(std::int64_t seq);
  std::int64_t last_seq() const noexcept { return last_seq_; }
  /// The first that can be replayed; last_seq() + 1 when none can.
  std::int64_t oldest_seq() const noexcept {
    return last_seq_ - static_cast<std::int64_t>(kept_.size()) + 1;
  }
  std::size_t num_bytes() const noexcept { return num_bytes_; }

 private:
  Link* target_ = nullptr;
  std::size_t max_bytes_, num_bytes_ = 0;
  std::deque<std::string> kept_;  // The last is number last_seq_.
  std::int64_t last_seq_ = 0;
  bool is_journaling_ = false, is_closed_ = false;
};

}  // namespace duet::server
