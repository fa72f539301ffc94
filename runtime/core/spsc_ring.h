#pragma once
// A bounded queue from one thread to one other, without locks: what joins the audio callback to the
// inference thread.
//
// Invariant: head_ <= tail_ <= head_ + capacity; both only grow. Slots [head_, tail_) belong to the
// consumer, the others to the producer; each index is written by its own side only.

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "runtime/core/error.h"

namespace duet::core {

/// The thread that may call one side of a ring. Checked in builds without NDEBUG only; the first
/// call owns the side, until release().
class ThreadOwner {
 public:
  void check() noexcept {
#ifndef NDEBUG
    const std::thread::id self = std::this_thread::get_id();
    std::thread::id owner{};
    // Relaxed: nothing is published by it. A second thread that gets here without release() is
    // what is looked for.
    if (!owner_.compare_exchange_strong(owner, self, std::memory_order_relaxed))
      DUET_CHECK(owner == self);
#endif
  }
  /// The next call may come from another thread; the caller makes sure that it happens after.
  void release() noexcept {
#ifndef NDEBUG
    owner_.store(std::thread::id{}, std::memory_order_relaxed);
#endif
  }

 private:
#ifndef NDEBUG
  std::atomic<std::thread::id> owner_{};
#endif
};

/// push, push_all: producer. pop, discard: consumer. size: both (for the other side it is only a
/// bound). Never allocates after construction, never waits. T is moved; trivial types are copied.
template <class T>
class SpscRing {
 public:
  /// `capacity` > 0: how many it holds at most, exactly.
  explicit SpscRing(std::size_t capacity) : capacity_(capacity), slots_(round_up(capacity)) {
    DUET_CHECK(capacity > 0);
  }
  SpscRing(const SpscRing&) = delete;
  SpscRing& operator=(const SpscRing&) = delete;

  std::size_t capacity() const noexcept { return capacity_; }

  /// False when full; `value` is then untouched.
  bool push(T&& value) noexcept {
    static_assert(std::is_nothrow_move_assignable_v<T>);
    producer_.check();
    const std::uint64_t tail = tail_.load(std::memory_order_relaxed);  // Its own index.
    if (tail - seen_head_ >= capacity_) {
      // Acquire: partner of the release in pop(); the slot's old value has been moved out.
      seen_head_ = head_.load(std::memory_order_acquire);
      if (tail - seen_head_ >= capacity_) return false;
    }
    slots_[tail & mask()] = std::move(value);
    // Release: partner of the acquire in pop(); the value is there before the index says so.
    tail_.store(tail + 1, std::memory_order_release);
    return true;
  }
  bool push(const T& value) noexcept {
    static_assert(std::is_nothrow_copy_constructible_v<T>);
    return push(T(value));
  }

  /// As many of `values` from the front as fit; returns how many.
  std::size_t push_some(std::span<const T> values) noexcept {
    static_assert(std::is_trivially_copyable_v<T>);
    producer_.check();
    const std::uint64_t tail = tail_.load(std::memory_order_relaxed);
    seen_head_ = head_.load(std::memory_order_acquire);  // Partner: release in pop_some().
    const std::size_t count = std::min<std::size_t>(
        values.size(), capacity_ - static_cast<std::size_t>(tail - seen_head_));
    for (std::size_t i = 0; i < count; ++i) slots_[(tail + i) & mask()] = values[i];
    tail_.store(tail + count, std::memory_order_release);  // Partner: acquire in pop_some().
    return count;
  }
  /// All of them or, when they do not fit, none.
  bool push_all(std::span<const T> values) noexcept {
    if (capacity_ - size() < values.size()) return false;  // The consumer can only make more room.
    return push_some(values) == values.size();
  }

  /// False when empty.
  bool pop(T& value) noexcept {
    static_assert(std::is_nothrow_move_assignable_v<T>);
    consumer_.check();
    const std::uint64_t head = head_.load(std::memory_order_relaxed);
    if (head == seen_tail_) {
      seen_tail_ = tail_.load(std::memory_order_acquire);  // Partner: release in push().
      if (head == seen_tail_) return false;
    }
    value = std::move(slots_[head & mask()]);
    head_.store(head + 1, std::memory_order_release);  // Partner: acquire in push().
    return true;
  }
  /// Up to values.size(); returns how many were there.
  std::size_t pop_some(std::span<T> values) noexcept {
    static_assert(std::is_trivially_copyable_v<T>);
    consumer_.check();
    const std::uint64_t head = head_.load(std::memory_order_relaxed);
    seen_tail_ = tail_.load(std::memory_order_acquire);  // Partner: release in push_some().
    const std::size_t count =
        std::min<std::size_t>(values.size(), static_cast<std::size_t>(seen_tail_ - head));
    for (std::size_t i = 0; i < count; ++i) values[i] = slots_[(head + i) & mask()];
    head_.store(head + count, std::memory_order_release);  // Partner: acquire in push_some().
    return count;
  }
  /// Forgets up to `count` of the oldest; returns how many.
  std::size_t discard(std::size_t count) noexcept {
    static_assert(std::is_trivially_copyable_v<T>);
    consumer_.check();
    const std::uint64_t head = head_.load(std::memory_order_relaxed);
    seen_tail_ = tail_.load(std::memory_order_acquire);
    count = std::min<std::size_t>(count, static_cast<std::size_t>(seen_tail_ - head));
    head_.store(head + count, std::memory_order_release);
    return count;
  }

  /// For the consumer at least, for the producer at most this many are there. Any thread.
  std::size_t size() const noexcept {
    // head first: tail read later is never behind it.
    const std::uint64_t head = head_.load(std::memory_order_acquire);
    const std::uint64_t tail = tail_.load(std::memory_order_acquire);
    return std::min(static_cast<std::size_t>(tail - head), capacity_);
  }

  /// Another thread takes over a side; the caller has joined or otherwise waited for the former.
  void release_producer() noexcept { producer_.release(); }
  void release_consumer() noexcept { consumer_.release(); }

 private:
  static std::size_t round_up(std::size_t capacity) {
    std::size_t size = 1;
    while (size < capacity) size *= 2;
    return size;
  }
  std::uint64_t mask() const noexcept { return slots_.size() - 1; }

  static_assert(std::atomic<std::uint64_t>::is_always_lock_free);
  static constexpr std::size_t kCacheLine = 64;

  const std::size_t capacity_;
  std::vector<T> slots_;
  alignas(kCacheLine) std::atomic<std::uint64_t> head_{0};  // Written by the consumer.
  std::uint64_t seen_tail_ = 0;                             // Consumer's.
  ThreadOwner consumer_;
  alignas(kCacheLine) std::atomic<std::uint64_t> tail_{0};  // Written by the producer.
  std::uint64_t seen_head_ = 0;                             // Producer's.
  ThreadOwner producer_;
};

}  // namespace duet::core
