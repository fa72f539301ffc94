#include "runtime/server/realtime_dialect.h"

#include <cmath>
#include <utility>

#include "runtime/server/realtime_conversation.h"

namespace duet::server {
namespace {

/// Words come up to this many steps after the speech they were heard in.
constexpr int kLateTranscriptSteps = 8;
/// The voice may ring on after the end of the words: until it is quiet for two steps, at most 1 s.
constexpr int kTailSteps = 12, kTailQuietSteps = 2;
constexpr double kTailLevel = 0.003;  // -50 dBFS.

double level(std::span<const float> pcm) {
  double sum = 0.0;
  for (const float x : pcm) sum += static_cast<double>(x) * static_cast<double>(x);
  return pcm.empty() ? 0.0 : std::sqrt(sum / static_cast<double>(pcm.size()));
}

}  // namespace

using wire::ClientEvent;
using wire::RealtimeError;
using wire::ResponseStatus;

RealtimeConversation::RealtimeConversation(RelayLink& link, Seat& seat, Metrics& metrics,
                                           Companion& companion,
                                           const RealtimeDialectOptions& options)
    : link_(&link),
      seat_(&seat),
      metrics_(&metrics),
      companion_(&companion),
      options_(options),
      limits_(options.limits, Clock::now()),
      session_(options.session),
      writer_(options.session.profile),
      items_(options.session.id.substr(options.session.id.find_first_of("_-") + 1),
             options.max_items),
      conversation_id_("conv_" + options.session.id),
      reader_(session_.settings().input_format),
      input_(seat, wire::rate_hz(session_.settings().input_format)),
      clock_(seat.info(), metrics),
      response_(link, writer_, items_, seat.info().output_rate_hz) {
  if (options.session.profile == wire::RealtimeProfile::kDuplex) become_duplex();
}

void RealtimeConversation::open() {
  send(duplex_ ? session_event("session.created") : writer_.session_created(session_));
  if (duplex_) send(session_event("session.updated"));
}

void RealtimeConversation::on_message(std::span<const std::uint8_t> message, bool) {
  const std::string_view text(reinterpret_cast<const char*>(message.data()), message.size());
  if (!std::exchange(has_started_, true) && !duplex_ &&
      session_.profile() == wire::RealtimeProfile::kGa && wire::asks_for_duplex(text))
    become_duplex();
  if (duplex_) {
    auto read = duplex_->reader.read(text);
    if (auto* event = std::get_if<wire::DuplexEvent>(&read)) return handle(*event);
    if (auto* event = std::get_if<ClientEvent>(&read)) return handle(*event);
    return send_error(std::get<RealtimeError>(read));
  }
  auto parsed = wire::parse_client_event(text);
  if (const auto* error = std::get_if<RealtimeError>(&parsed)) return send_error(*error);
  handle(std::get<ClientEvent>(parsed));
}

void RealtimeConversation::send_error(const RealtimeError& error) {
  metrics_->bad_messages.fetch_add(1, std::memory_order_relaxed);
  send(writer_.error(error));
}

void RealtimeConversation::refuse(const std::string& event_id, const char* code,
                                  std::string message, const char* param) {
  send(writer_.error(
      {.code = code, .message = std::move(message), .param = param, .event_id = event_id}));
}

void RealtimeConversation::on_step(Step& step) {
  if (!step.failure.empty()) {
    fail("internal_error", "The conversation failed.", kCloseInternal);
    return;
  }
  clock_.follow(step);
  companion_->follow(step, clock_);
  follow_user(step);
  follow_agent(step);
  if (duplex_) follow_duplex(step);
}

void RealtimeConversation::open_user_turn(double at_s) {
  finish_transcript();
  user_ = {};
  user_.item_id = items_.next_id("item");
  user_.is_open = true;
  user_.begin_s = user_.end_s = at_s;
}

void RealtimeConversation::follow_user(const Step& step) {
  const bool tells = session_.settings().detects_turns;
  if (commit_steps_ > 0) --commit_steps_;
  if (clock_.user_started() && commit_steps_ > 0) {
    stopping_item_id_ = user_.item_id;
    if (tells) send(writer_.speech_started(user_.item_id, clock_.user_start_ms()));
  } else if (clock_.user_started()) {
    if (!user_.is_open) open_user_turn(static_cast<double>(clock_.user_start_ms()) * 1e-3);
    if (tells) send(writer_.speech_started(user_.item_id, clock_.user_start_ms()));
  }
  if (!step.out.user_text.empty()) {
    if (!user_.is_open && !user_.is_committed)
      open_user_turn(static_cast<double>(step.index) * seat_->info().step_seconds);
    user_.transcript += step.out.user_text;
    user_.num_late = 0;
    if (session_.settings().transcribes_input)
      send(writer_.transcription_delta(user_.item_id, step.out.user_text));
  }
  if (clock_.user_stopped()) {
    const std::string stopping = std::exchange(stopping_item_id_, "");
    user_.end_s = static_cast<double>(clock_.user_stop_ms()) * 1e-3;
    if (tells && user_.is_open) {
      send(writer_.speech_stopped(user_.item_id, clock_.user_stop_ms()));
      make_user_item();
    } else if (tells && !stopping.empty()) {
      send(writer_.speech_stopped(stopping, clock_.user_stop_ms()));
    }
  }
  if (user_.is_committed && ++user_.num_late > kLateTranscriptSteps) finish_transcript();
}

/// An item exists and is complete; the extensions have both names for the first.
void RealtimeConversation::announce(const wire::RealtimeItem& item,
                                    const std::string& previous_id) {
  std::string added = writer_.item_added(item, previous_id);
  if (duplex_) {
    send(added);
    added = duplex_->writer.item_created(added);
  }
  send(std::move(added));
}

/// input_audio_buffer.committed and the user's item; its transcript may still grow.
void RealtimeConversation::make_user_item() {
  wire::RealtimeItem item;
  item.id = user_.item_id;
  wire::RealtimeContent content;
  content.type = "input_audio";
  item.content = {content};
  user_.previous_id = items_.add({.item = item}).value_or("");
  user_.is_open = false;
  user_.is_committed = true;
  user_.num_late = 0;
  heard_s_ = 0.0;
  send(writer_.input_audio_committed(item.id, user_.previous_id));
  announce(item, user_.previous_id);
  send(writer_.item_done(item, user_.previous_id));
  if (duplex_) {
    ++duplex_->state.turn_id;
    duplex_->listen_wait = kListenSteps;
  }
}

void RealtimeConversation::finish_transcript() {
  if (!std::exchange(user_.is_committed, false)) return;
  std::string text = user_.transcript;
  text.erase(0, text.find_first_not_of(' ') == std::string::npos ? text.size()
                                                                 : text.find_first_not_of(' '));
  if (ConversationItem* kept = items_.find(user_.item_id); kept && !kept->item.content.empty())
    kept->item.content.front().transcript = text;
  if (session_.settings().transcribes_input)
    send(writer_.transcription_completed(user_.item_id, text,
                                         std::max(0.0, user_.end_s - user_.begin_s)));
}

void RealtimeConversation::begin_response() {
  response_.begin(session_.settings(), conversation_id_);
  if (!duplex_) return;
  duplex_->listen_wait = -1;
  duplex_->ledger.begin(response_.id(), response_.item_id());
}

void RealtimeConversation::end_response(ResponseStatus status, const std::string& reason) {
  is_ending_ = false;
  if (!response_.is_open()) return;
  response_.end(status, reason);
  if (!duplex_) return;
  const wire::DuplexSettings& settings = duplex_->reader.settings();
  if (status == ResponseStatus::kCompleted) {
    duplex_->ledger.finish(!settings.commits_acked);
    return;
  }
  ++duplex_->state.epoch;
  // What was not heard was not said.
  ConversationItem* kept = settings.commits_acked ? items_.find(response_.item_id()) : nullptr;
  if (kept != nullptr)
    truncate_item(*kept, static_cast<std::int64_t>(duplex_->ledger.current().played_ms));
}

/// Ends the response at once, and the model's turn at its next step.
void RealtimeConversation::stop_response(const char* reason) {
  if (!is_ending_) seat_->end_turn();
  end_response(ResponseStatus::kCancelled, reason);
}

void RealtimeConversation::follow_agent(const Step& step) {
  const runtime::StepOutput& out = step.out;
  if (out.agent_turn_started) {
    if (is_ending_) end_response(ResponseStatus::kCompleted, "");
    is_unheard_ = !session_.settings().creates_responses && !response_asked_;
    if (duplex_ && !duplex_->reader.settings().auto_response && !response_asked_)
      is_unheard_ = true;
    if (!is_unheard_ && !response_.is_open()) begin_response();
    response_asked_ = false;
  }
  if (response_.is_open()) {
    response_.say(out.agent_text);
    response_.play(out.pcm);
  }
  if (!out.agent_turn_ended) {
    if (is_ending_) follow_tail(step);
    return;
  }
  is_unheard_ = false;
  if (response_asked_) seat_->begin_turn(0);  // Asked for during a turn that was cancelled.
  const bool yields = session_.settings().interrupts_responses &&
                      !(duplex_ && duplex_->reader.settings().listens_only);
  if (response_.is_open() && clock_.user_speaks() && yields) {
    end_response(ResponseStatus::kCancelled, "turn_detected");
  } else {
    is_ending_ = response_.is_open();
    num_tail_ = num_quiet_ = 0;
  }
}

void RealtimeConversation::follow_tail(const Step& step) {
  num_quiet_ = level(step.out.pcm) < kTailLevel ? num_quiet_ + 1 : 0;
  if (num_quiet_ >= kTailQuietSteps || ++num_tail_ >= kTailSteps)
    end_response(ResponseStatus::kCompleted, "");
}

void RealtimeConversation::fail(const char* code, const std::string& message, int close_code) {
  end_response(ResponseStatus::kFailed, code);
  send(writer_.error(
      {.type = close_code == kCloseInternal ? "server_error" : "invalid_request_error",
       .code = code,
       .message = message}));
  link_->close(close_code, message);
}

void RealtimeConversation::on_shutdown() {
  end_response(ResponseStatus::kIncomplete, "");
  if (duplex_) send(duplex_->writer.closed(duplex_state(), "shutdown"));
  link_->close(kCloseGoingAway, "The server is shutting down.");
}

void RealtimeConversation::on_tick(Clock::time_point now) {
  const LimitWatch::Event event = limits_.check(now);
  if (event == LimitWatch::Event::kNone) return;
  const bool is_idle =
      event == LimitWatch::Event::kWarnIdle || event == LimitWatch::Event::kEndIdle;
  if (event == LimitWatch::Event::kEndLength || event == LimitWatch::Event::kEndIdle) {
    if (!duplex_)
      return fail(is_idle ? "session_idle" : "session_expired",
                  is_idle ? "No audio came." : "The session has reached its length.", kCloseNormal);
    end_response(ResponseStatus::kIncomplete, "");
    send(duplex_->writer.expired(duplex_state(),
                                 is_idle ? "idle_ttl_expired" : "max_session_reached"));
    send(duplex_->writer.closed(duplex_state(), "timeout"));
    return link_->close(kCloseNormal, is_idle ? "No audio came." : "The session's length.");
  }
  // To others nothing may be sent as mere advice; the session object says when it expires.
  if (duplex_)
    send(duplex_->writer.go_away(duplex_state(), is_idle ? "idle" : "session_length",
                                 options_.limits.warning_s));
  else if (!is_idle)
    send(writer_.session_updated(session_));
}

void RealtimeConversation::on_drain(double left_s) {
  if (duplex_) return send(duplex_->writer.go_away(duplex_state(), "shutdown", left_s));
  using namespace std::chrono;
  const auto end = system_clock::now() + duration_cast<seconds>(duration<double>(left_s));
  session_.set_expires_at(duration_cast<seconds>(end.time_since_epoch()).count());
  send(writer_.session_updated(session_));
}

std::unique_ptr<Dialect> make_realtime_dialect(RelayLink& link, Seat& seat, Metrics& metrics,
                                               Companion& companion,
                                               const RealtimeDialectOptions& options) {
  return std::make_unique<RealtimeConversation>(link, seat, metrics, companion, options);
}

void refuse_realtime(Link& link, wire::RealtimeProfile profile) {
  const char* why = "All sessions are taken; try again later.";
  wire::RealtimeWriter writer(profile);
  link.send_text(
      writer.error({.type = "rate_limit_error", .code = "session_limit_reached", .message = why}),
      Lane::kControl);
  link.close(kCloseTryAgain, why);
}

}  // namespace duet::server
