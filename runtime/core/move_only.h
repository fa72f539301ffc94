#pragma once

namespace duet::core {

/// Base of streaming states: a copied tensor shares storage, so copies must be explicit
/// (`clone()`).
struct MoveOnly {
  MoveOnly() = default;
  MoveOnly(const MoveOnly&) = delete;
  MoveOnly& operator=(const MoveOnly&) = delete;
  MoveOnly(MoveOnly&&) noexcept = default;
  MoveOnly& operator=(MoveOnly&&) noexcept = default;
};

}  // namespace duet::core
