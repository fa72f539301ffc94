#include "runtime/server/access.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#include <algorithm>
#include <array>

#include "runtime/core/error.h"

namespace duet::server {
namespace {

constexpr std::string_view kKeyProtocol = "openai-insecure-api-key.";
constexpr std::size_t kMaxSecrets = 1024;

/// Calls `visit` with each element of "a, b,c", blanks removed.
template <class Visit>
void each_element(std::string_view list, Visit visit) {
  while (!list.empty()) {
    std::string_view one = list.substr(0, list.find(','));
    list.remove_prefix(std::min(list.size(), one.size() + 1));
    while (!one.empty() && one.front() == ' ') one.remove_prefix(1);
    while (!one.empty() && one.back() == ' ') one.remove_suffix(1);
    if (!one.empty()) visit(one);
  }
}

/// "localhost:8998" without its port; "[::1]:8998" too.
std::string_view host_name(std::string_view host) {
  if (host.starts_with('[')) return host.substr(0, host.find(']') + 1);
  return host.substr(0, host.find(':'));
}

}  // namespace

std::string sha256(std::string_view text) {
  std::string out(SHA256_DIGEST_LENGTH, '\0');
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(),
         reinterpret_cast<unsigned char*>(out.data()));
  return out;
}

bool equal_in_constant_time(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

std::string random_hex(int num_bytes) {
  std::vector<unsigned char> bytes(static_cast<std::size_t>(num_bytes));
  DUET_CHECK(RAND_bytes(bytes.data(), num_bytes) == 1);
  std::string text;
  for (const unsigned char byte : bytes) {
    text += "0123456789abcdef"[byte >> 4U];
    text += "0123456789abcdef"[byte & 15U];
  }
  return text;
}

std::string query_value(std::string_view query, std::string_view name) {
  while (!query.empty()) {
    const std::string_view pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), pair.size() + 1));
    if (pair.size() > name.size() && pair.starts_with(name) && pair[name.size()] == '=')
      return std::string(pair.substr(name.size() + 1));
  }
  return {};
}

std::string choose_subprotocol(std::string_view offered) {
  std::string chosen;
  each_element(offered, [&](std::string_view one) {
    if (chosen.empty() && one.starts_with("realtime")) chosen = one;
  });
  return chosen;
}

Access::Access(const ServerConfig& config)
    : origins_(config.origins),
      hosts_(config.hosts),
      guards_host_(config.tokens.empty() && is_loopback(config.address)) {
  for (const auto& token : config.tokens) digests_.push_back(sha256(token));
}

bool Access::knows(std::string_view token) {
  const std::string shown = sha256(token);
  bool found = false;  // Every token is compared, whole: the time taken tells nothing.
  for (const auto& known : digests_)
    found |= CRYPTO_memcmp(shown.data(), known.data(), shown.size()) == 0;
  const std::lock_guard lock(mutex_);
  const auto secret = secrets_.find(shown);
  return found || (secret != secrets_.end() && std::chrono::steady_clock::now() < secret->second);
}

bool Access::has_token(const RequestHead& request) {
  if (digests_.empty()) return true;
  constexpr std::string_view kBearer = "Bearer ";
  std::vector<std::string> shown;
  if (request.authorization.starts_with(kBearer))
    shown.push_back(request.authorization.substr(kBearer.size()));
  shown.push_back(request.api_key);
  shown.push_back(query_value(request.query, "auth_id"));
  shown.push_back(query_value(request.query, "worker_auth_id"));
  each_element(request.protocols, [&](std::string_view one) {
    if (one.starts_with(kKeyProtocol)) shown.emplace_back(one.substr(kKeyProtocol.size()));
  });
  bool found = false;
  for (const auto& token : shown) found |= !token.empty() && knows(token);
  return found;
}

bool Access::is_origin_allowed(const RequestHead& request) const {
  if (request.origin.empty()) return true;
  const std::size_t scheme = request.origin.find("://");
  if (scheme != std::string::npos && !request.host.empty() &&
      request.origin.substr(scheme + 3) == request.host)
    return true;
  return std::any_of(origins_.begin(), origins_.end(), [&](const auto& allowed) {
    return allowed == "*" || allowed == request.origin;
  });
}

bool Access::is_host_allowed(const RequestHead& request) const {
  if (!guards_host_ || request.host.empty()) return true;
  const std::string_view name = host_name(request.host);
  return is_loopback(std::string(name)) || name == "[::1]" ||
         std::find(hosts_.begin(), hosts_.end(), name) != hosts_.end();
}

Access::Secret Access::make_secret(double ttl_s) {
  const auto ttl =
      std::chrono::seconds(std::clamp<std::int64_t>(static_cast<std::int64_t>(ttl_s), 10, 7200));
  Secret secret;
  secret.value = "ek_" + random_hex(24);
  const auto unix_now = std::chrono::system_clock::now().time_since_epoch();
  secret.expires_at_s = std::chrono::duration_cast<std::chrono::seconds>(unix_now + ttl).count();
  const auto now = std::chrono::steady_clock::now();
  const std::lock_guard lock(mutex_);
  std::erase_if(secrets_, [now](const auto& entry) { return entry.second <= now; });
  if (secrets_.size() >= kMaxSecrets)
    secrets_.erase(
        std::min_element(secrets_.begin(), secrets_.end(),
                         [](const auto& a, const auto& b) { return a.second < b.second; }));
  secrets_[sha256(secret.value)] = now + ttl;
  return secret;
}

}  // namespace duet::server
