#pragma once
// Wildcards in tensor names.

#include <string_view>

namespace duet::models {

/// True when the whole of `name` matches `pattern`; '*' stands for any characters, none included.
bool matches_pattern(std::string_view pattern, std::string_view name);

}  // namespace duet::models
