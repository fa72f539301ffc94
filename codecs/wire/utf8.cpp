#include "codecs/wire/utf8.h"

#include <cstddef>
#include <cstdint>

namespace duet::wire {
namespace {

// Bytes of the character at `i`; 0 when there is none. The second byte's range keeps out overlong
// forms, surrogates and what is above U+10FFFF.
size_t character_bytes(std::string_view text, size_t i) noexcept {
  const auto byte = [&](size_t at) -> uint8_t {
    return at < text.size() ? static_cast<uint8_t>(text[at]) : uint8_t{0};
  };
  const uint8_t lead = byte(i);
  if (lead < 0x80) return 1;
  if (lead < 0xc2 || lead > 0xf4) return 0;
  const size_t length = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  const uint8_t low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
  const uint8_t high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
  if (byte(i + 1) < low || byte(i + 1) > high) return 0;
  for (size_t k = 2; k < length; ++k)
    if ((byte(i + k) & 0xc0) != 0x80) return 0;
  return length;
}

}  // namespace

bool is_utf8(std::string_view text) noexcept {
  for (size_t i = 0; i < text.size();) {
    const size_t length = character_bytes(text, i);
    if (length == 0) return false;
    i += length;
  }
  return true;
}

std::string replace_invalid_utf8(std::string_view text) {
  std::string clean;
  for (size_t i = 0; i < text.size();) {
    const size_t length = character_bytes(text, i);
    clean += length == 0 ? std::string_view("\xef\xbf\xbd") : text.substr(i, length);
    i += length == 0 ? 1 : length;
  }
  return clean;
}

}  // namespace duet::wire
