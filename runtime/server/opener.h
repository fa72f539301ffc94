#pragma once
// From an upgraded request to a conversation: which protocol it is, whether there is a seat, which
// dialect speaks it. No sockets.

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "runtime/server/access.h"
#include "runtime/server/conversation.h"
#include "runtime/server/http_api.h"

namespace duet::server {

enum class Protocol { kNone, kMoshi, kRealtime, kDuplex, kLive };

/// By path and query: /api/chat, /v1/realtime, /v1/duplex or ?duplex=1,
/// /v1/live/sessions.
Protocol protocol_of(std::string_view path, std::string_view query);
/// The client speaks first: it may want to resume (?autostart=0 or ?resume=).
bool waits_for_client(Protocol protocol, std::string_view query);
/// A new conversation's id.
std::string make_session_id(Protocol protocol);

struct OpenRequest {
  Protocol protocol = Protocol::kNone;
  std::string query = {}, beta = {};  ///< As in RequestHead.
  std::string id = {};
};

/// A conversation with a seat and a dialect, its link attached to nothing and not yet open; null
/// when all seats are taken. `make_resumable`: as in RealtimeDialectOptions. Throws core::Error for
/// a query out of range.
std::shared_ptr<Conversation> make_conversation(const ServerState& state,
                                                const OpenRequest& request,
                                                std::function<std::string()> make_resumable);
/// What a client hears that finds all seats taken; closes.
void refuse_full(Link& link, const OpenRequest& request);
/// What a client hears that waits for a seat, where its protocol has a way to say so.
void tell_position(Link& link, const OpenRequest& request, int position);
/// What a client hears whose request was wrong; closes.
void refuse_request(Link& link, const OpenRequest& request, const std::string& why);

/// The session.resume in `text`; nothing when it is something else.
struct ResumeRequest {
  std::string session_id = {}, token = {};
  std::int64_t seq = 0;
};
std::unique_ptr<ResumeRequest> read_resume(std::string_view text);

}  // namespace duet::server
