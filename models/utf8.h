#pragma once
// UTF-8 and the few character classes that tokenizers ask for.

#include <cstddef>
#include <string>
#include <string_view>

namespace duet::models {

/// One character at the front of `bytes` (not empty).
struct Utf8Char {
  char32_t point = 0xfffd;  ///< U+FFFD when invalid.
  size_t num_bytes =
      1;  ///< Bytes it takes; of an invalid sequence the longest prefix of a valid one.
  bool is_valid = false;
  bool is_incomplete = false;  ///< Not valid yet, but more bytes could make it so.
};
Utf8Char next_utf8(std::string_view bytes);

std::string utf8_of(char32_t point);

/// Valid UTF-8: every invalid sequence becomes one U+FFFD.
std::string to_valid_utf8(std::string_view bytes);

bool is_letter(char32_t point);       ///< General category L*.
bool is_number(char32_t point);       ///< General category N*.
bool is_white_space(char32_t point);  ///< Property White_Space.

}  // namespace duet::models
