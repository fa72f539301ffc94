#include "runtime/core/error.h"

#include <catch2/catch.hpp>

using namespace duet::core;

TEST_CASE("an error says what, expected, found, where and what to do", "[unit]") {
  const LoadError error({.subject = "encoder.conv.weight",
                         .expected = "[512,512,9]",
                         .found = "[512,512,5]",
                         .file = "model.safetensors",
                         .hint = "check kernel_size"});
  CHECK(std::string(error.what()) ==
        "encoder.conv.weight: expected [512,512,9], found [512,512,5] in model.safetensors (check "
        "kernel_size)");
}

TEST_CASE("empty parts leave no trace in the text", "[unit]") {
  CHECK(format_error(
            {.subject = "x.wav", .expected = "", .found = "a text file", .file = "", .hint = ""}) ==
        "x.wav: found a text file");
}
