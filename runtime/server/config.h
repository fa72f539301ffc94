#pragma once
// Settings of `duet serve`. From a file (YAML or JSON), then --set, then the command's flags;
// docs/server.md has the table.

#include <cstddef>
#include <string>
#include <vector>

#include "runtime/core/config_reader.h"
#include "runtime/server/dialect.h"

namespace duet::server {

struct ServerConfig {
  std::string address = "127.0.0.1";  ///< To listen on.
  int port = 8998;                    ///< Moshi's; 0: any free one.
  int max_sessions = 0;               ///< 0: measured at start.
  int inference_threads = 0;          ///< That step the model; 0: one a core.
  int network_threads = 1;
  std::vector<std::string> tokens = {};   ///< One of them must be shown; none: anybody may connect.
  bool allow_anonymous = false;           ///< Needed to listen beyond loopback without tokens.
  std::vector<std::string> origins = {};  ///< Besides the server's own; "*": all.
  std::vector<std::string> hosts = {};    ///< Names by which it may be called besides loopback's.
  std::string tls_cert, tls_key;          ///< PEM files; both or none.
  SessionLimits limits = {};
  int max_connections = 256;
  int max_connections_per_address = 16;
  std::size_t max_message_bytes = 21u << 20;  ///< Of Realtime; Moshi's have 1 MiB.
  double max_messages_per_s = 1000.0;         ///< Of a connection; faster ones are read later.
  std::size_t max_queued_bytes = 2u << 20;    ///< To a slow reader, before audio is dropped.
  double resume_grace_s = 30.0;  ///< A dropped connection keeps its conversation; 0: not.
  int queue_max_waiting = 0;  ///< Clients that may wait for a seat; 0: who comes late is refused.
  double queue_max_wait_s = 120.0;     ///< How long.
  bool refuse_before_upgrade = false;  ///< Full: HTTP 503, for a balancer that then asks another.
  double watchdog_silent_s = 0.0;      ///< After a turn of the user, then the agent speaks; 0: off.
  std::vector<std::string> delegate_command = {};  ///< The operator's program: delegate.h.
  double delegate_timeout_s = 5.0;
  std::string recording_folder = {};  ///< For conversations whose client agrees; empty: none.
  double drain_s = 30.0;              ///< On SIGTERM conversations may go on so long.
  double temperature = 0.0;           ///< Of every conversation.
  std::string instance_name = "duet";

  /// Throws core::ConfigError naming the key.
  void validate() const;
};

/// Reads every key of `reader`; unknown keys are errors.
ServerConfig read_server_config(const core::ConfigReader& reader);
/// Settings from the environment: DUET_SERVE_ADDRESS, DUET_SERVE_PORT, DUET_SERVE_MAX_SESSIONS, and
/// DUET_SERVE_TOKENS, divided by commas, which are added to those that are set. `get` is getenv.
void read_environment(ServerConfig& config, const char* (*get)(const char*));
/// As YAML that read_server_config takes; tokens are not shown.
std::string to_yaml(const ServerConfig& config);
bool is_loopback(const std::string& address);

}  // namespace duet::server
