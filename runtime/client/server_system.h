#pragma once
// A server under test: a conversation over the network in real time, as a client of its protocol
// would have it. Moshi's binary protocol over Ogg-Opus, and OpenAI Realtime (general availability;
// the audio names of the beta are understood).
//
// The agent's channel. Moshi sends one unbroken stream that its client's audio drives: sample n of
// it lies one step after sample n of what was sent, whenever it came (as Full-Duplex-Bench's client
// aligns it); how late it came is the lag. OpenAI Realtime sends speech only, in bursts ahead of
// time: a client plays it from the moment it comes, so it lies at the number of samples sent by
// then, one after the other; what is still to be played when the user's speech is announced or the
// response is cancelled is dropped, and the server told (conversation.item.truncate).

#include <memory>
#include <string>

#include "runtime/bench/system.h"

namespace duet::client {

enum class Protocol { kMoshi, kOpenAi };

struct ServerOptions {
  std::string url;  ///< Without a path: the protocol's own, /api/chat or /v1/realtime.
  Protocol protocol = Protocol::kMoshi;
  std::string model = {};           ///< OpenAI: ?model=, unless the URL has one.
  std::string api_key = {};         ///< Sent as "Authorization: Bearer ..." unless empty.
  double connect_timeout_s = 10.0;  ///< Until the protocol's first word; 0.1 to 600.
  int connect_attempts = 3;         ///< 1 to 20, a growing pause between them.
  double stall_timeout_s = 4.0;     ///< Without audio (Moshi) or inside a response; 0.1 to 600.
  double max_lag_s = 5.0;           ///< Moshi: how far its stream may trail; 0.1 to 600.
  double pace = 1.0;                ///< Seconds of audio a second of clock: more only for tests.
  /// Throws core::ConfigError.
  void validate() const;
};

/// Throws core::ConfigError for the options; connects only when asked to.
std::unique_ptr<runtime::bench::System> make_server_system(const ServerOptions& options);

}  // namespace duet::client
