#include "runtime/server/opener.h"

#include <utility>

#include "codecs/wire/duplex_events.h"
#include "codecs/wire/duplex_writer.h"
#include "codecs/wire/moshi_frame.h"
#include "codecs/wire/moshi_query.h"
#include "runtime/core/version.h"
#include "runtime/server/live_dialect.h"
#include "runtime/server/moshi_dialect.h"
#include "runtime/server/realtime_dialect.h"

namespace duet::server {
namespace {

bool is_true(std::string_view value) { return value == "1" || value == "true" || value == "on"; }

/// Twice what a client may have queued: half a minute of audio as base64.
std::size_t journal_bytes(const ServerConfig& config) { return 2 * config.max_queued_bytes; }

wire::RealtimeProfile profile_of(const OpenRequest& request) {
  if (request.protocol == Protocol::kDuplex) return wire::RealtimeProfile::kDuplex;
  return request.beta.find("realtime=v1") != std::string::npos ? wire::RealtimeProfile::kBeta
                                                               : wire::RealtimeProfile::kGa;
}

Companion::Config companion_config(const ServerState& state, const std::string& id) {
  return {.session_id = id,
          .watchdog = {.silent_s = state.config->watchdog_silent_s},
          .delegate = state.delegate,
          .recording_folder = state.config->recording_folder};
}

std::unique_ptr<Dialect> live_dialect(const ServerState& state, Conversation& conversation) {
  LiveDialectOptions options;
  options.session_id = conversation.id;
  options.limits = state.config->limits;
  options.has_delegate = state.delegate != nullptr;
  return make_live_dialect(conversation.link, *conversation.seat, *state.metrics,
                           *conversation.companion, options);
}

std::unique_ptr<Dialect> moshi_dialect(const ServerState& state, const wire::MoshiQuery& query,
                                       Conversation& conversation) {
  MoshiDialectOptions options;
  options.query = query;
  options.info = {.model_name = state.scheduler->info().model_name,
                  .codec_name = "opus",
                  .instance_name = state.config->instance_name,
                  .version = core::version(),
                  .commit = core::commit(),
                  .build_date = ""};
  options.limits = state.config->limits;
  return make_moshi_dialect(conversation.link, *conversation.seat, *state.metrics,
                            *conversation.companion, options);
}

std::unique_ptr<Dialect> realtime_dialect(const ServerState& state, const OpenRequest& request,
                                          Conversation& conversation) {
  using namespace std::chrono;
  RealtimeDialectOptions options;
  options.session.id = request.id;
  options.session.model = state.scheduler->info().model_name;
  options.session.profile = profile_of(request);
  options.session.expires_at_s =
      duration_cast<seconds>(system_clock::now().time_since_epoch()).count() +
      static_cast<std::int64_t>(state.config->limits.max_session_s);
  options.limits = state.config->limits;
  options.make_resumable = [c = &conversation] { return c->make_resumable(); };
  return make_realtime_dialect(conversation.link, *conversation.seat, *state.metrics,
                               *conversation.companion, options);
}

}  // namespace

Protocol protocol_of(std::string_view path, std::string_view query) {
  if (path == "/api/chat") return Protocol::kMoshi;
  if (path == "/v1/live/sessions") return Protocol::kLive;
  if (path == "/v1/duplex") return Protocol::kDuplex;
  if (path != "/v1/realtime") return Protocol::kNone;
  return is_true(query_value(query, "duplex")) ? Protocol::kDuplex : Protocol::kRealtime;
}

bool waits_for_client(Protocol protocol, std::string_view query) {
  return protocol == Protocol::kDuplex &&
         (query_value(query, "autostart") == "0" || !query_value(query, "resume").empty());
}

std::string make_session_id(Protocol protocol) {
  return (protocol == Protocol::kDuplex ? "duplex-" : "sess_") + random_hex(12);
}

std::shared_ptr<Conversation> make_conversation(const ServerState& state,
                                                const OpenRequest& request,
                                                std::function<std::string()> make_resumable) {
  const bool is_moshi = request.protocol == Protocol::kMoshi;
  wire::MoshiQuery query;
  SeatOptions options;
  options.session.temperature = state.config->temperature;
  options.is_wall_clock = !is_moshi;
  if (is_moshi) {
    query = wire::parse_moshi_query(request.query);
    options.session.seed = query.seed.value_or(query.text_seed.value_or(0));
  }
  auto conversation = std::make_shared<Conversation>(journal_bytes(*state.config));
  options.on_step = [bell = conversation->bell] { bell->ring(); };
  conversation->id = request.id;
  conversation->seat = state.scheduler->admit(std::move(options));
  if (!conversation->seat) return nullptr;
  conversation->make_resumable = std::move(make_resumable);
  conversation->companion = std::make_unique<Companion>(conversation->seat, *state.metrics,
                                                        companion_config(state, request.id));
  if (is_true(query_value(request.query, "allow_recording")))
    conversation->companion->consent_to_recording();
  if (is_moshi)
    conversation->dialect = moshi_dialect(state, query, *conversation);
  else if (request.protocol == Protocol::kLive)
    conversation->dialect = live_dialect(state, *conversation);
  else
    conversation->dialect = realtime_dialect(state, request, *conversation);
  return conversation;
}

void refuse_full(Link& link, const OpenRequest& request) {
  if (request.protocol == Protocol::kMoshi)
    refuse_moshi(link);
  else if (request.protocol == Protocol::kLive)
    refuse_live(link);
  else
    refuse_realtime(link, profile_of(request));
}

void tell_position(Link& link, const OpenRequest& request, int position) {
  const std::string number = std::to_string(position);
  if (request.protocol == Protocol::kMoshi)  // The one message that its web client shows.
    link.send_binary(wire::write_moshi_error("You are number " + number + " in the queue."),
                     Lane::kControl);
  if (request.protocol == Protocol::kDuplex)
    link.send_text("{\"type\":\"session.queued\",\"position\":" + number + '}', Lane::kControl);
}

void refuse_request(Link& link, const OpenRequest& request, const std::string& why) {
  if (request.protocol == Protocol::kMoshi)
    link.send_binary(wire::write_moshi_error(why), Lane::kControl);
  link.close(kClosePolicy, why.substr(0, 100));
}

std::unique_ptr<ResumeRequest> read_resume(std::string_view text) {
  if (text.find("session.resume") == std::string_view::npos) return nullptr;
  wire::DuplexReader reader;
  auto read = reader.read(text);
  auto* event = std::get_if<wire::DuplexEvent>(&read);
  if (event == nullptr || event->type != wire::DuplexEventType::kResume) return nullptr;
  return std::make_unique<ResumeRequest>(
      ResumeRequest{event->session_id, event->resume_token, event->server_event_seq});
}

}  // namespace duet::server
