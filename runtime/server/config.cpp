#include "runtime/server/config.h"

#include <cstdlib>
#include <sstream>
#include <type_traits>

#include "runtime/core/error.h"

namespace duet::server {
namespace {

[[noreturn]] void fail(const char* key, const std::string& expected, const std::string& found,
                       const std::string& hint = "") {
  throw core::ConfigError(
      {.subject = key, .expected = expected, .found = found, .file = {}, .hint = hint});
}

template <class T>
void check_range(const char* key, T value, T min, T max) {
  if (value >= min && value <= max) return;
  std::ostringstream expected;
  expected << min << " to " << max;
  std::ostringstream found;
  found << value;
  fail(key, expected.str(), found.str());
}

std::string yaml_list(const std::vector<std::string>& values) {
  std::string text = "[";
  for (const auto& value : values) text += (text.size() > 1 ? ", \"" : "\"") + value + '"';
  return text + "]";
}

}  // namespace

bool is_loopback(const std::string& address) {
  return address.starts_with("127.") || address == "::1" || address == "localhost";
}

void ServerConfig::validate() const {
  check_range("port", port, 0, 65535);
  check_range("max_sessions", max_sessions, 0, 1024);
  check_range("inference_threads", inference_threads, 0, 256);
  check_range("network_threads", network_threads, 1, 64);
  check_range("limits.max_session_s", limits.max_session_s, 1.0, 1e7);
  check_range("limits.idle_s", limits.idle_s, 1.0, 1e7);
  check_range("limits.warning_s", limits.warning_s, 0.0, 1e5);
  check_range("max_connections", max_connections, 1, 100000);
  check_range("max_connections_per_address", max_connections_per_address, 1, 100000);
  check_range<std::size_t>("max_message_bytes", max_message_bytes, 1u << 16, 64u << 20);
  check_range("max_messages_per_s", max_messages_per_s, 1.0, 1e6);
  check_range<std::size_t>("max_queued_bytes", max_queued_bytes, 1u << 16, 1u << 30);
  check_range("resume_grace_s", resume_grace_s, 0.0, 3600.0);
  check_range("queue.max_waiting", queue_max_waiting, 0, 10000);
  check_range("queue.max_wait_s", queue_max_wait_s, 1.0, 3600.0);
  check_range("watchdog.silent_s", watchdog_silent_s, 0.0, 3600.0);
  check_range("delegate.timeout_s", delegate_timeout_s, 0.1, 60.0);
  check_range("drain_s", drain_s, 0.0, 3600.0);
  check_range("temperature", temperature, 0.0, 2.0);
  if (tls_cert.empty() != tls_key.empty())
    fail(tls_cert.empty() ? "tls_cert" : "tls_key", "a PEM file beside the other one", "nothing");
  for (const auto& token : tokens)
    if (token.size() < 8) fail("tokens", "at least 8 characters each", "a shorter one");
  if (!is_loopback(address) && tokens.empty() && !allow_anonymous)
    fail("tokens", "at least one when listening beyond loopback (" + address + ")", "none",
         "set tokens, or allow_anonymous where others keep strangers out");
}

ServerConfig read_server_config(const core::ConfigReader& reader) {
  ServerConfig config;
  const auto integer = [&](const char* key, auto& value) {
    using Value = std::remove_reference_t<decltype(value)>;
    value = static_cast<Value>(
        reader.get_int(key, static_cast<std::int64_t>(value), core::IntRange{0, 1 << 30}));
  };
  config.address = reader.get_string("address", config.address);
  integer("port", config.port);
  integer("max_sessions", config.max_sessions);
  integer("inference_threads", config.inference_threads);
  integer("network_threads", config.network_threads);
  config.tokens = reader.get_string_list("tokens", config.tokens);
  config.allow_anonymous = reader.get_bool("allow_anonymous", config.allow_anonymous);
  config.origins = reader.get_string_list("origins", config.origins);
  config.hosts = reader.get_string_list("hosts", config.hosts);
  config.tls_cert = reader.get_string("tls_cert", config.tls_cert);
  config.tls_key = reader.get_string("tls_key", config.tls_key);
  const auto limits = reader.sub_or_empty("limits");
  config.limits.max_session_s = limits.get_double("max_session_s", config.limits.max_session_s);
  config.limits.idle_s = limits.get_double("idle_s", config.limits.idle_s);
  config.limits.warning_s = limits.get_double("warning_s", config.limits.warning_s);
  integer("max_connections", config.max_connections);
  integer("max_connections_per_address", config.max_connections_per_address);
  integer("max_message_bytes", config.max_message_bytes);
  config.max_messages_per_s = reader.get_double("max_messages_per_s", config.max_messages_per_s);
  integer("max_queued_bytes", config.max_queued_bytes);
  config.resume_grace_s = reader.get_double("resume_grace_s", config.resume_grace_s);
  const auto queue = reader.sub_or_empty("queue");
  config.queue_max_waiting = static_cast<int>(
      queue.get_int("max_waiting", config.queue_max_waiting, core::IntRange{0, 10000}));
  config.queue_max_wait_s = queue.get_double("max_wait_s", config.queue_max_wait_s);
  config.refuse_before_upgrade =
      reader.get_bool("refuse_before_upgrade", config.refuse_before_upgrade);
  config.watchdog_silent_s =
      reader.sub_or_empty("watchdog").get_double("silent_s", config.watchdog_silent_s);
  const auto delegate = reader.sub_or_empty("delegate");
  config.delegate_command = delegate.get_string_list("command", config.delegate_command);
  config.delegate_timeout_s = delegate.get_double("timeout_s", config.delegate_timeout_s);
  config.recording_folder =
      reader.sub_or_empty("recording").get_string("folder", config.recording_folder);
  config.drain_s = reader.get_double("drain_s", config.drain_s);
  config.temperature = reader.get_double("temperature", config.temperature);
  config.instance_name = reader.get_string("instance_name", config.instance_name);
  reader.finish();
  return config;
}

void read_environment(ServerConfig& config, const char* (*get)(const char*)) {
  const auto number = [get](const char* name, int& value) {
    const char* text = get(name);
    if (text == nullptr || *text == '\0') return;
    char* end = nullptr;
    const long parsed = std::strtol(text, &end, 10);
    if (*end != '\0' || parsed < 0 || parsed > 65535) fail(name, "a number", text);
    value = static_cast<int>(parsed);
  };
  if (const char* address = get("DUET_SERVE_ADDRESS"); address != nullptr && *address != '\0')
    config.address = address;
  number("DUET_SERVE_PORT", config.port);
  number("DUET_SERVE_MAX_SESSIONS", config.max_sessions);
  if (const char* tokens = get("DUET_SERVE_TOKENS")) {
    std::istringstream list(tokens);
    for (std::string token; std::getline(list, token, ',');)
      if (!token.empty()) config.tokens.push_back(token);
  }
}

std::string to_yaml(const ServerConfig& config) {
  std::ostringstream text;
  text << std::boolalpha << "address: \"" << config.address << "\"\nport: " << config.port
       << "\nmax_sessions: " << config.max_sessions
       << "\ninference_threads: " << config.inference_threads
       << "\nnetwork_threads: " << config.network_threads << "\n# tokens: " << config.tokens.size()
       << " set, not shown\nallow_anonymous: " << config.allow_anonymous
       << "\norigins: " << yaml_list(config.origins) << "\nhosts: " << yaml_list(config.hosts)
       << "\ntls_cert: \"" << config.tls_cert << "\"\ntls_key: \"" << config.tls_key
       << "\"\nlimits:\n  max_session_s: " << config.limits.max_session_s
       << "\n  idle_s: " << config.limits.idle_s << "\n  warning_s: " << config.limits.warning_s
       << "\nmax_connections: " << config.max_connections
       << "\nmax_connections_per_address: " << config.max_connections_per_address
       << "\nmax_message_bytes: " << config.max_message_bytes
       << "\nmax_messages_per_s: " << config.max_messages_per_s
       << "\nmax_queued_bytes: " << config.max_queued_bytes
       << "\nresume_grace_s: " << config.resume_grace_s
       << "\nqueue:\n  max_waiting: " << config.queue_max_waiting
       << "\n  max_wait_s: " << config.queue_max_wait_s
       << "\nrefuse_before_upgrade: " << config.refuse_before_upgrade
       << "\nwatchdog:\n  silent_s: " << config.watchdog_silent_s
       << "\ndelegate:\n  command: " << yaml_list(config.delegate_command)
       << "\n  timeout_s: " << config.delegate_timeout_s << "\nrecording:\n  folder: \""
       << config.recording_folder << "\"\ndrain_s: " << config.drain_s
       << "\ntemperature: " << config.temperature << "\ninstance_name: \"" << config.instance_name
       << "\"\n";
  return text.str();
}

}  // namespace duet::server
