#include "codecs/wire/base64.h"

#include <algorithm>
#include <array>
#include <cstdio>

namespace duet::wire {
namespace {

constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

constexpr std::array<int8_t, 256> make_values() {
  std::array<int8_t, 256> values{};
  for (auto& value : values) value = -1;
  for (size_t i = 0; i < kAlphabet.size(); ++i)
    values[static_cast<uint8_t>(kAlphabet[i])] = static_cast<int8_t>(i);
  return values;
}
constexpr std::array<int8_t, 256> kValues = make_values();

[[noreturn]] void fail(const std::string& expected, const std::string& found, size_t at) {
  throw WireError({.subject = "base64",
                   .expected = expected,
                   .found = found,
                   .file = "character " + std::to_string(at)});
}

}  // namespace

std::string base64_encode(std::span<const uint8_t> bytes) {
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t count = std::min<size_t>(3, bytes.size() - i);
    uint32_t group = 0;
    for (size_t k = 0; k < 3; ++k) group = group << 8 | (k < count ? bytes[i + k] : 0u);
    for (size_t k = 0; k < 4; ++k) text += k <= count ? kAlphabet[group >> (18 - 6 * k) & 63] : '=';
  }
  return text;
}

std::vector<uint8_t> base64_decode(std::string_view text) {
  if (text.size() % 4 != 0)
    fail("a multiple of 4 characters", std::to_string(text.size()), text.size());
  size_t padding = 0;
  while (padding < 2 && padding < text.size() && text[text.size() - 1 - padding] == '=') ++padding;
  const size_t num_symbols = text.size() - padding;
  std::vector<uint8_t> bytes;
  bytes.reserve(text.size() / 4 * 3);
  uint32_t bits = 0;
  int num_bits = 0;
  for (size_t i = 0; i < num_symbols; ++i) {
    const int value = kValues[static_cast<uint8_t>(text[i])];
    if (value < 0) {
      char code[8];
      std::snprintf(code, sizeof code, "0x%02x", static_cast<uint8_t>(text[i]));
      fail("A-Z, a-z, 0-9, + or /", code, i);
    }
    bits = bits << 6 | static_cast<uint32_t>(value);
    num_bits += 6;
    if (num_bits >= 8) {
      num_bits -= 8;
      bytes.push_back(static_cast<uint8_t>(bits >> num_bits));
      bits &= (1u << num_bits) - 1;
    }
  }
  if (bits != 0) fail("zero in the unused bits of the last character", "ones", num_symbols - 1);
  return bytes;
}

}  // namespace duet::wire
