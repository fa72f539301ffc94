#include "runtime/speak_text.h"

#include <catch2/catch.hpp>

#include "runtime/core/error.h"

using namespace duet;
using Catch::Contains;

TEST_CASE("without a synthesiser, and without words, the error says what to do", "[unit]") {
  CHECK_THROWS_WITH(runtime::speak_text("hello", {"no-such-synthesiser"}),
                    "speech synthesiser: expected flite or espeak-ng, found neither in PATH "
                    "(apt-get install flite)");
  CHECK_THROWS_WITH(runtime::speak_text(" . ", {"no-such-synthesiser"}),
                    Contains("something to say"));
}

TEST_CASE("a program that fails is an error, not silence", "[unit]") {
  CHECK_THROWS_WITH(runtime::speak_text("hello", {"false"}),
                    Contains("false: expected exit code 0, found 1"));
  CHECK_THROWS_AS(runtime::speak_text("hello", {"true"}),
                  core::LoadError);  // It ends well but wrote nothing.
}

TEST_CASE("an installed synthesiser speaks, also text that looks like an option", "[unit]") {
  for (const std::string& program : runtime::kSynthesisers) {
    try {
      const auto clip = runtime::speak_text("-o what is seven plus five; rm $HOME", {program});
      CHECK(clip.samples.size() > static_cast<std::size_t>(clip.rate_hz));
    } catch (const core::ConfigError&) {
      WARN(program << " is not installed: not tested");
    }
  }
}
