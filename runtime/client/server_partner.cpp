#include "runtime/client/server_partner.h"

#include <cstdio>

#include "codecs/wire/wire_error.h"

namespace duet::client {

using runtime::StepOutput;
using runtime::bench::ConnectError;
using runtime::bench::LostError;
using Clock = WebSocket::Clock;

namespace {

/// Of one pump after its time: a server that floods must not stop the clock.
constexpr int kMaxLateMessages = 256;

Clock::duration seconds(double s) {
  return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(s));
}

}  // namespace

ServerPartner::ServerPartner(const ServerOptions& options, const runtime::EngineInfo& info,
                             const std::string& default_target)
    : options_(options),
      info_(&info),
      connect_until_(Clock::now() + seconds(options.connect_timeout_s)) {
  const Url url = parse_url(options.url);
  WebSocket::Options socket;
  if (!options.api_key.empty())
    socket.headers.emplace_back("Authorization", "Bearer " + options.api_key);
  socket.deadline = connect_until_;
  socket.write_timeout_s = options.stall_timeout_s;
  const bool has_path = !url.target.empty() && url.target != "/";
  socket_ = WebSocket::connect(url, has_path ? url.target : default_target, socket);
}

double ServerPartner::seconds_since(Clock::time_point time) const {
  return std::chrono::duration<double>(Clock::now() - time).count();
}

std::string ServerPartner::told(const std::string& why) const {
  return server_error_.empty() ? why : why + " (it said: " + server_error_ + ")";
}

void ServerPartner::throw_no(const char* what) const {
  char text[120];
  std::snprintf(text, sizeof text, "no %s within %.1f s", what, options_.connect_timeout_s);
  throw ConnectError(told(text), true);
}

void ServerPartner::take(const Message& message) {
  try {
    on_message(message);
  } catch (const wire::WireError& error) {
    throw LostError(std::string("it sent what its protocol does not have: ") + error.what(), false);
  }
}

void ServerPartner::pump(Clock::time_point deadline) {
  int num_late = 0;
  while (const auto message = socket_->receive(deadline)) {
    take(*message);
    if (Clock::now() > deadline && ++num_late > kMaxLateMessages) break;
  }
}

void ServerPartner::step(std::span<const float> block, StepOutput& out) {
  out.clear();
  try {
    if (num_sent_ == 0) start_ = Clock::now();
    num_sent_ += block.size();
    // A microphone has a block at its end.
    pump(start_ + seconds(static_cast<double>(num_sent_) / info_->input_rate_hz / options_.pace));
    send_block(block);
    collect(out);
  } catch (const LostError& error) {
    throw LostError(told(error.what()), error.may_retry());
  }
}

void ServerPartner::finish(StepOutput& out) {
  out.clear();
  try {
    const auto begin = Clock::now();
    while (is_waiting() && seconds_since(begin) < options_.max_lag_s)
      pump(Clock::now() + std::chrono::milliseconds(20));
    collect_rest(out);
  } catch (const LostError& error) {
    throw LostError(told(error.what()), error.may_retry());
  }
  socket_->close();
}

}  // namespace duet::client
