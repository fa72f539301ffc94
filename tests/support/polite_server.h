#pragma once
// Conducts of a FakeServer: servers that behave, of both protocols.

#include <cstdint>
#include <functional>
#include <string>

#include "tests/support/fake_server.h"

namespace duet::support {

/// The polite engine behind Moshi's protocol. `on_step` may spoil a connection: false ends it.
void serve_moshi(FakeServer::Peer& peer, const std::function<bool(std::int64_t)>& on_step = {});

/// An OpenAI server that answers 0.4 s after the user's sound with 6 s at once, as hosted models
/// do, and announces speech after 60 ms of it. `truncated`: the event that told it what was heard.
void serve_openai(FakeServer::Peer& peer, std::string& truncated);
/// The beginning of an OpenAI session; false when the client did not ask for 24 kHz.
bool open_session(FakeServer::Peer& peer);
/// A response.output_audio.delta with a tone.
std::string audio_delta(double seconds);

}  // namespace duet::support
