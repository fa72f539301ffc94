#include <algorithm>
#include <utility>

#include "runtime/server/realtime_conversation.h"

namespace duet::server {
namespace {

/// After response.create the model has so many steps to begin by itself before it is made to.
constexpr int kBeginSteps = 6;

}  // namespace

using wire::ClientEvent;
using wire::ClientEventType;

void RealtimeConversation::handle(ClientEvent& event) {
  switch (event.type) {
    case ClientEventType::kSessionUpdate: return update(event);
    case ClientEventType::kInputAudioAppend: return append(event);
    case ClientEventType::kInputAudioCommit: return commit(event.event_id);
    case ClientEventType::kInputAudioClear:
      clear_input();
      return send(writer_.input_audio_cleared());
    case ClientEventType::kOutputAudioClear:
      return refuse(event.event_id, "unsupported_event",
                    "output_audio_buffer.clear is for WebRTC and SIP; use response.cancel");
    case ClientEventType::kItemCreate: return create_item(event);
    case ClientEventType::kItemRetrieve: return retrieve(event);
    case ClientEventType::kItemDelete: return remove(event);
    case ClientEventType::kItemTruncate: return truncate(event);
    case ClientEventType::kResponseCreate: return create_response(event);
    case ClientEventType::kResponseCancel: return cancel(event);
  }
}

void RealtimeConversation::update(const ClientEvent& event) {
  if (auto error = session_.update(event.session_json, response_.has_spoken())) {
    error->event_id = event.event_id;
    send(writer_.error(*error));
    return;
  }
  set_input_format();
  send(duplex_ ? session_event("session.updated") : writer_.session_updated(session_));
}

void RealtimeConversation::set_input_format() {
  const wire::AudioFormat format = session_.settings().input_format;
  if (format != reader_.format()) reader_ = wire::PcmReader(format);
  int rate = wire::rate_hz(format);
  if (duplex_) {
    const wire::DuplexSettings& settings = duplex_->reader.settings();
    if (format == wire::AudioFormat::kPcm16 && settings.input_rate_hz > 0)
      rate = settings.input_rate_hz;
    if (settings.idle_timeout_s > 0.0) limits_.set_idle(idle_limit_s());
  }
  input_.set_rate(rate);
}

void RealtimeConversation::append(const ClientEvent& event) {
  limits_.touch(Clock::now());
  samples_.clear();
  reader_.read(event.audio, samples_);
  if (duplex_) set_input_format();  // An append may name its own.
  heard_s_ += static_cast<double>(samples_.size()) / input_.rate_hz();
  input_.feed(samples_);
}

void RealtimeConversation::clear_input() {
  input_.clear();
  reader_.reset();
  heard_s_ = 0.0;
}

void RealtimeConversation::commit(const std::string& event_id) {
  if (heard_s_ <= 0.0 && !user_.is_open) {
    refuse(event_id, "input_audio_buffer_commit_empty", "no audio came since the last commit");
    return;
  }
  if (!user_.is_open) open_user_turn(0.0);
  user_.end_s = std::max(user_.end_s, user_.begin_s + heard_s_);
  if (clock_.user_speaks()) stopping_item_id_ = user_.item_id;
  const auto waiting = static_cast<int>(seat_->num_waiting_blocks());
  make_user_item();
  // What waits was committed too: its onset and its words are still to come, and are this item's.
  commit_steps_ = waiting > 0 ? waiting + TurnClock::kStartSteps : 0;
  user_.num_late = -waiting;
}

void RealtimeConversation::create_item(ClientEvent& event) {
  wire::RealtimeItem item = std::move(event.item);
  if (item.id.empty()) item.id = items_.next_id("item");
  for (auto& content : item.content) content.audio.clear();  // Kept as words only.
  const auto before = items_.add({.item = item}, event.previous_item_id);
  if (!before) {
    refuse(event.event_id, "invalid_value",
           items_.find(item.id) != nullptr ? "an item with this id exists" : "no such item",
           items_.find(item.id) != nullptr ? "item.id" : "previous_item_id");
    return;
  }
  announce(item, *before);
  send(writer_.item_done(item, *before));
}

void RealtimeConversation::retrieve(const ClientEvent& event) {
  if (const ConversationItem* found = items_.find(event.item_id))
    send(writer_.item_retrieved(found->item));
  else
    refuse(event.event_id, "item_not_found", "no such item", "item_id");
}

void RealtimeConversation::remove(const ClientEvent& event) {
  if (items_.remove(event.item_id))
    send(writer_.item_deleted(event.item_id));
  else
    refuse(event.event_id, "item_not_found", "no such item", "item_id");
}

void RealtimeConversation::truncate(const ClientEvent& event) {
  ConversationItem* found = items_.find(event.item_id);
  if (found == nullptr || found->item.role != "assistant") {
    refuse(event.event_id, "item_not_found", "no such item of the assistant", "item_id");
    return;
  }
  if (found->item.content.empty() || !found->item.content.front().transcript) {
    refuse(event.event_id, "invalid_value", "this item has no audio", "item_id");
    return;
  }
  if (static_cast<double>(event.audio_end_ms) > found->audio_ms) {
    refuse(event.event_id, "invalid_value",
           "only " + std::to_string(static_cast<std::int64_t>(found->audio_ms)) +
               " ms of audio were sent",
           "audio_end_ms");
    return;
  }
  if (response_.is_open() && response_.item_id() == event.item_id)
    stop_response("client_cancelled");
  if ((found = items_.find(event.item_id)) != nullptr) truncate_item(*found, event.audio_end_ms);
  send(writer_.item_truncated(event.item_id, event.content_index, event.audio_end_ms));
}

void RealtimeConversation::create_response(const ClientEvent& event) {
  if (response_.is_open() || response_asked_) {
    refuse(event.event_id, "conversation_already_has_active_response",
           "a response is being given; cancel it first");
    return;
  }
  if (is_unheard_) {  // It speaks already: from here on it is heard.
    is_unheard_ = false;
    begin_response();
    return;
  }
  response_asked_ = true;
  seat_->begin_turn(input_.has_heard() ? kBeginSteps : 0);
}

void RealtimeConversation::cancel(const ClientEvent& event) {
  if (!response_.is_open() || (event.response_id && *event.response_id != response_.id())) {
    refuse(event.event_id, "response_cancel_not_active", "no such response is being given");
    return;
  }
  stop_response("client_cancelled");
}

}  // namespace duet::server
