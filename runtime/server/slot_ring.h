#pragma once
// A bounded queue from one thread to one other whose slots are filled and read in place, so that
// the buffers in them are used again and again: blocks of audio into the inference thread, steps
// out of it. Invariant: consumed_ <= produced_ <= consumed_ + capacity; each is written by its own
// side.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace duet::server {

/// back, push: producer. front, pop: consumer. size: either. Never waits; allocates at
/// construction. A side may wander between threads as long as each hand-over is ordered (a strand
/// does that).
template <class T>
class SlotRing {
 public:
  explicit SlotRing(std::size_t capacity) : slots_(capacity) {}

  std::size_t capacity() const noexcept { return slots_.size(); }
  /// Acquire on both: each side sees the other's slots as they were left.
  std::size_t size() const noexcept {
    const std::uint64_t consumed = consumed_.load(std::memory_order_acquire);
    return static_cast<std::size_t>(produced_.load(std::memory_order_acquire) - consumed);
  }
  std::uint64_t num_pushed() const noexcept { return produced_.load(std::memory_order_relaxed); }

  /// The slot to fill next, or nothing when the ring is full.
  T* back() noexcept {
    return size() < slots_.size()
               ? &slots_[produced_.load(std::memory_order_relaxed) % slots_.size()]
               : nullptr;
  }
  /// Hands the filled slot over. Release: partner of the acquire in size().
  void push() noexcept { produced_.fetch_add(1, std::memory_order_release); }
  T* front() noexcept {
    return size() > 0 ? &slots_[consumed_.load(std::memory_order_relaxed) % slots_.size()]
                      : nullptr;
  }
  /// Gives the slot back. Release: partner of the acquire in size().
  void pop() noexcept { consumed_.fetch_add(1, std::memory_order_release); }

 private:
  std::vector<T> slots_;
  std::atomic<std::uint64_t> produced_{0}, consumed_{0};
};

}  // namespace duet::server
