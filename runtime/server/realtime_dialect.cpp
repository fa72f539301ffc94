#include "runtime/server/realtime_dialect.h"

#include <cmath>
#include <utility>

#include "codecs/wire/realtime_writer.h"
#include "runtime/server/realtime_items.h"
#include "runtime/server/realtime_response.h"
#include "runtime/server/turn_clock.h"

namespace duet::server {
namespace {

using wire::ClientEvent;
using wire::ClientEventType;
using wire::RealtimeError;
using wire::ResponseStatus;

/// Words come up to this many steps after the speech they were heard in.
constexpr int kLateWordSteps = 8;
/// After response.create the model has so many steps to begin by itself before it is made to.
constexpr int kBeginSteps = 6;
/// The voice may ring on after the end of the words: until it is quiet for two steps, at most 1 s.
constexpr int kTailSteps = 12, kTailQuietSteps = 2;
constexpr double kTailLevel = 0.003;  // -50 dBFS.

double level(std::span<const float> pcm) {
  double sum = 0.0;
  for (const float x : pcm) sum += static_cast<double>(x) * static_cast<double>(x);
  return pcm.empty() ? 0.0 : std::sqrt(sum / static_cast<double>(pcm.size()));
}

class RealtimeDialect : public Dialect {
 public:
  RealtimeDialect(Link& link, Seat& seat, Metrics& metrics, const RealtimeDialectOptions& options)
      : link_(&link),
        seat_(&seat),
        metrics_(&metrics),
        limits_(options.limits, Clock::now()),
        session_(options.session),
        writer_(options.session.profile),
        items_(options.session.id.substr(options.session.id.find('_') + 1), options.max_items),
        conversation_id_("conv_" + options.session.id),
        reader_(session_.settings().input_format),
        input_(seat, wire::rate_hz(session_.settings().input_format)),
        clock_(seat.info(), metrics),
        response_(link, writer_, items_, seat.info().output_rate_hz) {}

  void open() override { send(writer_.session_created(session_)); }
  void on_message(std::span<const std::uint8_t> message, bool is_text) override;
  void on_step(Step& step) override;
  void on_tick(Clock::time_point now) override;
  void on_shutdown() override {
    response_.end(ResponseStatus::kIncomplete, "");
    link_->close(kCloseGoingAway, "The server is shutting down.");
  }
  bool wants_input() override { return input_.pump(); }

 private:
  void send(std::string event) {
    if (!event.empty()) link_->send_text(std::move(event), Lane::kControl);
  }
  void refuse(const ClientEvent& event, const char* code, std::string message,
              const char* param = "") {
    send(writer_.error(
        {.code = code, .message = std::move(message), .param = param, .event_id = event.event_id}));
  }
  void handle(ClientEvent& event);
  void update(const ClientEvent& event);
  void append(const ClientEvent& event);
  void commit(const ClientEvent& event);
  void create_item(ClientEvent& event);
  void retrieve(const ClientEvent& event);
  void remove(const ClientEvent& event);
  void truncate(const ClientEvent& event);
  void create_response(const ClientEvent& event);
  void cancel(const ClientEvent& event);
  void stop_response(const char* reason);
  void fail(const char* code, const std::string& message, int close_code);

  void follow_user(const Step& step);
  void follow_agent(const Step& step);
  void open_user_turn(double at_s);
  void make_user_item();
  void finish_transcript();

