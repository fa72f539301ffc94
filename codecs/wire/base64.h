#pragma once
// Base64 as RFC 4648, section 4, has it, strictly: audio inside JSON.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "codecs/wire/wire_error.h"

namespace duet::wire {

/// With padding, without line breaks.
std::string base64_encode(std::span<const uint8_t> bytes);
/// Throws WireError, naming the character: anything outside the alphabet (white space and the
/// URL-safe alphabet included), a length that is no multiple of 4, padding elsewhere than at the
/// end, unused bits that are not zero (RFC 4648, section 3.5).
std::vector<uint8_t> base64_decode(std::string_view text);

}  // namespace duet::wire
