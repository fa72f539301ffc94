#pragma once
// A blocking HTTP and WebSocket client for tests of the server.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace duet::support {

using Headers = std::vector<std::pair<std::string, std::string>>;

struct WebReply {
  int status = 0;  ///< 0: no answer.
  std::string type, body;
};
WebReply http_request(int port, const std::string& method, const std::string& target,
                      const std::string& body = "", const Headers& headers = {});

struct WebMessage {
  bool is_text = false;
  std::string data;
};

class WebSocketClient {
 public:
  /// Throws std::runtime_error when the upgrade is refused.
  WebSocketClient(int port, const std::string& target, const Headers& headers = {},
                  bool use_tls = false);
  ~WebSocketClient();
  void send_text(const std::string& text);
  void send_binary(const std::string& bytes);
  void send_binary(const std::vector<std::uint8_t>& bytes);
  /// The next message; nothing when the server closed or `timeout_s` passed (then the connection is
  /// gone).
  std::optional<WebMessage> read(double timeout_s = 5.0);
  int close_code() const;  ///< Of the server's close frame; 0 before.
  std::string subprotocol() const;
  void close();
  void drop();  ///< Cuts the connection without a word.

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace duet::support
