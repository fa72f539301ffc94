#include "models/weights/weight_reader.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>

#include "runtime/core/error.h"

using namespace duet::models;

TEST_CASE("all problems of a checkpoint are reported at once", "[unit]") {
  TensorMap tensors;
  tensors["a"] = at::ones({2});
  tensors["b"] = at::full({1}, std::numeric_limits<float>::quiet_NaN());
  tensors["c"] = at::ones({1});
  tensors["x.skip.y"] = at::ones({1});
  TensorMapReader reader(tensors, "f.safetensors", {"x.*.y"});
  reader.parameter("a", {3}, Init::zeros());
  reader.parameter("b", {1}, Init::zeros());
  reader.parameter("missing", {4, 5}, Init::zeros());
  CHECK(at::equal(reader.buffer("optional", {1}, [] { return at::full({1}, 7.0F); }),
                  at::full({1}, 7.0F)));
  try {
    reader.finish();
    FAIL("expected a LoadError");
  } catch (const duet::core::LoadError& error) {
    CHECK(std::string(error.what()) ==
          "a: expected [3], found [2]; b: expected finite values, found NaN or infinity; missing: "
          "expected [4,5], "
          "found nothing; c: expected no such tensor, found [1] in f.safetensors");
  }
}
