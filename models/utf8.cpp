#include "models/utf8.h"

#include <algorithm>
#include <iterator>

namespace duet::models {
namespace {

struct Range {
  char32_t first, last;
};
#include "models/unicode_ranges.inc"

template <size_t N>
bool contains(const Range (&ranges)[N], char32_t point) {
  const Range* found =
      std::upper_bound(std::begin(ranges), std::end(ranges), point,
                       [](char32_t value, const Range& range) { return value < range.first; });
  return found != std::begin(ranges) && point <= std::prev(found)->last;
}

}  // namespace

Utf8Char next_utf8(std::string_view bytes) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(bytes[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return {lead, 1, true, false};
  // Unicode 15, table 3-7: how many bytes follow, and the narrower range of the second where there
  // is one.
  size_t num_more = 0;
  unsigned char low = 0x80, high = 0xbf;
  if (lead >= 0xc2 && lead <= 0xdf)
    num_more = 1;
  else if (lead >= 0xe0 && lead <= 0xef)
    num_more = 2;
  else if (lead >= 0xf0 && lead <= 0xf4)
    num_more = 3;
  else
    return {};
  if (lead == 0xe0) low = 0xa0;
  if (lead == 0xed) high = 0x9f;
  if (lead == 0xf0) low = 0x90;
  if (lead == 0xf4) high = 0x8f;
  char32_t point = lead & (0x3fU >> num_more);
  for (size_t i = 1; i <= num_more; ++i) {
    if (i == bytes.size()) return {0xfffd, i, false, true};
    if (byte(i) < low || byte(i) > high) return {0xfffd, i, false, false};
    point = point << 6 | (byte(i) & 0x3fU);
    low = 0x80;
    high = 0xbf;
  }
  return {point, num_more + 1, true, false};
}

std::string utf8_of(char32_t point) {
  const auto tail = [&](int shift) { return static_cast<char>(0x80U | (point >> shift & 0x3fU)); };
  std::string out;
  if (point < 0x80) {
    out += static_cast<char>(point);
  } else if (point < 0x800) {
    out += static_cast<char>(0xc0U | point >> 6);
    out += tail(0);
  } else if (point < 0x10000) {
    out += static_cast<char>(0xe0U | point >> 12);
    out += tail(6);
    out += tail(0);
  } else {
    out += static_cast<char>(0xf0U | point >> 18);
    out += tail(12);
    out += tail(6);
    out += tail(0);
  }
  return out;
}

std::string to_valid_utf8(std::string_view bytes) {
  std::string out;
  while (!bytes.empty()) {
    const Utf8Char next = next_utf8(bytes);
    if (next.is_valid)
      out += bytes.substr(0, next.num_bytes);
    else
      out += "\xEF\xBF\xBD";
    bytes.remove_prefix(next.num_bytes);
  }
  return out;
}

bool is_letter(char32_t point) { return contains(kLetters, point); }
bool is_number(char32_t point) { return contains(kNumbers, point); }
bool is_white_space(char32_t point) {
  return (point >= 9 && point <= 13) || point == 0x20 || point == 0x85 || point == 0xa0 ||
         point == 0x1680 || (point >= 0x2000 && point <= 0x200a) || point == 0x2028 ||
         point == 0x2029 || point == 0x202f || point == 0x205f || point == 0x3000;
}

}  // namespace duet::models
