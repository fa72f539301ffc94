#pragma once
// The queue for seats, when the operator wants one: who came first gets the next.

#include <deque>
#include <mutex>

#include "runtime/server/metrics.h"

namespace duet::server {

/// Any thread.
class WaitingLine {
 public:
  /// `max_waiting` 0: there is no queue. `metrics` must outlive it.
  WaitingLine(int max_waiting, Metrics& metrics) : max_(max_waiting), metrics_(&metrics) {}

  /// Takes the last place, or keeps the one it has. False: the line is full.
  bool join(const void* who);
  /// 1: next; 0: not in the line.
  int position(const void* who) const;
  /// Whether nobody else is before it.
  bool is_first(const void* who) const;
  void leave(const void* who);

 private:
  const int max_;
  Metrics* metrics_;
  mutable std::mutex mutex_;  // Guards the rest.
  std::deque<const void*> line_;
};

}  // namespace duet::server
