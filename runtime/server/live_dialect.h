#pragma once
// OpenAI's GPT-Live protocol on /v1/live/sessions (codecs/wire/live_events.h): one continuous
// stream of the agent's audio, silence included, with transcripts of both sides. No event begins,
// cancels or cuts speech, which is how the model works anyway. Steps follow the wall clock.
//
// Delegation of type "client": after each turn of the user the client is asked
// (session.delegation.created); what it answers by session.commentary.append is said by the agent.
// "responses": the operator's program is asked instead. Both are refused where the model cannot be
// given words, the latter also where there is no program.

#include <memory>
#include <string>

#include "runtime/server/companion.h"
#include "runtime/server/dialect.h"

namespace duet::server {

struct LiveDialectOptions {
  std::string session_id = {};
  SessionLimits limits = {};
  double start_timeout_s = 15.0;  ///< For session.start.
  bool has_delegate = false;      ///< The operator has a program.
};

/// `link`, `seat`, `metrics` and `companion` must outlive it.
std::unique_ptr<Dialect> make_live_dialect(Link& link, Seat& seat, Metrics& metrics,
                                           Companion& companion, const LiveDialectOptions& options);
/// What a client hears when all seats are taken: rate_limit_error, then close 1013.
void refuse_live(Link& link);

}  // namespace duet::server
