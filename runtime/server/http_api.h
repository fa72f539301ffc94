#pragma once
// What the server answers to plain HTTP requests. No sockets.

#include <string>
#include <vector>

#include "runtime/server/access.h"
#include "runtime/server/delegate.h"
#include "runtime/server/scheduler.h"

namespace duet::server {

struct HttpReply {
  int status = 200;
  std::string type = "text/plain; charset=utf-8";
  std::string body = {};
  bool is_page = false;  ///< Gets the headers that confine a web page.
};

/// What the answers are about. Must outlive the calls.
struct ServerState {
  const ServerConfig* config = nullptr;
  Scheduler* scheduler = nullptr;
  Metrics* metrics = nullptr;
  Access* access = nullptr;
  Delegate* delegate = nullptr;  ///< Null: the operator has no program.
  std::atomic<bool> is_draining{false};
};

/// GET: /, page files, /healthz, /readyz (503 while full or draining), /metrics, /api/build_info,
/// /v1/models. POST: /v1/realtime/client_secrets. Wrong host, origin or token: 403 and 401; health,
/// readiness and the page need no token.
HttpReply answer(ServerState& state, const RequestHead& request);

/// Whether a new conversation would find a seat.
bool is_full(const ServerState& state);
/// 403 or 401 for what may not connect; status 200 when it may.
HttpReply check_access(ServerState& state, const RequestHead& request);

}  // namespace duet::server
