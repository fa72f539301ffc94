#include "tests/support/allocation_trap.h"

#include <atomic>
#include <cstdlib>
#include <new>

namespace {
std::atomic<bool> is_trapped{false};
std::atomic<std::size_t> num_allocations{0};
}  // namespace

// A whole program has one operator new, so it sits in a test's helper.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
const bool duet::support::kHasAllocationTrap = false;
#else
const bool duet::support::kHasAllocationTrap = true;
void* operator new(std::size_t size) {
  if (is_trapped.load(std::memory_order_relaxed))
    num_allocations.fetch_add(1, std::memory_order_relaxed);
  if (void* memory = std::malloc(size == 0 ? 1 : size)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
#endif

namespace duet::support {

AllocationTrap::AllocationTrap() {
  num_allocations = 0;
  is_trapped = true;
}
AllocationTrap::~AllocationTrap() { is_trapped = false; }
std::size_t AllocationTrap::count() const noexcept { return num_allocations; }

}  // namespace duet::support
