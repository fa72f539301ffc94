#pragma once
// A WebSocket client (RFC 6455) for one thread that must not wait longer than it says: every call
// has its own limit. Pings are answered while receive() runs.

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/bench/system.h"
#include "runtime/client/url.h"

namespace duet::client {

struct Message {
  bool is_text = false;
  std::string data;
  std::span<const std::uint8_t> bytes() const noexcept {
    return {reinterpret_cast<const std::uint8_t*>(data.data()), data.size()};
  }
};

class WebSocket {
 public:
  using Clock = std::chrono::steady_clock;

  struct Options {
    std::vector<std::pair<std::string, std::string>> headers = {};
    Clock::time_point deadline;  ///< For look-up, connection, TLS and upgrade together.
    double write_timeout_s = 5.0;
    std::size_t max_message_bytes = 16u << 20;
  };

  /// `target`: path and query. wss:// checks the certificate against the system's authorities.
  /// Throws runtime::bench::ConnectError, naming what failed; a refusal other than 408, 429 and 5xx
  /// may not be retried.
  static std::unique_ptr<WebSocket> connect(const Url& url, const std::string& target,
                                            const Options& options);
  virtual ~WebSocket() = default;  ///< Cuts the connection.

  /// Throws runtime::bench::LostError: closed, or not taken within write_timeout_s.
  virtual void send_text(std::string_view text) = 0;
  virtual void send_binary(std::span<const std::uint8_t> bytes) = 0;
  /// The next message; nothing when none came before `deadline` (one that is already there is
  /// given even when it has passed). Throws LostError with the close code and reason.
  virtual std::optional<Message> receive(Clock::time_point deadline) = 0;
  /// Says good-bye, waiting a second at most for the answer; never throws.
  virtual void close() noexcept = 0;
};

}  // namespace duet::client
