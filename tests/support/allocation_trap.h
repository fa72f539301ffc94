#pragma once
// Counts calls of operator new while armed. Sanitizers keep their own operator new: there the trap
// counts nothing, and kHasAllocationTrap says so.

#include <cstddef>

namespace duet::support {

extern const bool kHasAllocationTrap;

/// Any thread's allocations count, so arm it where only the code in question runs.
class AllocationTrap {
 public:
  AllocationTrap();
  ~AllocationTrap();
  AllocationTrap(const AllocationTrap&) = delete;
  AllocationTrap& operator=(const AllocationTrap&) = delete;
  /// Since the trap was made.
  std::size_t count() const noexcept;
};

}  // namespace duet::support
