#include "runtime/server/relay_link.h"

namespace duet::server {
namespace {

std::string numbered(std::string message, std::int64_t seq) {
  if (!message.starts_with('{')) return message;
  const bool is_empty = message.size() > 1 && message[1] == '}';
  message.insert(1, "\"server_event_seq\":" + std::to_string(seq) + (is_empty ? "" : ","));
  return message;
}

}  // namespace

void RelayLink::send_text(std::string message, Lane lane) {
  if (is_closed_) return;
  if (!is_journaling_) {
    if (target_ != nullptr) target_->send_text(std::move(message), lane);
    return;
  }
  message = numbered(std::move(message), ++last_seq_);
  num_bytes_ += message.size();
  kept_.push_back(message);
  while (num_bytes_ > max_bytes_ && kept_.size() > 1) {
    num_bytes_ -= kept_.front().size();
    kept_.pop_front();
  }
  // Nothing is dropped in the middle of a numbered stream: who reads too slowly is disconnected,
  // and gets the rest on its next connection.
  if (target_ != nullptr) target_->send_text(std::move(message), Lane::kControl);
}

void RelayLink::send_binary(std::vector<std::uint8_t> message, Lane lane) {
  if (!is_closed_ && target_ != nullptr) target_->send_binary(std::move(message), lane);
}

void RelayLink::close(int code, const std::string& reason) {
  if (std::exchange(is_closed_, true)) return;
  if (target_ != nullptr) target_->close(code, reason);
}

void RelayLink::send_aside(std::string message, std::int64_t seq) {
  if (target_ != nullptr) target_->send_text(numbered(std::move(message), seq), Lane::kControl);
}

void RelayLink::acknowledge(std::int64_t seq) {
  while (!kept_.empty() && oldest_seq() <= seq) {
    num_bytes_ -= kept_.front().size();
    kept_.pop_front();
  }
}

void RelayLink::replay_from(std::int64_t seq) {
  acknowledge(seq);
  if (target_ == nullptr) return;
  for (const std::string& message : kept_) target_->send_text(message, Lane::kControl);
}

}  // namespace duet::server
