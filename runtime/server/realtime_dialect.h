#pragma once
// OpenAI's Realtime protocol on /v1/realtime, over a model that decides by itself when to speak.
// Event by event: docs/realtime.md. Steps follow the wall clock; each turn of the agent becomes a
// response, each stretch of the user's speech an item. Response audio comes in real time, its first
// delta one step (80 ms) of it ahead, so that a client that plays at once does not run dry.
//
// Clients that ask for vLLM-Omni's duplex extensions get them besides (profile kDuplex, or a first
// session.update that has one of their fields).

#include <functional>
#include <memory>
#include <string>

#include "codecs/wire/realtime_session.h"
#include "runtime/server/companion.h"
#include "runtime/server/dialect.h"
#include "runtime/server/relay_link.h"

namespace duet::server {

struct RealtimeDialectOptions {
  wire::RealtimeSession::Config session = {};
  SessionLimits limits = {};
  std::size_t max_items = 1000;  ///< Of the conversation; older ones are forgotten.
  /// Makes the conversation one that can be resumed, now or anew, and returns the token for it.
  std::function<std::string()> make_resumable = [] { return std::string(); };
};

/// `link`, `seat`, `metrics` and `companion` must outlive it.
std::unique_ptr<Dialect> make_realtime_dialect(RelayLink& link, Seat& seat, Metrics& metrics,
                                               Companion& companion,
                                               const RealtimeDialectOptions& options);
/// What a client hears when all seats are taken: rate_limit_error, then close 1013.
void refuse_realtime(Link& link, wire::RealtimeProfile profile);

}  // namespace duet::server
