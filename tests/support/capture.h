#pragma once
// Runs a function with stdout and stderr redirected, for tests of what a command prints.

#include <functional>
#include <string>

namespace duet::test {

struct Captured {
  int result = 0;
  std::string out;
  std::string err;
};

/// Redirects file descriptors 1 and 2 to temporary files while `body` runs (C and C++ streams are
/// flushed).
Captured capture(const std::function<int()>& body);

}  // namespace duet::test
