#pragma once

#include <string>

namespace duet::core {

/// Release number, "0.1.0".
const char* version();
/// Short commit the binary was built from, "+" appended when the tree had changes; "unknown"
/// outside a git clone.
const char* commit();
/// "duet 0.1.0 (commit 1a2b3c4, Release)".
std::string version_text();

}  // namespace duet::core
