#include "runtime/core/cancel.h"

#include <atomic>

namespace duet::core {
namespace {

// Relaxed throughout: the flag carries no data, it only ends loops.
std::atomic<bool> g_interrupted{false};
static_assert(std::atomic<bool>::is_always_lock_free, "set from a signal handler");

extern "C" void duet_on_signal(int signal_number) {
  if (g_interrupted.exchange(true, std::memory_order_relaxed)) {
    std::signal(signal_number, SIG_DFL);
    std::raise(signal_number);
  }
}

}  // namespace

InterruptScope::InterruptScope() {
  g_interrupted.store(false, std::memory_order_relaxed);
  struct sigaction action {};
  action.sa_handler = duet_on_signal;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, &old_interrupt_);
  sigaction(SIGTERM, &action, &old_terminate_);
}

InterruptScope::~InterruptScope() {
  sigaction(SIGINT, &old_interrupt_, nullptr);
  sigaction(SIGTERM, &old_terminate_, nullptr);
}

bool interrupted() noexcept { return g_interrupted.load(std::memory_order_relaxed); }

void request_interrupt() noexcept { g_interrupted.store(true, std::memory_order_relaxed); }

}  // namespace duet::core