  Link* link_;
  Seat* seat_;
  Metrics* metrics_;
  LimitWatch limits_;
  wire::RealtimeSession session_;
  wire::RealtimeWriter writer_;
  RealtimeItems items_;
  std::string conversation_id_;
  std::string last_item_id_;
  wire::PcmReader reader_;
  InputPath input_;
  TurnClock clock_;
  RealtimeResponse response_;
  UserTurn user_;
  bool response_asked_ = false;  // response.create, and its response is still to come.
  bool is_unheard_ = false;      // The agent's present turn began without a response.
  bool is_ending_ = false;       // The words have ended, the voice rings on.
  int num_tail_ = 0, num_quiet_ = 0;
  double heard_s_ = 0.0;  // Audio appended since the last commit.
  std::vector<float> samples_;
};

void RealtimeDialect::on_message(std::span<const std::uint8_t> message, bool) {
  auto parsed =
      wire::parse_client_event({reinterpret_cast<const char*>(message.data()), message.size()});
  if (const auto* error = std::get_if<RealtimeError>(&parsed)) {
    metrics_->bad_messages.fetch_add(1, std::memory_order_relaxed);
    send(writer_.error(*error));
    return;
  }
  handle(std::get<ClientEvent>(parsed));
}

void RealtimeDialect::handle(ClientEvent& event) {
  switch (event.type) {
    case ClientEventType::kSessionUpdate: return update(event);
    case ClientEventType::kInputAudioAppend: return append(event);
    case ClientEventType::kInputAudioCommit: return commit(event);
    case ClientEventType::kInputAudioClear:
      input_.clear();
      reader_.reset();
      heard_s_ = 0.0;
      return send(writer_.input_audio_cleared());
    case ClientEventType::kOutputAudioClear:
      return refuse(event, "unsupported_event",
                    "output_audio_buffer.clear is for WebRTC and SIP; use response.cancel");
    case ClientEventType::kItemCreate: return create_item(event);
    case ClientEventType::kItemRetrieve: return retrieve(event);
    case ClientEventType::kItemDelete: return remove(event);
    case ClientEventType::kItemTruncate: return truncate(event);
    case ClientEventType::kResponseCreate: return create_response(event);
    case ClientEventType::kResponseCancel: return cancel(event);
  }
}

void RealtimeDialect::update(const ClientEvent& event) {
  if (auto error = session_.update(event.session_json, response_.has_spoken())) {
    error->event_id = event.event_id;
    send(writer_.error(*error));
    return;
  }
  if (session_.settings().input_format != reader_.format()) {
    reader_ = wire::PcmReader(session_.settings().input_format);
    input_.set_rate(wire::rate_hz(reader_.format()));
  }
  send(writer_.session_updated(session_));
}

void RealtimeDialect::append(const ClientEvent& event) {
  limits_.touch(Clock::now());
  samples_.clear();
  reader_.read(event.audio, samples_);
  heard_s_ += static_cast<double>(samples_.size()) / wire::rate_hz(reader_.format());
  input_.feed(samples_);
}

void RealtimeDialect::commit(const ClientEvent& event) {
  if (heard_s_ <= 0.0 && !user_.is_open) {
    refuse(event, "input_audio_buffer_commit_empty", "no audio came since the last commit");
    return;
  }
  if (!user_.is_open) open_user_turn(0.0);
  user_.end_s = std::max(user_.end_s, user_.begin_s + heard_s_);
  make_user_item();
}

void RealtimeDialect::create_item(ClientEvent& event) {
  wire::RealtimeItem item = std::move(event.item);
  if (item.id.empty()) item.id = items_.next_id("item");
  for (auto& content : item.content) content.audio.clear();  // Kept as words only.
  const auto before = items_.add({.item = item}, event.previous_item_id);
  if (!before) {
    refuse(event, "invalid_value",
           items_.find(item.id) != nullptr ? "an item with this id exists" : "no such item",
           items_.find(item.id) != nullptr ? "item.id" : "previous_item_id");
    return;
  }
  last_item_id_ = item.id;
  send(writer_.item_added(item, *before));
  send(writer_.item_done(item, *before));
}

void RealtimeDialect::retrieve(const ClientEvent& event) {
  if (const ConversationItem* found = items_.find(event.item_id))
    send(writer_.item_retrieved(found->item));
  else
    refuse(event, "item_not_found", "no such item", "item_id");
}

void RealtimeDialect::remove(const ClientEvent& event) {
  if (items_.remove(event.item_id))
    send(writer_.item_deleted(event.item_id));
  else
    refuse(event, "item_not_found", "no such item", "item_id");
}

void RealtimeDialect::truncate(const ClientEvent& event) {
  ConversationItem* found = items_.find(event.item_id);
  if (found == nullptr || found->item.role != "assistant") {
    refuse(event, "item_not_found", "no such item of the assistant", "item_id");
    return;
  }
  if (static_cast<double>(event.audio_end_ms) > found->audio_ms) {
    refuse(event, "invalid_value",
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

void RealtimeDialect::create_response(const ClientEvent& event) {
  if (response_.is_open() || response_asked_) {
    refuse(event, "conversation_already_has_active_response",
           "a response is being given; cancel it first");
    return;
  }
  if (is_unheard_) {  // It speaks already: from here on it is heard.
    is_unheard_ = false;
    response_.begin(session_.settings(), conversation_id_);
    return;
  }
  response_asked_ = true;
  seat_->begin_turn(input_.has_heard() ? kBeginSteps : 0);
}

void RealtimeDialect::cancel(const ClientEvent& event) {
  if (!response_.is_open() || (event.response_id && *event.response_id != response_.id())) {
    refuse(event, "response_cancel_not_active", "no such response is being given");
    return;
  }
  stop_response("client_cancelled");
}

/// Ends the response at once; what the model still says in this turn is dropped.
void RealtimeDialect::stop_response(const char* reason) {
  is_ending_ = false;
  response_.end(ResponseStatus::kCancelled, reason);
}

void RealtimeDialect::fail(const char* code, const std::string& message, int close_code) {
  response_.end(ResponseStatus::kFailed, code);
  send(writer_.error(
      {.type = close_code == kCloseInternal ? "server_error" : "invalid_request_error",
       .code = code,
       .message = message}));
  link_->close(close_code, message);
}

void RealtimeDialect::on_step(Step& step) {
  if (!step.failure.empty()) {
    fail("internal_error", "The conversation failed.", kCloseInternal);
    return;
  }
  clock_.follow(step);
  follow_user(step);
  follow_agent(step);
}

void RealtimeDialect::open_user_turn(double at_s) {
  finish_transcript();
  user_ = {};
  user_.item_id = items_.next_id("item");
  user_.is_open = true;
  user_.begin_s = user_.end_s = at_s;
}

void RealtimeDialect::follow_user(const Step& step) {
  const bool tells = session_.settings().detects_turns;
  if (clock_.user_started()) {
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
  if (clock_.user_stopped() && user_.is_open) {
    user_.end_s = static_cast<double>(clock_.user_stop_ms()) * 1e-3;
    if (tells) {
      send(writer_.speech_stopped(user_.item_id, clock_.user_stop_ms()));
      make_user_item();
    }
  }
  if (user_.is_committed && ++user_.num_late > kLateWordSteps) finish_transcript();
}

/// input_audio_buffer.committed and the user's item; its transcript may still grow.
void RealtimeDialect::make_user_item() {
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
  send(writer_.item_added(item, user_.previous_id));
  send(writer_.item_done(item, user_.previous_id));
}

void RealtimeDialect::finish_transcript() {
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

void RealtimeDialect::follow_agent(const Step& step) {
  const runtime::StepOutput& out = step.out;
  if (out.agent_turn_started) {
    if (is_ending_) response_.end(ResponseStatus::kCompleted, "");
    is_ending_ = false;
    is_unheard_ = !session_.settings().creates_responses && !response_asked_;
    if (!is_unheard_ && !response_.is_open())
      response_.begin(session_.settings(), conversation_id_);
    response_asked_ = false;
  }
  if (response_.is_open()) {
    response_.say(out.agent_text);
    response_.play(out.pcm);
  }
  if (out.agent_turn_ended) {
    is_unheard_ = false;
    if (response_asked_) seat_->begin_turn(0);  // Asked for during a turn that was cancelled.
    if (response_.is_open() && clock_.user_speaks() && session_.settings().interrupts_responses) {
      response_.end(ResponseStatus::kCancelled, "turn_detected");
    } else {
      is_ending_ = response_.is_open();
      num_tail_ = num_quiet_ = 0;
    }
    return;
  }
  if (!is_ending_) return;
  num_quiet_ = level(out.pcm) < kTailLevel ? num_quiet_ + 1 : 0;
  if (num_quiet_ < kTailQuietSteps && ++num_tail_ < kTailSteps) return;
  is_ending_ = false;
  response_.end(ResponseStatus::kCompleted, "");
}

void RealtimeDialect::on_tick(Clock::time_point now) {
  switch (limits_.check(now)) {
    // Nothing may be sent as mere advice; the session object says when it expires.
    case LimitWatch::Event::kWarnLength: send(writer_.session_updated(session_)); break;
    case LimitWatch::Event::kEndLength:
      fail("session_expired", "The session has reached its length.", kCloseNormal);
      break;
    case LimitWatch::Event::kEndIdle: fail("session_idle", "No audio came.", kCloseNormal); break;
    case LimitWatch::Event::kWarnIdle:
    case LimitWatch::Event::kNone: break;
  }
}

}  // namespace

std::unique_ptr<Dialect> make_realtime_dialect(Link& link, Seat& seat, Metrics& metrics,
                                               const RealtimeDialectOptions& options) {
  return std::make_unique<RealtimeDialect>(link, seat, metrics, options);
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
