#include "models/weights/safetensors.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <random>

#include "runtime/core/error.h"
#include "tests/support/temp_dir.h"

using namespace duet::models;
using duet::core::LoadError;
using duet::support::error_of;
using duet::support::TempDir;

namespace {

std::string container(const std::string& header, const std::string& data, int64_t claimed = -1) {
  const uint64_t size = claimed < 0 ? header.size() : static_cast<uint64_t>(claimed);
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes += static_cast<char>(size >> (8 * i) & 0xff);
  return bytes + header + data;
}

std::string refusal(const std::string& bytes) {
  const TempDir folder;
  const std::string path = folder.write("f.safetensors", bytes);
  std::string text = error_of<LoadError>([&] { read_safetensors(path); });
  if (text.find(path) != std::string::npos) text.replace(text.find(path), path.size(), "F");
  return text;
}

TensorMap some_tensors() {
  TensorMap tensors;
  for (const at::ScalarType type : {at::kDouble, at::kFloat, at::kHalf, at::kBFloat16, at::kLong,
                                    at::kInt, at::kShort, at::kChar, at::kByte, at::kBool})
    tensors[std::string("t.") + c10::toString(type)] = (at::arange(6).reshape({2, 3}) - 1).to(type);
  tensors["empty"] = at::empty({0, 4}, at::kFloat);
  tensors["scalar"] = at::scalar_tensor(2.5F, at::kFloat);
  tensors["odd"] = at::ones({3}, at::kChar);
  return tensors;
}

void check_same(const TensorMap& a, const TensorMap& b) {
  REQUIRE(a.size() == b.size());
  for (const auto& [name, tensor] : a) {
    INFO(name);
    REQUIRE(b.count(name) == 1);
    CHECK(b.at(name).scalar_type() == tensor.scalar_type());
    CHECK(at::equal(b.at(name), tensor));
  }
}

}  // namespace

TEST_CASE("safetensors: every type survives writing and reading, and the bytes are reproducible",
          "[unit]") {
  const TempDir folder;
  const TensorMap tensors = some_tensors();
  save_safetensors(folder.file("a"), tensors, {{"format", "pt"}, {"step", "7"}});
  const SafetensorsFile file = read_safetensors(folder.file("a"));
  check_same(tensors, file.tensors);
  CHECK(file.metadata == std::map<std::string, std::string>{{"format", "pt"}, {"step", "7"}});
  save_safetensors(folder.file("b"), file.tensors, file.metadata);
  CHECK(TempDir::read(folder.file("a")) == TempDir::read(folder.file("b")));
  CHECK(folder.num_files() == 2);
}

TEST_CASE("safetensors: strided tensors are written as they look, tied ones once", "[unit]") {
  const TempDir folder;
  const at::Tensor base = at::arange(6, at::kFloat).reshape({2, 3});
  save_safetensors(folder.file("a"), {{"b", base.t()}, {"a", base}, {"c", base}});
  const SafetensorsFile file = read_safetensors(folder.file("a"));
  check_same({{"a", base}, {"b", base.t().contiguous()}, {"c", base}}, file.tensors);
  CHECK(file.metadata == std::map<std::string, std::string>{{"c", "a"}});
  CHECK(file.tensors.at("a").data_ptr() == file.tensors.at("c").data_ptr());
}

TEST_CASE("safetensors: tensors outlive the file and may be changed", "[unit]") {
  const TempDir folder;
  save_safetensors(folder.file("a"), {{"x", at::ones({2, 2})}});
  TensorMap tensors = load_safetensors(folder.file("a"));
  save_safetensors(folder.file("a"),
                   {{"x", at::zeros({2, 2})}});  // replaces the file by another one
  CHECK(at::equal(tensors.at("x"), at::ones({2, 2})));
  tensors.at("x").fill_(5);
  CHECK(at::equal(load_safetensors(folder.file("a")).at("x"), at::zeros({2, 2})));
}

TEST_CASE("safetensors: a file written by hand is read, unaligned data too", "[unit]") {
  const TempDir folder;
  const std::string header = R"({"u":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                             R"("f":{"dtype":"F32","shape":[2],"data_offsets":[1,9]},)"
                             R"("h":{"dtype":"BF16","shape":[],"data_offsets":[9,11]},)"
                             R"("__metadata__":{"lm_head.weight":"f"}})";
  const std::string data("\x07\x00\x00\x80\x3f\x00\x00\x00\xc0\x80\x3f", 11);
  const TensorMap tensors = load_safetensors(folder.write("x", container(header, data)));
  CHECK(at::equal(tensors.at("f"), at::tensor({1.0F, -2.0F})));
  CHECK(tensors.at("u").item<int>() == 7);
  CHECK(tensors.at("h").item<float>() == 1.0F);
  CHECK(at::equal(tensors.at("lm_head.weight"), tensors.at("f")));
}

