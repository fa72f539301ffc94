#pragma once
// Who may connect: tokens (compared in constant time), ephemeral client secrets, the Origin that a
// browser shows, the Host by which a loopback server is called (against DNS rebinding).

#include <chrono>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/server/config.h"

namespace duet::server {

/// A request as far as access and routes need it. Header values as sent; absent: empty.
struct RequestHead {
  std::string method, path, query;
  std::string authorization, api_key;         ///< `Authorization`, `kyutai-api-key`.
  std::string origin, host, protocols, beta;  ///< ..., `Sec-WebSocket-Protocol`, `OpenAI-Beta`.
  std::string body;
};

/// Any thread.
class Access {
 public:
  explicit Access(const ServerConfig& config);

  /// Bearer token, kyutai-api-key, ?auth_id= or ?worker_auth_id=, or the subprotocol
  /// openai-insecure-api-key.KEY. True when no tokens are set.
  bool has_token(const RequestHead& request);
  /// No Origin, the server's own, or one of the configured ones.
  bool is_origin_allowed(const RequestHead& request) const;
  /// Loopback servers without tokens only answer to loopback's names and the configured ones.
  bool is_host_allowed(const RequestHead& request) const;

  struct Secret {
    std::string value;
    std::int64_t expires_at_s = 0;  ///< Unix time.
  };
  /// A secret that is as good as a token until it expires. `ttl_s` is clamped to 10 s .. 2 h. At
  /// most 1024 live at a time; the oldest goes first.
  Secret make_secret(double ttl_s);

 private:
  bool knows(std::string_view token);

  std::vector<std::string> digests_;  // SHA-256 of each token: equal lengths to compare.
  std::vector<std::string> origins_, hosts_;
  bool guards_host_ = false;
  std::mutex mutex_;                                                      // Guards secrets_.
  std::map<std::string, std::chrono::steady_clock::time_point> secrets_;  // By digest.
};

/// The first subprotocol offered that begins with "realtime"; empty when none does. ("a, b".)
std::string choose_subprotocol(std::string_view offered);
/// The value of `name` in "a=1&b=2", as sent; empty when it is not there.
std::string query_value(std::string_view query, std::string_view name);
/// `num_bytes` random bytes as hexadecimal digits, from OpenSSL's generator.
std::string random_hex(int num_bytes);
/// 32 bytes.
std::string sha256(std::string_view text);
/// In a time that does not tell how much of them is equal.
bool equal_in_constant_time(std::string_view a, std::string_view b);

}  // namespace duet::server
