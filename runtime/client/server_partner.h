#pragma once
// What conversations with servers have in common: the clock, the socket, and how failures are told.

#include <memory>
#include <string>
#include <vector>

#include "runtime/client/server_system.h"
#include "runtime/client/websocket.h"

namespace duet::client {

/// Sends a block at the end of its time and takes what came meanwhile. One thread.
class ServerPartner : public runtime::bench::Partner {
 public:
  void step(std::span<const float> block, runtime::StepOutput& out) final;
  void finish(runtime::StepOutput& out) final;

 protected:
  ServerPartner(const ServerOptions& options, const runtime::EngineInfo& info,
                const std::string& default_target);

  /// Waits for messages until `is_ready` or the end of the connect timeout: then a ConnectError
  /// that says `what` did not come.
  template <class Ready>
  void await(const char* what, Ready is_ready) {
    try {
      while (!is_ready()) {
        const auto message = socket_->receive(connect_until_);
        if (!message) throw_no(what);
        take(*message);
      }
    } catch (const runtime::bench::ConnectError&) {
      throw;
    } catch (const runtime::bench::LostError& error) {
      throw runtime::bench::ConnectError(told(error.what()), error.may_retry());
    }
  }

  virtual void send_block(std::span<const float> block) = 0;
  /// Throws wire::WireError for what no server may send.
  virtual void on_message(const Message& message) = 0;
  /// Fills `out` after a step; throws LostError when the server does not keep up.
  virtual void collect(runtime::StepOutput& out) = 0;
  /// After the last step: true while it is worth to wait for more.
  virtual bool is_waiting() const = 0;
  virtual void collect_rest(runtime::StepOutput& out) = 0;

  const ServerOptions& options() const noexcept { return options_; }
  WebSocket& socket() noexcept { return *socket_; }
  std::size_t num_sent() const noexcept { return num_sent_; }  ///< Samples.
  double seconds_since(WebSocket::Clock::time_point time) const;
  /// What the server itself gave as a reason, to be told with whatever ends the conversation.
  void note_error(std::string text) { server_error_ = std::move(text); }

 private:
  void take(const Message& message);
  void pump(WebSocket::Clock::time_point deadline);
  [[noreturn]] void throw_no(const char* what) const;
  std::string told(const std::string& why) const;

  ServerOptions options_;
  const runtime::EngineInfo* info_;
  WebSocket::Clock::time_point connect_until_, start_;
  std::unique_ptr<WebSocket> socket_;
  std::size_t num_sent_ = 0;
  std::string server_error_;
};

std::unique_ptr<runtime::bench::Partner> connect_moshi(const ServerOptions& options,
                                                       const runtime::EngineInfo& info);
std::unique_ptr<runtime::bench::Partner> connect_openai(const ServerOptions& options,
                                                        const runtime::EngineInfo& info);

}  // namespace duet::client
