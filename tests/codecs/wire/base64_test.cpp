#include "codecs/wire/base64.h"

#include <catch2/catch.hpp>
#include <random>

using namespace duet;

namespace {
std::vector<uint8_t> bytes_of(const std::string& text) { return {text.begin(), text.end()}; }
std::string error_of(const std::string& text) {
  try {
    wire::base64_decode(text);
  } catch (const wire::WireError& error) {
    return error.what();
  }
  return "no error";
}
}  // namespace

TEST_CASE("base64 of RFC 4648's examples", "[unit]") {
  const std::vector<std::pair<std::string, std::string>> examples = {{"", ""},
                                                                     {"f", "Zg=="},
                                                                     {"fo", "Zm8="},
                                                                     {"foo", "Zm9v"},
                                                                     {"foob", "Zm9vYg=="},
                                                                     {"fooba", "Zm9vYmE="},
                                                                     {"foobar", "Zm9vYmFy"},
                                                                     {"\xfb\xff\xbf", "+/+/"}};
  for (const auto& [plain, text] : examples) {
    CHECK(wire::base64_encode(bytes_of(plain)) == text);
    CHECK(wire::base64_decode(text) == bytes_of(plain));
  }
}

TEST_CASE("base64 comes back for any bytes", "[property]") {
  std::mt19937 random(5);
  for (size_t size = 0; size < 200; ++size) {
    std::vector<uint8_t> bytes(size);
    for (auto& byte : bytes) byte = static_cast<uint8_t>(random());
    CHECK(wire::base64_decode(wire::base64_encode(bytes)) == bytes);
  }
}

TEST_CASE("base64 that is not strict is refused by place", "[unit]") {
  CHECK(error_of("Zg") == "base64: expected a multiple of 4 characters, found 2 in character 2");
  CHECK(error_of("Zm9v Zg=") ==
        "base64: expected A-Z, a-z, 0-9, + or /, found 0x20 in character 4");
  CHECK(error_of("-_-_") == "base64: expected A-Z, a-z, 0-9, + or /, found 0x2d in character 0");
  CHECK(error_of("Zg==Zg==") ==
        "base64: expected A-Z, a-z, 0-9, + or /, found 0x3d in character 2");
  CHECK(error_of("Z===") == "base64: expected A-Z, a-z, 0-9, + or /, found 0x3d in character 1");
  CHECK(error_of("====") == "base64: expected A-Z, a-z, 0-9, + or /, found 0x3d in character 0");
  CHECK(error_of("Zh==") ==
        "base64: expected zero in the unused bits of the last character, found ones in character "
        "1");
}
