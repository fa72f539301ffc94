#include "runtime/client/url.h"

#include <algorithm>
#include <cctype>

#include "runtime/core/error.h"

namespace duet::client {

namespace {

[[noreturn]] void fail(const std::string& text) {
  throw core::ConfigError({.subject = "--url",
                           .expected = "ws://host[:port][/path] or wss://...",
                           .found = "\"" + text + "\"",
                           .file = "",
                           .hint = ""});
}

bool is_port(const std::string& text) {
  return !text.empty() && text.size() <= 5 &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isdigit(c); }) &&
         std::stoi(text) >= 1 && std::stoi(text) <= 65535;
}

}  // namespace

Url parse_url(const std::string& text) {
  Url url;
  std::string rest;
  if (text.starts_with("ws://")) {
    rest = text.substr(5);
  } else if (text.starts_with("wss://")) {
    url.is_secure = true;
    rest = text.substr(6);
  } else {
    fail(text);
  }
  const std::size_t end = std::min(rest.find_first_of("/?#"), rest.size());
  std::string authority = rest.substr(0, end);
  url.target = rest.substr(end, rest.find('#') - end);
  if (url.target.starts_with("?")) url.target.insert(0, "/");
  const bool is_printable =
      std::all_of(rest.begin(), rest.end(), [](unsigned char c) { return c > 0x20 && c < 0x7f; });
  if (!is_printable || authority.find('@') != std::string::npos) fail(text);
  url.port = url.is_secure ? "443" : "80";
  std::size_t colon = authority.rfind(':');
  if (authority.starts_with("[")) {
    const std::size_t close = authority.find(']');
    if (close == std::string::npos) fail(text);
    url.host = authority.substr(1, close - 1);
    colon = close + 1 == authority.size() ? std::string::npos : close + 1;
    if (colon != std::string::npos && authority[colon] != ':') fail(text);
  } else {
    url.host = authority.substr(0, colon);
  }
  if (colon != std::string::npos) {
    url.port = authority.substr(colon + 1);
    if (!is_port(url.port)) fail(text);
  }
  if (url.host.empty()) fail(text);
  return url;
}

}  // namespace duet::client
