#pragma once
// Ctrl-C. A long job asks interrupted() at its own safe points, saves, and returns.

#include <csignal>

namespace duet::core {

/// While one lives, SIGINT and SIGTERM set a flag instead of ending the program; a second signal
/// ends it at once (a job that hangs can always be stopped). The destructor restores the former
/// handlers. Make it on the main thread, one at a time.
class InterruptScope {
 public:
  InterruptScope();
  ~InterruptScope();
  InterruptScope(const InterruptScope&) = delete;
  InterruptScope& operator=(const InterruptScope&) = delete;

 private:
  struct sigaction old_interrupt_ {};
  struct sigaction old_terminate_ {};
};

/// True once a signal came within an InterruptScope, until the next scope begins. Any thread;
/// lock-free.
bool interrupted() noexcept;

/// What the signal does, for tests and for stopping from code.
void request_interrupt() noexcept;

}  // namespace duet::core
