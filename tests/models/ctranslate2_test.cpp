#include "models/weights/ctranslate2.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>

#include "runtime/core/error.h"
#include "tests/support/temp_dir.h"

using namespace duet::models;
using duet::core::LoadError;
using duet::support::error_of;
using duet::support::TempDir;

namespace {

std::string number(uint64_t value, int num_bytes) {
  std::string bytes;
  for (int i = 0; i < num_bytes; ++i) bytes += static_cast<char>(value >> (8 * i) & 0xff);
  return bytes;
}
std::string text(const std::string& value) { return number(value.size() + 1, 2) + value + '\0'; }
std::string variable(const std::string& name, const std::vector<uint32_t>& shape, int type,
                     const std::string& data) {
  std::string bytes = text(name) + number(shape.size(), 1);
  for (const uint32_t size : shape) bytes += number(size, 4);
  return bytes + number(static_cast<uint64_t>(type), 1) + number(data.size(), 4) + data;
}
std::string head(uint32_t count, uint32_t version = 6) {
  return number(version, 4) + text("WhisperSpec") + number(3, 4) + number(count, 4);
}
std::string floats(std::initializer_list<float> values) {
  return {reinterpret_cast<const char*>(std::data(values)), values.size() * sizeof(float)};
}

std::string good_file() {
  return head(5) + variable("a/w", {2, 2}, 1, std::string("\x01\x02\xfd\x04", 4)) +
         variable("a/w_scale", {2}, 0, floats({0.5F, 2.0F})) +
         variable("half", {2}, 4, std::string("\x00\x3c\x00\xc0", 4)) +
         variable("bias", {1}, 0, floats({7.0F})) + variable("count", {}, 3, number(9, 4)) +
         number(1, 4) + text("head") + text("half");
}

std::string refusal(const std::string& bytes) {
  const TempDir folder;
  const std::string path = folder.write("model.bin", bytes);
  std::string found = error_of<LoadError>([&] { read_ctranslate2(path); });
  if (const size_t at = found.find(path); at != std::string::npos)
    found.replace(at, path.size(), "F");
  return found;
}

}  // namespace

TEST_CASE("CTranslate2: variables, types, scales and aliases", "[unit]") {
  const TempDir folder;
  const CTranslate2File file = read_ctranslate2(folder.write("model.bin", good_file()));
  CHECK(file.specification == "WhisperSpec");
  CHECK(file.revision == 3);
  CHECK(file.tensors.size() == 5);
  CHECK(at::equal(file.tensors.at("a/w"), at::tensor({2.0F, 4.0F, -1.5F, 2.0F}).reshape({2, 2})));
  CHECK(at::equal(file.tensors.at("half"), at::tensor({1.0F, -2.0F}).to(at::kHalf)));
  CHECK(at::equal(file.tensors.at("head"), file.tensors.at("half")));
  CHECK(at::equal(file.tensors.at("bias"), at::tensor({7.0F})));
  CHECK(file.tensors.at("count").item<int>() == 9);
}

TEST_CASE("CTranslate2: every truncation says what was being read", "[unit]") {
  const std::string good = good_file();
  for (size_t size = 0; size < good.size(); ++size) {
    INFO(size);
    CHECK(refusal(good.substr(0, size)) != "no error");
  }
  CHECK(refusal(good.substr(0, head(5).size() + 20)) ==
        "a/w: expected 4 bytes, found 0 before the end of the file in F at byte 46");
}

TEST_CASE("CTranslate2: lies are refused", "[unit]") {
  CHECK(refusal(head(0, 3)) ==
        "CTranslate2 binary version: expected 4 to 6, found 3 in F at byte 4");
  CHECK_THAT(refusal(head(1) + variable("w", {3}, 0, floats({1.0F}))),
             Catch::StartsWith("w: expected 12 bytes for [3], found 4 in F"));
  CHECK_THAT(refusal(head(1) + variable("w", {1}, 9, floats({1.0F}))),
             Catch::StartsWith("w: expected a type from 0 to 5, found 9"));
  CHECK_THAT(refusal(head(1) + variable("w", {0xffffffffU, 0xffffffffU}, 0, "")),
             Catch::StartsWith("w: expected a tensor that fits into memory"));
  CHECK_THAT(refusal(head(2) + variable("w", {1}, 0, floats({1.0F})) +
                     variable("w", {1}, 0, floats({1.0F}))),
             Catch::StartsWith("w: expected each variable once"));
  CHECK_THAT(refusal(head(0) + number(1, 4) + text("x") + text("y")),
             Catch::StartsWith("alias x: expected a variable of this file, found \"y\""));
  CHECK_THAT(refusal(good_file() + "!"),
             Catch::StartsWith("end of file: expected nothing after the aliases, found 1 bytes"));
  CHECK_THAT(refusal(head(2) + variable("w", {2, 1}, 1, "ab") +
                     variable("w_scale", {3}, 0, floats({1, 1, 1})) + number(0, 4)),
             Catch::StartsWith("w_scale: expected one scale, or one for each row of w, found [3]"));
}
