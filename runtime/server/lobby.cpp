#include "runtime/server/lobby.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "runtime/core/log.h"
#include "runtime/server/access.h"

namespace duet::server {
namespace {

constexpr std::size_t kRememberedIds = 256;

}  // namespace

Lobby::Lobby(double grace_s, Metrics& metrics)
    : grace_(std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(grace_s))),
      metrics_(&metrics) {}

std::string Lobby::enter(const std::string& id, std::weak_ptr<Peer> holder) {
  std::string token = random_hex(24);
  const std::lock_guard lock(mutex_);
  Entry& entry = entries_[id];
  entry.token_digest = sha256(token);
  entry.holder = std::move(holder);
  entry.is_moving = false;
  return token;
}

void Lobby::park(std::shared_ptr<Conversation> conversation, Clock::time_point now) {
  if (grace_ <= Clock::duration::zero()) return forget(conversation->id);
  conversation->seat->set_paused(true);
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(conversation->id);
  if (found == entries_.end()) return;
  core::log_info('[' + conversation->id + "] waits for its client");
  found->second.until = now + grace_;
  found->second.is_moving = false;
  found->second.parked = std::move(conversation);
  metrics_->sessions_parked.fetch_add(1, std::memory_order_relaxed);
}

void Lobby::forget(const std::string& id) {
  const std::lock_guard lock(mutex_);
  entries_.erase(id);
}

Lobby::Claim Lobby::claim(const std::string& id, const std::string& token) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(id);
  if (found == entries_.end()) {
    if (std::find(expired_.begin(), expired_.end(), id) != expired_.end())
      return {.error_code = "session_resume_expired", .message = "nobody came back in time"};
    return {.error_code = "invalid_session_resume", .message = "there is no such session here"};
  }
  Entry& entry = found->second;
  if (!equal_in_constant_time(entry.token_digest, sha256(token)))
    return {.error_code = "invalid_resume_token", .message = "not the session's latest token"};
  if (entry.is_moving)
    return {.error_code = "session_resume_conflict",
            .message = "another connection is resuming it"};
  Claim claim;
  claim.conversation = std::move(entry.parked);
  if (claim.conversation)
    metrics_->sessions_parked.fetch_sub(1, std::memory_order_relaxed);
  else
    claim.holder = entry.holder.lock();
  if (!claim.conversation && !claim.holder)
    return {.error_code = "session_resume_conflict", .message = "its connection is just ending"};
  entry.is_moving = true;
  return claim;
}

void Lobby::release(const std::string& id) {
  const std::lock_guard lock(mutex_);
  if (const auto found = entries_.find(id); found != entries_.end())
    found->second.is_moving = false;
}

void Lobby::expire(Clock::time_point now) {
  std::vector<std::shared_ptr<Conversation>> ended;  // Destroyed outside of the lock.
  const std::lock_guard lock(mutex_);
  for (auto at = entries_.begin(); at != entries_.end();) {
    Entry& entry = at->second;
    if (!entry.parked || entry.until > now) {
      ++at;
      continue;
    }
    core::log_info('[' + at->first + "] closed: nobody came back");
    metrics_->sessions_parked.fetch_sub(1, std::memory_order_relaxed);
    metrics_->sessions_abandoned.fetch_add(1, std::memory_order_relaxed);
    expired_.push_back(at->first);
    if (expired_.size() > kRememberedIds) expired_.pop_front();
    ended.push_back(std::move(entry.parked));
    at = entries_.erase(at);
  }
}

void Lobby::clear() {
  std::map<std::string, Entry> gone;
  const std::lock_guard lock(mutex_);
  gone.swap(entries_);
  for (const auto& [id, entry] : gone)
    if (entry.parked) metrics_->sessions_parked.fetch_sub(1, std::memory_order_relaxed);
}

}  // namespace duet::server
