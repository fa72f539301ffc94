#include "models/weights/torch_checkpoint.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>

#include <catch2/catch.hpp>
#include <random>

#include "models/weights/archive.h"
#include "runtime/core/error.h"
#include "tests/support/temp_dir.h"

using namespace duet::models;
using duet::core::LoadError;
using duet::support::error_of;
using duet::support::TempDir;

namespace {

const std::string kData = DUET_SOURCE_DIR "/tests/data/weights/";

std::string number(uint64_t value, int num_bytes) {
  std::string bytes;
  for (int i = 0; i < num_bytes; ++i) bytes += static_cast<char>(value >> (8 * i) & 0xff);
  return bytes;
}

// A zip of stored members, as torch.save writes them.
std::string zip(const std::vector<std::pair<std::string, std::string>>& members,
                uint16_t method = 0) {
  std::string out, directory;
  for (const auto& [name, data] : members) {
    const std::string common = number(20, 2) + number(0, 2) + number(method, 2) + number(0, 8) +
                               number(data.size(), 4) + number(data.size(), 4) +
                               number(name.size(), 2) + number(0, 2);
    directory +=
        "PK\x01\x02" + number(20, 2) + common + number(0, 10) + number(out.size(), 4) + name;
    out += "PK\x03\x04" + common + name + data;
  }
  const std::string end = "PK\x05\x06" + number(0, 4) + number(members.size(), 2) +
                          number(members.size(), 2) + number(directory.size(), 4) +
                          number(out.size(), 4) + number(0, 2);
  return out + directory + end;
}

std::string text(const std::string& value) { return "X" + number(value.size(), 4) + value; }
std::string integer(int64_t value) { return "\x8a\x08" + number(static_cast<uint64_t>(value), 8); }
std::string tuple(const std::vector<int64_t>& values) {
  std::string out = "(";
  for (const int64_t value : values) out += integer(value);
  return out + "t";
}
// {"x": tensor} with the given view of a storage of four floats.
std::string program(int64_t offset, const std::vector<int64_t>& shape,
                    const std::vector<int64_t>& strides, int64_t numel = 4,
                    const std::string& rebuild = "ctorch._utils\n_rebuild_tensor_v2\n") {
  return "\x80\x02}" + text("x") + rebuild + "((" + text("storage") + "ctorch\nFloatStorage\n" +
         text("0") + text("cpu") + integer(numel) + "tQ" + integer(offset) + tuple(shape) +
         tuple(strides) + "tRs.";
}
std::string refusal(const std::string& pickle) {
  const TempDir folder;
  const std::string file =
      folder.write("f", zip({{"a/data.pkl", pickle}, {"a/data/0", std::string(16, '\0')}}));
  return error_of<LoadError>([&] { load_torch_checkpoint(file); });
}

void check_state(const TensorMap& state) {
  const at::Tensor base = at::arange(12, at::kFloat);
  REQUIRE(state.size() == 11);
  CHECK(state.at("encoder.a").equal(base.reshape({3, 4})));
  CHECK(state.at("encoder.transposed").equal(base.reshape({3, 4}).t()));
  CHECK(state.at("encoder.transposed").is_contiguous());
  CHECK(state.at("encoder.part").equal(base.slice(0, 4, 8)));
  CHECK(state.at("preprocessor.bf16").equal(base.div(8).to(at::kBFloat16)));
  CHECK(state.at("encoder.half").equal(base.slice(0, 0, 3).to(at::kHalf)));
  CHECK(state.at("encoder.ids")[1][1].item<int64_t>() == int64_t{1} << 40);
  CHECK(state.at("encoder.ids")[0][1].item<int64_t>() == -2);
  CHECK(state.at("encoder.scalar").item<float>() == 2.5F);
  CHECK(state.at("encoder.flags").scalar_type() == at::kBool);
  CHECK(state.at("encoder.flags")[0].item<bool>());
  CHECK(state.at("encoder.empty").sizes() == at::IntArrayRef({0, 3}));
  CHECK(state.at("encoder.bytes")[1].item<int>() == 255);
}

}  // namespace

TEST_CASE(".nemo archives, plain and gzip, with and without ./", "[golden]") {
  for (const char* name : {"plain.nemo", "gzip.nemo"}) {
    INFO(name);
    const NemoArchive nemo = read_nemo(kData + name);
    CHECK(nemo.config_yaml == "sample_rate: 16000\n");
    check_state(nemo.tensors);
  }
}

TEST_CASE("torch.save: state_dict among other things, parameters, protocol 4", "[golden]") {
  const TensorMap state = load_torch_checkpoint(kData + "lightning.ckpt");
  REQUIRE(state.size() == 2);
  CHECK(state.at("weight").equal(at::full({2, 2}, 0.5F)));
  CHECK(state.at("bias").equal(at::full({2}, 0.5F)));
  CHECK(load_torch_checkpoint(kData + "protocol4.ckpt").at("x").equal(at::arange(12, at::kFloat)));
}

