#pragma once
// The latest value from one thread to one other, without locks and without waiting: meters, states.
// Older values are lost.

#include <array>
#include <atomic>
#include <cstdint>
#include <type_traits>

#include "runtime/core/spsc_ring.h"

namespace duet::core {

/// Three slots: one the writer fills, one the reader reads, and one in the middle that both swap
/// with. One writer thread, one reader thread.
template <class T>
class TripleBuffer {
 public:
  static_assert(std::is_trivially_copyable_v<T>);
  explicit TripleBuffer(const T& initial = T{}) { slots_.fill(initial); }
  TripleBuffer(const TripleBuffer&) = delete;
  TripleBuffer& operator=(const TripleBuffer&) = delete;

  /// Writer.
  void write(const T& value) noexcept {
    writer_.check();
    slots_[back_] = value;
    // Release: partner of the acquire in read(), the value comes with the index. Acquire: partner
    // of the release there, the reader is done with the slot that comes back.
    back_ = middle_.exchange(back_ | kFresh, std::memory_order_acq_rel) & kIndex;
  }

  /// Reader. The newest value written; the same again when there is no newer.
  const T& read() noexcept {
    reader_.check();
    // Relaxed: only a hint; the exchange orders.
    if ((middle_.load(std::memory_order_relaxed) & kFresh) != 0)
      front_ = middle_.exchange(front_, std::memory_order_acq_rel) & kIndex;
    return slots_[front_];
  }

  void release_writer() noexcept { writer_.release(); }
  void release_reader() noexcept { reader_.release(); }

 private:
  static constexpr std::uint32_t kFresh = 4;
  static constexpr std::uint32_t kIndex = 3;
  static_assert(std::atomic<std::uint32_t>::is_always_lock_free);

  std::array<T, 3> slots_;
  std::uint32_t back_ = 0;   // Writer's.
  std::uint32_t front_ = 2;  // Reader's.
  std::atomic<std::uint32_t> middle_{1};
  ThreadOwner writer_, reader_;
};

}  // namespace duet::core
