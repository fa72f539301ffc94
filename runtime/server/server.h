#pragma once
// The server: one port for the web page, health, metrics and the WebSockets /api/chat (Moshi) and
// /v1/realtime (OpenAI Realtime). Network threads move messages, the scheduler's thread steps.

#include <memory>

#include "runtime/engine.h"
#include "runtime/server/config.h"
#include "runtime/server/metrics.h"

namespace duet::server {

class Server {
 public:
  /// Listens and serves from here on. `engine` must outlive it. config.max_sessions 0 measures the
  /// engine first (about a second). Throws core::ConfigError for the configuration, DeviceError
  /// when the port cannot be had, LoadError for the TLS files.
  Server(const runtime::Engine& engine, const ServerConfig& config);
  ~Server();  ///< Closes everything at once.
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  int port() const noexcept;
  int max_sessions() const noexcept;
  const Metrics& metrics() const noexcept;

  /// Refuses new conversations, says so on /readyz, lets conversations go on for up to
  /// config.drain_s, then closes them with 1001. Returns when all are gone, at most 3 s later.
  void drain();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace duet::server
