#pragma once
// OpenAI's Realtime protocol on /v1/realtime, over a model that decides by itself when to speak.
// Event by event: docs/realtime.md. Steps follow the wall clock; each turn of the agent becomes a
// response, each stretch of the user's speech an item. Response audio comes in real time, its first
// delta one step (80 ms) of it ahead, so that a client that plays at once does not run dry.

#include <memory>

#include "codecs/wire/realtime_session.h"
#include "runtime/server/dialect.h"

namespace duet::server {

struct RealtimeDialectOptions {
  wire::RealtimeSession::Config session = {};
  SessionLimits limits = {};
  std::size_t max_items = 1000;  ///< Of the conversation; older ones are forgotten.
};

/// `link`, `seat` and `metrics` must outlive it.
std::unique_ptr<Dialect> make_realtime_dialect(Link& link, Seat& seat, Metrics& metrics,
                                               const RealtimeDialectOptions& options);
/// What a client hears when all seats are taken: rate_limit_error, then close 1013.
void refuse_realtime(Link& link, wire::RealtimeProfile profile);

}  // namespace duet::server
