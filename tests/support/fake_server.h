#pragma once
// A WebSocket server on loopback whose conduct is a script, for tests of clients: one thread a
// connection, blocking calls.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "tests/support/web_client.h"

namespace duet::support {

class FakeServer {
 public:
  class Peer {
   public:
    virtual ~Peer() = default;
    /// The next message; nothing once the client is gone.
    virtual std::optional<WebMessage> read() = 0;
    virtual void send_text(const std::string& text) = 0;
    virtual void send_binary(std::span<const std::uint8_t> bytes) = 0;
    virtual void close(int code, const std::string& reason) = 0;
    virtual std::string target() const = 0;         ///< Of the upgrade.
    virtual std::string authorization() const = 0;  ///< The same.
  };
  using Script = std::function<void(Peer&)>;

  /// `script` is the conduct of every connection; when it returns, the connection is cut.
  explicit FakeServer(Script script);
  /// Answers every connection with these bytes and cuts it: no WebSocket at all.
  explicit FakeServer(std::string raw_answer);
  ~FakeServer();
  int port() const noexcept;
  int num_connections() const noexcept;
  std::string url() const { return "ws://127.0.0.1:" + std::to_string(port()); }

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace duet::support
