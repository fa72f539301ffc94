// vLLM-Omni's duplex extensions of a Realtime conversation: codecs/wire/duplex_events.h.

#include <algorithm>
#include <utility>

#include "runtime/server/realtime_conversation.h"

namespace duet::server {

using wire::DuplexEvent;
using wire::DuplexEventType;

void RealtimeConversation::become_duplex() {
  duplex_ = std::make_unique<Duplex>();
  session_.set_profile(wire::RealtimeProfile::kDuplex);
  duplex_->state.session_id = options_.session.id;
  duplex_->state.step_s = seat_->info().step_seconds;
  link_->start_journal();
  duplex_->resume_token = options_.make_resumable();
  response_.set_hooks(
      {.before_audio = [this] { send(duplex_->writer.response_speak(duplex_state())); },
       .audio_members =
           [this](double generated_ms, double sent_ms) {
             duplex_->ledger.add(generated_ms, sent_ms);
             return wire::audio_delta_members(duplex_state(), session_.settings().output_format);
           },
       .item_created =
           [this](std::string_view added) { return duplex_->writer.item_created(added); }});
}

double RealtimeConversation::idle_limit_s() const noexcept {
  const double asked = duplex_->reader.settings().idle_timeout_s;
  return asked > 0.0 ? std::min(asked, options_.limits.idle_s) : options_.limits.idle_s;
}

const wire::DuplexState& RealtimeConversation::duplex_state() {
  wire::DuplexState& state = duplex_->state;
  state.resume_token = duplex_->resume_token;
  state.response_id = response_.is_open() ? response_.id() : "";
  state.playback = duplex_->ledger.current();
  state.idle_timeout_s = idle_limit_s();
  const bool speaks = response_.is_open(), hears = clock_.user_speaks();
  state.turn_state = speaks && hears      ? "barge_in"
                     : speaks             ? "assistant_generating"
                     : hears              ? "user_speaking"
                     : user_.is_committed ? "user_committed"
                                          : "idle";
  return state;
}

std::string RealtimeConversation::session_event(const char* type) {
  return duplex_->writer.session(type, session_, duplex_->reader.settings(), duplex_state());
}

void RealtimeConversation::handle(const DuplexEvent& event) {
  wire::DuplexWriter& writer = duplex_->writer;
  switch (event.type) {
    case DuplexEventType::kHeartbeat:
      limits_.touch(Clock::now());
      return send(writer.heartbeat_ack(duplex_state()));
    case DuplexEventType::kEventAck: return link_->acknowledge(event.server_event_seq);
    case DuplexEventType::kClose:
      end_response(wire::ResponseStatus::kIncomplete, "");
      send(writer.closed(duplex_state(), "client_close"));
      return link_->close(kCloseNormal, "closed by the client");
    case DuplexEventType::kResume:
      return refuse(event.event_id, "session_exists", "this connection has a session already");
    case DuplexEventType::kNoSpeechCommit:
      heard_s_ = 0.0;
      user_.is_open = false;
      return send(writer.response_listen(duplex_state(), "no_speech"));
    case DuplexEventType::kInputCancel:
      clear_input();
      ++duplex_->state.epoch;
      return send(writer_.input_audio_cleared());
    case DuplexEventType::kTextAppend:
      return refuse(event.event_id, "native_text_append_unsupported",
                    "the model hears; it reads no text");
    case DuplexEventType::kOutputClear: {
      const wire::DuplexState before = duplex_state();
      interrupt("client_cancelled");
      return send(writer.output_cleared(before));
    }
    case DuplexEventType::kBargeIn: return interrupt("barge_in");
    case DuplexEventType::kTurnSignal: return send(writer.turn_event(duplex_state(), event));
    case DuplexEventType::kPlaybackAck: return acknowledge_playback(event);
  }
}

/// Cuts the response, if there is one; what was queued before is of a former epoch anyway.
void RealtimeConversation::interrupt(const char* reason) {
  if (response_.is_open())
    stop_response(reason);
  else
    ++duplex_->state.epoch;
}

void RealtimeConversation::acknowledge_playback(const DuplexEvent& event) {
  DuplexEvent ack = event;
  const PlaybackLedger::Answer answer = duplex_->ledger.acknowledge(event);
  if (answer.error_code != nullptr)
    return refuse(event.event_id, answer.error_code, "no such audio was sent", "item_id");
  ack.item_id = answer.item_id;
  if (event.truncate) {
    if (response_.is_open() && response_.item_id() == answer.item_id)
      stop_response("client_cancelled");
    if (ConversationItem* kept = items_.find(answer.item_id))
      truncate_item(*kept, static_cast<std::int64_t>(answer.playback.played_ms));
  }
  send(duplex_->writer.playback_acknowledged(duplex_state(), ack, answer.playback,
                                             answer.is_all_committed));
}

/// A turn of the user that the model does not answer is told, once.
void RealtimeConversation::follow_duplex(const Step&) {
  int& wait = duplex_->listen_wait;
  if (wait < 0 || clock_.user_speaks()) return;
  if (wait-- == 0) send(duplex_->writer.response_listen(duplex_state(), "model_listen"));
}

void RealtimeConversation::on_resumed(std::int64_t seq) {
  if (!duplex_) return;
  ++duplex_->state.attachment_generation;
  duplex_->resume_token = options_.make_resumable();
  limits_.touch(Clock::now());
  const bool is_whole = link_->can_replay_from(seq);
  link_->send_aside(session_event("session.resumed"), seq);
  if (!is_whole)
    link_->send_aside(
        duplex_->writer.resync_required(duplex_state(), "journal_gap", link_->oldest_seq()), seq);
  link_->replay_from(seq);
}

void RealtimeConversation::on_replaced() {
  if (duplex_) link_->send_aside(duplex_->writer.replaced(duplex_state()), link_->last_seq());
}

}  // namespace duet::server
