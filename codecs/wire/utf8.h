#pragma once
// Is it UTF-8? For text that comes from the network.

#include <string>
#include <string_view>

namespace duet::wire {

/// RFC 3629, section 4: no overlong forms, no surrogates, nothing above U+10FFFF.
bool is_utf8(std::string_view text) noexcept;
/// Each byte that belongs to no valid character becomes U+FFFD; the rest stays.
std::string replace_invalid_utf8(std::string_view text);

}  // namespace duet::wire
