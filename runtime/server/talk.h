#pragma once
// One client's side of its conversation, from the upgraded connection on: opening or resuming it,
// waiting for a seat, handing it to another connection, parking it when the connection is gone.
// Without sockets; connection.inc has those.

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/server/lobby.h"
#include "runtime/server/opener.h"
#include "runtime/server/waiting_line.h"

namespace duet::server {

/// What all conversations of a server share.
struct Commons {
  ServerConfig config;
  Metrics metrics;
  std::unique_ptr<Scheduler> scheduler;
  std::unique_ptr<Access> access;
  std::unique_ptr<Lobby> lobby;
  std::unique_ptr<WaitingLine> line;
  std::unique_ptr<Delegate> delegate;
  ServerState state;
};

/// The connection's thread, where nothing else is said.
class Talk {
 public:
  /// A client that is to speak first has so long for it.
  static constexpr std::chrono::seconds kFirstMessage{10};
  /// How often a waiting client is told its place, and how many of its messages are kept for later.
  static constexpr std::chrono::seconds kTellEvery{5};
  static constexpr std::size_t kMaxHeld = 16;

  /// What the connection lends. All of it must outlive the talk.
  struct Wiring {
    Link* link = nullptr;
    std::function<void(std::function<void()>)> post =
        {};                           ///< Any thread: later, if it still lives.
    std::function<void()> read = {};  ///< wants_input() may have changed.
    std::weak_ptr<Peer> peer = {};
    std::string address = {};  ///< For the log.
  };
  Talk(Commons& commons, OpenRequest request, Wiring wiring);
  ~Talk();

  void begin();
  void on_message(std::span<const std::uint8_t> message, bool is_text);
  bool wants_input();
  void on_tick(Clock::time_point now);
  void on_closing();  ///< The link is being closed, for whatever reason.
  void on_gone();     ///< The connection is no more.
  /// False: there was nobody to tell; the connection may as well be cut.
  bool shut_down();
  void warn(double left_s);
  /// As Peer::hand_over, already on the connection's thread.
  void give_up(const std::function<void(std::shared_ptr<Conversation>)>& take);
  void log(const std::string& text) const;

 private:
  bool is_talking() const { return conversation_ && !is_closing_; }
  void open_conversation();
  void wait_for_seat();
  std::function<std::string()> lobby_entry() const;
  void take_conversation(std::shared_ptr<Conversation> conversation);
  std::shared_ptr<Conversation> leave_conversation();
  void take_steps();
  void on_first_message(std::span<const std::uint8_t> message, bool is_text);
  void ask_to_resume(const ResumeRequest& resume);
  void take_over(std::shared_ptr<Conversation> given, const ResumeRequest& resume);
  void resume_with(std::shared_ptr<Conversation> conversation, std::int64_t seq);
  void refuse_first(const char* code, const std::string& why);

  Commons* commons_;
  OpenRequest request_;
  Wiring wiring_;
  std::string id_;
  std::shared_ptr<Conversation> conversation_;
  Step step_;
  std::vector<std::pair<std::vector<std::uint8_t>, bool>> held_;  // What came while it waits.
  int last_told_ = 0;
  Clock::time_point opened_, waits_since_, told_at_;
  bool waits_ = false, is_resuming_ = false, has_asked_ = false, is_closing_ = false;
};

}  // namespace duet::server
