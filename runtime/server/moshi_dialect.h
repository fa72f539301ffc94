#pragma once
// Moshi's protocol on /api/chat: Ogg-Opus both ways, the client's audio is the clock. Source:
// kyutai-labs/moshi, rust/protocol.md; codecs/wire/moshi_frame.h says how strict clients are.
// Sent: metadata, the handshake, then for every block heard one audio message of 80 ms and, where
// there are any, the words. Taken: anything; what is no frame, or no audio, is counted and ignored.

#include <memory>

#include "codecs/wire/moshi_query.h"
#include "runtime/server/companion.h"
#include "runtime/server/dialect.h"

namespace duet::server {

struct MoshiDialectOptions {
  wire::MoshiQuery query = {};
  wire::MoshiServerInfo info = {};
  SessionLimits limits = {};
  int opus_bitrate_bps = 32000;
};

/// `link`, `seat`, `metrics` and `companion` must outlive it.
std::unique_ptr<Dialect> make_moshi_dialect(Link& link, Seat& seat, Metrics& metrics,
                                            Companion& companion,
                                            const MoshiDialectOptions& options);
/// What a client hears when all seats are taken: an error message, then close 1013.
void refuse_moshi(Link& link);

}  // namespace duet::server
