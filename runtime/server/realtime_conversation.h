#pragma once
// The class behind realtime_dialect.h, in three files: realtime_dialect.cpp follows the model's
// steps, realtime_requests.cpp the client's events, realtime_duplex.cpp has the extensions.

#include <memory>
#include <string>
#include <vector>

#include "codecs/wire/duplex_events.h"
#include "codecs/wire/duplex_writer.h"
#include "codecs/wire/realtime_writer.h"
#include "runtime/server/playback_ledger.h"
#include "runtime/server/realtime_dialect.h"
#include "runtime/server/realtime_items.h"
#include "runtime/server/realtime_response.h"
#include "runtime/server/turn_clock.h"

namespace duet::server {

/// After so many steps (1 s) without a reply a client of the extensions is told that the model
/// listens.
inline constexpr int kListenSteps = 12;

class RealtimeConversation final : public Dialect {
 public:
  RealtimeConversation(RelayLink& link, Seat& seat, Metrics& metrics, Companion& companion,
                       const RealtimeDialectOptions& options);

  void open() override;
  void on_message(std::span<const std::uint8_t> message, bool is_text) override;
  void on_step(Step& step) override;
  void on_tick(Clock::time_point now) override;
  void on_shutdown() override;
  void on_drain(double left_s) override;
  void on_resumed(std::int64_t seq) override;
  void on_replaced() override;
  bool wants_input() override { return input_.pump(); }

 private:
  void send(std::string event) {
    if (!event.empty()) link_->send_text(std::move(event), Lane::kControl);
  }
  void send_error(const wire::RealtimeError& error);
  void refuse(const std::string& event_id, const char* code, std::string message,
              const char* param = "");

  // realtime_requests.cpp
  void handle(wire::ClientEvent& event);
  void update(const wire::ClientEvent& event);
  void set_input_format();
  void append(const wire::ClientEvent& event);
  void clear_input();
  void commit(const std::string& event_id);
  void create_item(wire::ClientEvent& event);
  void retrieve(const wire::ClientEvent& event);
  void remove(const wire::ClientEvent& event);
  void truncate(const wire::ClientEvent& event);
  void create_response(const wire::ClientEvent& event);
  void cancel(const wire::ClientEvent& event);

  // realtime_dialect.cpp
  void follow_user(const Step& step);
  void follow_agent(const Step& step);
  void follow_tail(const Step& step);
  void open_user_turn(double at_s);
  void make_user_item();
  void finish_transcript();
  void announce(const wire::RealtimeItem& item, const std::string& previous_id);
  void begin_response();
  void end_response(wire::ResponseStatus status, const std::string& reason);
  void stop_response(const char* reason);
  void fail(const char* code, const std::string& message, int close_code);

  // realtime_duplex.cpp
  /// What the extensions need; only clients that ask for them have it.
  struct Duplex {
    wire::DuplexReader reader;
    wire::DuplexWriter writer;
    wire::DuplexState state;
    PlaybackLedger ledger;
    std::string resume_token;
    int listen_wait = -1;  ///< Steps until response.listen; -1: nothing to tell.
  };
  void become_duplex();
  void handle(const wire::DuplexEvent& event);
  void acknowledge_playback(const wire::DuplexEvent& event);
  void interrupt(const char* reason);
  void follow_duplex(const Step& step);
  const wire::DuplexState& duplex_state();
  std::string session_event(const char* type);
  double idle_limit_s() const noexcept;

  RelayLink* link_;
  Seat* seat_;
  Metrics* metrics_;
  Companion* companion_;
  RealtimeDialectOptions options_;
  LimitWatch limits_;
  wire::RealtimeSession session_;
  wire::RealtimeWriter writer_;
  RealtimeItems items_;
  std::string conversation_id_;
  wire::PcmReader reader_;
  InputPath input_;
  TurnClock clock_;
  RealtimeResponse response_;
  UserTurn user_;
  std::unique_ptr<Duplex> duplex_;
  bool has_started_ = false;     // A client event came.
  bool response_asked_ = false;  // response.create, and its response is still to come.
  bool is_unheard_ = false;      // The agent's present turn began without a response.
  bool is_ending_ = false;       // The words have ended, the voice rings on.
  int num_tail_ = 0, num_quiet_ = 0;
  double heard_s_ = 0.0;          // Audio appended since the last commit.
  std::string stopping_item_id_;  // Committed in mid-speech: its end is still to be told.
  int commit_steps_ = 0;          // Until everything that was committed has been heard.
  std::vector<float> samples_;
};

}  // namespace duet::server
