#include "runtime/server/waiting_line.h"

#include <algorithm>

namespace duet::server {

bool WaitingLine::join(const void* who) {
  const std::lock_guard lock(mutex_);
  if (std::find(line_.begin(), line_.end(), who) != line_.end()) return true;
  if (line_.size() >= static_cast<std::size_t>(max_)) return false;
  line_.push_back(who);
  metrics_->waiting.store(static_cast<std::int64_t>(line_.size()));
  return true;
}

int WaitingLine::position(const void* who) const {
  const std::lock_guard lock(mutex_);
  const auto found = std::find(line_.begin(), line_.end(), who);
  return found == line_.end() ? 0 : static_cast<int>(found - line_.begin()) + 1;
}

bool WaitingLine::is_first(const void* who) const {
  const std::lock_guard lock(mutex_);
  return line_.empty() || line_.front() == who;
}

void WaitingLine::leave(const void* who) {
  const std::lock_guard lock(mutex_);
  std::erase(line_, who);
  metrics_->waiting.store(static_cast<std::int64_t>(line_.size()));
}

}  // namespace duet::server
