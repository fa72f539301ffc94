#include "runtime/server/talk.h"

#include "codecs/wire/duplex_writer.h"
#include "runtime/core/error.h"
#include "runtime/core/log.h"

namespace duet::server {

using std::chrono::duration;
using std::chrono::duration_cast;

Talk::Talk(Commons& commons, OpenRequest request, Wiring wiring)
    : commons_(&commons),
      request_(std::move(request)),
      wiring_(std::move(wiring)),
      id_(request_.id),
      opened_(Clock::now()) {}

Talk::~Talk() {
  commons_->line->leave(this);
  log("closed");
}

void Talk::log(const std::string& text) const { core::log_info('[' + id_ + "] " + text); }

void Talk::begin() {
  if (!waits_for_client(request_.protocol, request_.query)) open_conversation();
}

void Talk::open_conversation() {
  try {
    std::shared_ptr<Conversation> conversation;
    if (commons_->line->is_first(this) && !is_full(commons_->state))
      conversation = make_conversation(commons_->state, request_, lobby_entry());
    if (!conversation) return wait_for_seat();
    commons_->line->leave(this);
    waits_ = false;
    log("conversation with " + wiring_.address);
    take_conversation(std::move(conversation));
    conversation_->dialect->open();
    for (const auto& [message, is_text] : std::exchange(held_, {}))
      if (is_talking()) conversation_->dialect->on_message(message, is_text);
  } catch (const core::Error& error) {
    log(error.what());
    refuse_request(*wiring_.link, request_, error.what());
  }
}

/// In the queue, if there is one and it has room and patience left.
void Talk::wait_for_seat() {
  const Clock::time_point now = Clock::now();
  if (!waits_) waits_since_ = now;
  const auto patience =
      duration_cast<Clock::duration>(duration<double>(commons_->config.queue_max_wait_s));
  waits_ = commons_->line->join(this) && now - waits_since_ < patience;
  if (!waits_) {
    commons_->line->leave(this);
    commons_->metrics.sessions_refused.fetch_add(1, std::memory_order_relaxed);
    log("refused: all " + std::to_string(commons_->scheduler->max_sessions()) +
        " conversations are taken");
    return refuse_full(*wiring_.link, request_);
  }
  const int position = commons_->line->position(this);
  if (position == last_told_ && now - told_at_ < kTellEvery) return;
  tell_position(*wiring_.link, request_, position);
  last_told_ = position;
  told_at_ = now;
}

/// By which a conversation becomes one that can be resumed, while it is on this connection.
std::function<std::string()> Talk::lobby_entry() const {
  return [lobby = commons_->lobby.get(), id = id_, holder = wiring_.peer] {
    return lobby->enter(id, holder);
  };
}

void Talk::take_conversation(std::shared_ptr<Conversation> conversation) {
  conversation_ = std::move(conversation);
  id_ = conversation_->id;
  conversation_->make_resumable = lobby_entry();
  conversation_->link.attach(wiring_.link);
  conversation_->bell->set([this, post = wiring_.post] { post([this] { take_steps(); }); });
}

std::shared_ptr<Conversation> Talk::leave_conversation() {
  conversation_->bell->set(nullptr);
  conversation_->link.detach();
  return std::exchange(conversation_, nullptr);
}

void Talk::take_steps() {
  while (is_talking() && conversation_->seat->pop(step_)) {
    if (!step_.failure.empty()) log("failed: " + step_.failure);
    conversation_->dialect->on_step(step_);
  }
  wiring_.read();
}

void Talk::on_message(std::span<const std::uint8_t> message, bool is_text) {
  if (is_talking())
    conversation_->dialect->on_message(message, is_text);
  else if (waits_)
    held_.emplace_back(std::vector<std::uint8_t>(message.begin(), message.end()), is_text);
  else if (!is_closing_)
    on_first_message(message, is_text);
}

bool Talk::wants_input() {
  if (is_resuming_ || (waits_ && held_.size() >= kMaxHeld)) return false;
  return !is_talking() || conversation_->dialect->wants_input();
}

/// The first message of a client that speaks first.
void Talk::on_first_message(std::span<const std::uint8_t> message, bool is_text) {
  const auto resume = read_resume({reinterpret_cast<const char*>(message.data()), message.size()});
  if (resume) return ask_to_resume(*resume);
  open_conversation();
  if (!is_closing_) on_message(message, is_text);
}

void Talk::refuse_first(const char* code, const std::string& why) {
  log("refused: " + std::string(code));
  wiring_.link->send_text(wire::flat_error(code, why), Lane::kControl);
  wiring_.link->close(kClosePolicy, code);
}

void Talk::ask_to_resume(const ResumeRequest& resume) {
  Lobby::Claim claim = commons_->lobby->claim(resume.session_id, resume.token);
  if (claim.error_code != nullptr) return refuse_first(claim.error_code, claim.message);
  if (claim.conversation) return resume_with(std::move(claim.conversation), resume.seq);
  is_resuming_ = true;
  // The peer is kept alive until it has what it asked for, or the conversation would be lost.
  claim.holder->hand_over([this, peer = wiring_.peer.lock(), post = wiring_.post,
                           resume](const std::shared_ptr<Conversation>& given) {
    post([this, peer, given, resume] { take_over(given, resume); });
  });
}

void Talk::take_over(std::shared_ptr<Conversation> given, const ResumeRequest& resume) {
  is_resuming_ = false;
  commons_->lobby->release(resume.session_id);
  if (given)
    resume_with(std::move(given), resume.seq);
  else if (!is_closing_ && !std::exchange(has_asked_, true))
    ask_to_resume(resume);  // It was dropped or ended just then.
  else if (!is_closing_)
    refuse_first("session_resume_conflict", "its connection is just ending");
  wiring_.read();
}

void Talk::resume_with(std::shared_ptr<Conversation> conversation, std::int64_t seq) {
  if (is_closing_) return commons_->lobby->park(std::move(conversation), Clock::now());
  take_conversation(std::move(conversation));
  conversation_->seat->set_paused(false);
  commons_->metrics.sessions_resumed.fetch_add(1, std::memory_order_relaxed);
  log("resumed by " + wiring_.address + " after event " + std::to_string(seq));
  conversation_->dialect->on_resumed(seq);
  take_steps();
}

void Talk::on_tick(Clock::time_point now) {
  if (is_closing_) return;
  if (is_talking())
    conversation_->dialect->on_tick(now);
  else if (waits_)
    open_conversation();
  else if (!is_resuming_ && now - opened_ > kFirstMessage)
    refuse_first("config_timeout", "no first message came");
}

void Talk::on_closing() {
  is_closing_ = true;
  if (!conversation_) return;
  if (conversation_->link.is_journaling()) commons_->lobby->forget(conversation_->id);
  conversation_->seat->leave();
}

void Talk::on_gone() {
  commons_->line->leave(this);
  if (is_talking() && conversation_->is_resumable())
    commons_->lobby->park(leave_conversation(), Clock::now());
  else if (conversation_)
    conversation_->seat->leave();
  is_closing_ = true;
}

bool Talk::shut_down() {
  if (!is_talking()) return is_closing_;
  conversation_->dialect->on_shutdown();
  return true;
}

void Talk::warn(double left_s) {
  if (is_talking()) conversation_->dialect->on_drain(left_s);
}

void Talk::give_up(const std::function<void(std::shared_ptr<Conversation>)>& take) {
  if (!is_talking() || !conversation_->is_resumable()) return take(nullptr);
  conversation_->dialect->on_replaced();
  auto leaving = leave_conversation();
  wiring_.link->close(kCloseNormal, "resumed on another connection");
  take(std::move(leaving));
}

}  // namespace duet::server