TEST_CASE("torch.save: nothing is executed, old and foreign files are named", "[unit]") {
  CHECK_THAT(error_of<LoadError>([] { load_torch_checkpoint(kData + "global.ckpt"); }),
             Catch::Contains("pickle: expected only tensors and dictionaries, found the global "
                             "posix.system, which is not executed"));
  CHECK_THAT(
      error_of<LoadError>([] { load_torch_checkpoint(kData + "old.ckpt"); }),
      Catch::Contains(
          "expected a zip file, found no zip directory (truncated, or older than PyTorch 1.6)"));
  CHECK_THAT(error_of<LoadError>([] { read_nemo(kData + "old.ckpt"); }),
             Catch::Contains("tar archive"));
}

TEST_CASE("torch.save: tensors must lie within their storage", "[unit]") {
  CHECK(refusal(program(0, {2, 2}, {2, 1})) == "no error");
  CHECK(refusal(program(0, {0, 9}, {9, 1})) == "no error");
  CHECK_THAT(
      refusal(program(1, {2, 2}, {2, 1})),
      Catch::Contains(
          "expected a tensor within its storage of 4 values, found [2,2] at 1 with strides [2,1]"));
  CHECK_THAT(refusal(program(-1, {1}, {1})), Catch::Contains("within its storage"));
  CHECK_THAT(refusal(program(0, {1000000}, {0})), Catch::Contains("within its storage"));
  CHECK_THAT(refusal(program(0, {int64_t{1} << 40, int64_t{1} << 40}, {0, 0})),
             Catch::Contains("fits into memory"));
  CHECK_THAT(refusal(program(0, {2}, {-1})), Catch::Contains("sizes and strides from 0"));
  CHECK_THAT(refusal(program(0, {2}, {1, 1})), Catch::Contains("a stride for each size"));
  CHECK_THAT(refusal(program(0, {2}, {1}, 5)),
             Catch::Contains("expected 5 values in storage 0, found 16 bytes"));
  CHECK_THAT(refusal(program(0, {2}, {1}, 4, "cbuiltins\neval\n")),
             Catch::Contains("the global builtins.eval"));
  CHECK_THAT(refusal("\x80\x02" + text("x") + "."),
             Catch::Contains("expected a dictionary of tensors"));
  CHECK_THAT(refusal("\x80\x02}"), Catch::Contains("pickle opcode: expected 1 bytes, found 0"));
  CHECK_THAT(refusal("t."), Catch::Contains("a mark on the stack"));
  CHECK_THAT(refusal("!"), Catch::Contains("expected an opcode of torch.save, found byte 33"));
  CHECK_THAT(refusal(")" + std::string(200, '\x85') + "."), Catch::Contains("at most 100 levels"));
}

TEST_CASE("archives that are cut or damaged give errors, never crashes", "[unit]") {
  const TempDir folder;
  std::mt19937 random(3);
  for (const char* name : {"plain.nemo", "gzip.nemo", "protocol4.ckpt"}) {
    const std::string good = TempDir::read(kData + name);
    const bool is_tar = std::string(name).ends_with("nemo");
    const auto load = [&](const std::string& bytes) {
      const std::string file = folder.write("f", bytes);
      return error_of<LoadError>(
          [&] { is_tar ? (void)read_nemo(file) : (void)load_torch_checkpoint(file); });
    };
    // What follows the weights in the tar (padding, another member, zeros) may be missing.
    const size_t needed =
        name == std::string("plain.nemo") ? good.rfind("PK\x05\x06") + 22 : good.size();
    for (size_t size = 0; size < needed; size += 37)
      CHECK(load(good.substr(0, size)) != "no error");
    for (int i = 0; i < 400; ++i) {
      std::string bad = good;
      for (int flips = 0; flips < 3; ++flips)
        bad[random() % bad.size()] = static_cast<char>(random());
      load(bad);
    }
  }
}

TEST_CASE("zip: compressed members are refused, missing ones listed", "[unit]") {
  const TempDir folder;
  CHECK_THAT(
      error_of<LoadError>([&] {
        load_torch_checkpoint(folder.write("f", zip({{"a/data.pkl", "x"}}, 8)));
      }),
      Catch::Contains("zip member a/data.pkl: expected stored data, found compression method 8"));
  CHECK_THAT(error_of<LoadError>([&] {
               load_torch_checkpoint(folder.write("f", zip({{"b", "x"}, {"a", "y"}})));
             }),
             Catch::Contains("archive: expected a member data.pkl, found a, b in"));
  CHECK_THAT(
      error_of<LoadError>([&] {
        load_torch_checkpoint(folder.write("f", zip({{"a/data.pkl", program(0, {1}, {1})}})));
      }),
      Catch::Contains("expected a member a/data/0"));
}