TEST_CASE("safetensors: headers that lie are refused with what, expected and found", "[unit]") {
  const std::string two(2, '\0'), four(4, '\0'), eight(8, '\0');
  CHECK(refusal("abc") ==
        "safetensors header length: expected 8 bytes, found 3 before the end of the file in F at "
        "byte 0");
  CHECK(refusal(container("{}", "", 1'000'000)) ==
        "safetensors header: expected 1000000 bytes, found 2 bytes after the length field in F "
        "(truncated, or not a safetensors file)");
  CHECK_THAT(refusal(container("{}", "", INT64_MAX)),
             Catch::Contains("expected 9223372036854775807 bytes"));
  CHECK_THAT(refusal(container("{\"a\":", "")),
             Catch::Contains("expected a JSON object of tensors"));
  CHECK_THAT(refusal(container("[]", "")), Catch::Contains("found another kind of JSON"));
  CHECK_THAT(refusal(container(R"({"a":[[[[[[1]]]]]]})", "")),
             Catch::Contains("nesting deeper than 4"));
  CHECK_THAT(refusal(container("{\"\xff\":1}", "")),
             Catch::Contains("expected a JSON object of tensors"));
  CHECK(refusal(container(R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", eight)) ==
        "a: expected 12 bytes for F32 [3], found 8 at [0, 8] in F");
  CHECK(refusal(container(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", four)) ==
        "data: expected 8 bytes as in the header, found 4 (truncated?); "
        "a: expected offsets within the 4 bytes of data, found [0, 8] in F");
  CHECK(refusal(container(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", eight)) ==
        "data: expected 4 bytes as in the header, found 8 in F");
  CHECK(refusal(container(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", eight)) ==
        "a: expected data from byte 0, found a gap up to 4 in F");
  CHECK(refusal(container(R"({"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},)"
                          R"("b":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}})",
                          four)) == "b: expected bytes of its own, found an overlap with a in F");
  CHECK(refusal(container(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[2,0]}})", two)) ==
        "a: expected offsets within the 2 bytes of data, found [2, 0] in F");
  CHECK(refusal(container(R"({"a":{"dtype":"F8","shape":[2],"data_offsets":[0,2]}})", two)) ==
        "a: expected a type of F64 F32 F16 BF16 I64 I32 I16 I8 U8 BOOL, found \"F8\" in F");
  CHECK(refusal(container(R"({"a":{"dtype":"U8","shape":[-2],"data_offsets":[0,2]}})", two)) ==
        "a: expected a shape of sizes >= 0, found [-2] in F");
  CHECK(refusal(container(R"({"a":{"dtype":"U8","shape":[1.5],"data_offsets":[0,2]}})", two)) ==
        "a: expected a shape of sizes >= 0, found [1.5] in F");
  CHECK(refusal(container(
            R"({"a":{"dtype":"F64","shape":[1099511627776,1099511627776,0],"data_offsets":[0,0]}})",
            "")) ==
        "a: expected a tensor that fits into memory, found shape [1099511627776,1099511627776,0] "
        "in F");
  CHECK(
      refusal(container(R"({"a":{"dtype":"U8","data_offsets":[0,2]}})", two)) ==
      R"(a: expected dtype, shape and data_offsets, found {"dtype":"U8","data_offsets":[0,2]} in F)");
  CHECK(refusal(container(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0]}})", two)) ==
        "a: expected data_offsets [begin, end], found [0] in F");
  CHECK(refusal(container(R"({"a":3,"__metadata__":{"k":4}})", "")) ==
        "a: expected dtype, shape and data_offsets, found 3; __metadata__.k: expected a string, "
        "found 4 in F");
  CHECK_THAT(refusal(container(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
                               R"("a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})",
                               two)),
             Catch::Contains("key \"a\" twice"));
  CHECK_THAT(
      error_of<LoadError>([] { read_safetensors("no/such/file"); }),
      Catch::Equals(
          "file: expected a readable file, found No such file or directory in no/such/file"));
  CHECK_THAT(error_of<LoadError>([] { read_safetensors("/tmp"); }),
             Catch::Contains("found a folder"));
}

TEST_CASE(
    "safetensors: every truncation and thousands of flipped bytes give an error or a tensor, never "
    "a crash",
    "[unit]") {
  const TempDir folder;
  save_safetensors(folder.file("a"), some_tensors(), {{"k", "v"}});
  const std::string good = TempDir::read(folder.file("a"));
  for (size_t size = 0; size < good.size(); ++size)
    CHECK(refusal(good.substr(0, size)) != "no error");
  std::mt19937 random(5);
  const std::string path = folder.file("b");
  int refused = 0;
  for (int i = 0; i < 2000; ++i) {
    std::string bad = good;
    for (int flips = 1 + i % 3; flips > 0; --flips)
      bad[random() % (i % 2 ? 700 : bad.size())] = static_cast<char>(random());
    folder.write("b", bad);
    try {
      for (const auto& [name, tensor] : load_safetensors(path)) tensor.sum();
    } catch (const LoadError&) {
      ++refused;
    }
  }
  CHECK(refused > 1000);
}

TEST_CASE("safetensors: a failed write leaves no file", "[unit]") {
  const TempDir folder;
  CHECK_THAT(error_of<duet::core::Error>([&] {
               save_safetensors(folder.file("no/such"), {{"a", at::ones({1})}});
             }),
             Catch::Contains("No such file or directory"));
  CHECK_THAT(error_of<duet::core::Error>([&] {
               save_safetensors(folder.file("c"), {{"a", at::ones({1}, at::kComplexFloat)}});
             }),
             Catch::Contains("a: expected a type safetensors can hold, found ComplexFloat"));
  CHECK(folder.num_files() == 0);
}
