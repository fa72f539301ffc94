#include "models/weights/quantised.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>

#include "models/weights/name_pattern.h"
#include "models/weights/safetensors.h"
#include "runtime/core/error.h"
#include "tests/support/temp_dir.h"

using namespace duet::models;
using duet::core::LoadError;
using duet::support::error_of;

TEST_CASE("int8 rows: every value within half a quantisation step, extremes exact to rounding",
          "[unit]") {
  at::manual_seed(1);
  at::Tensor weight = at::randn({64, 16, 9});
  weight.select(0, 3).zero_();
  weight.select(0, 4).mul_(1e-6);
  weight.select(0, 5).mul_(1e6);
  const TensorMap stored = quantise({{"w", weight}});
  REQUIRE(stored.size() == 2);
  CHECK(stored.at("w").scalar_type() == at::kChar);
  CHECK(stored.at("w").sizes() == weight.sizes());
  CHECK(stored.at("w.scale").sizes() == at::IntArrayRef({64}));
  const TensorMap back = dequantise(stored, "f");
  REQUIRE(back.size() == 1);
  const at::Tensor limit = weight.flatten(1).abs().amax(1, true) / 254 * (1 + 1e-5);
  CHECK(((back.at("w") - weight).flatten(1).abs() <= limit).all().item<bool>());
  CHECK(at::allclose(back.at("w").flatten(1).abs().amax(1), weight.flatten(1).abs().amax(1), 1e-6,
                     0));
  CHECK(back.at("w").select(0, 3).abs().sum().item<float>() == 0);
}

TEST_CASE("small, short-rowed, kept and integer tensors are not int8", "[unit]") {
  at::manual_seed(2);
  const TensorMap tensors = {{"bias", at::randn({8192})},
                             {"small", at::randn({10, 10})},
                             {"depthwise", at::randn({512, 1, 9})},
                             {"huge", at::full({512, 9}, 1e5F)},
                             {"mel.fb", at::randn({80, 257})},
                             {"pos", at::randn({100, 100})},
                             {"ids", at::arange(5000)},
                             {"half", at::randn({3}).to(at::kBFloat16)}};
  const TensorMap stored = quantise(tensors, {.keep = {"p*s"}});
  CHECK(stored.size() == tensors.size());
  for (const char* name : {"bias", "small", "mel.fb", "pos", "half"}) {
    INFO(name);
    CHECK(stored.at(name).scalar_type() == at::kFloat);
    CHECK(at::equal(stored.at(name), tensors.at(name).to(at::kFloat)));
  }
  CHECK(stored.at("depthwise").scalar_type() == at::kHalf);
  CHECK(at::allclose(stored.at("depthwise").to(at::kFloat), tensors.at("depthwise"),
                     std::ldexp(1.0, -11), 1e-7));
  CHECK(stored.at("huge").scalar_type() == at::kFloat);  // beyond fp16
  CHECK(at::equal(stored.at("ids"), tensors.at("ids")));
}

TEST_CASE("a stored model is four times smaller and loads as fp32", "[unit]") {
  const duet::support::TempDir folder;
  at::manual_seed(3);
  const TensorMap tensors = {{"a", at::randn({256, 256})}, {"b", at::randn({64})}};
  const TensorMap stored = quantise(tensors);
  save_safetensors(folder.file("m.safetensors"), stored);
  CHECK(std::filesystem::file_size(folder.file("m.safetensors")) <
        256 * 256 + 256 * 4 + 64 * 4 + 400);
  const TensorMap loaded = load_weights(folder.file("m.safetensors"));
  REQUIRE(loaded.size() == 2);
  CHECK(loaded.at("a").scalar_type() == at::kFloat);
  CHECK(at::equal(loaded.at("a"), dequantise(stored, "").at("a")));
  CHECK(at::equal(loaded.at("b"), tensors.at("b")));
  // A scale of half precision is read too.
  TensorMap half = stored;
  half["a.scale"] = stored.at("a.scale").to(at::kHalf);
  CHECK(at::allclose(dequantise(half, "").at("a"), loaded.at("a"), 1e-3, 0));
}

TEST_CASE("quantising and scales that cannot be are refused", "[unit]") {
  CHECK(error_of<LoadError>([] {
          quantise({{"w", at::full({2}, INFINITY)}});
        }) == "w: expected finite values, found NaN or infinity");
  CHECK(error_of<LoadError>([] {
          quantise({{"w", at::ones({64, 64})}, {"w.scale", at::ones({3})}});
        }) == "w.scale: expected no tensor of that name beside w, found [3]");
  CHECK(error_of<LoadError>([] {
          dequantise({{"w", at::ones({4, 2}, at::kChar)}, {"w.scale", at::ones({3})}}, "F");
        }) == "w.scale: expected one float for each row of w [4,2], found Float [3] in F");
  CHECK(dequantise({{"w", at::ones({4}, at::kChar)}}, "F").at("w").scalar_type() == at::kChar);
}

TEST_CASE("name patterns", "[unit]") {
  CHECK(matches_pattern("a.*.b", "a.x.y.b"));
  CHECK(matches_pattern("*", ""));
  CHECK(matches_pattern("a*", "a"));
  CHECK_FALSE(matches_pattern("a.*.b", "a.b"));
  CHECK_FALSE(matches_pattern("*.fb", "x.fbx"));
}
