#pragma once
// Where a server is.

#include <string>

namespace duet::client {

/// ws:// or wss://.
struct Url {
  bool is_secure = false;
  std::string host;    ///< Without the brackets of an IPv6 address.
  std::string port;    ///< As given, else 80 or 443.
  std::string target;  ///< Path and query; empty when the URL has neither.
};

/// Throws core::ConfigError: another scheme, no host, a port that is none, user names.
Url parse_url(const std::string& text);

}  // namespace duet::client
