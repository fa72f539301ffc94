#include "tools/commands/commands.h"

#include <catch2/catch.hpp>

#include <vector>

#include "tests/support/capture.h"

using duet::commands::run_main;
using duet::test::capture;
using duet::test::Captured;

namespace {

Captured run(std::vector<const char*> args) {
  args.insert(args.begin(), "duet");
  return capture([&] { return run_main(static_cast<int>(args.size()), args.data()); });
}

}  // namespace

TEST_CASE("--version names release and commit", "[unit]") {
  const Captured got = run({"--version"});
  CHECK(got.result == 0);
  CHECK_THAT(got.out,
             Catch::Matchers::StartsWith("duet 0.") && Catch::Matchers::Contains("commit "));
  CHECK(got.err.empty());
}

TEST_CASE("--help lists the subcommands on stdout", "[unit]") {
  const Captured got = run({"--help"});
  CHECK(got.result == 0);
  CHECK_THAT(got.out, Catch::Matchers::Contains("doctor"));
}

TEST_CASE("usage errors exit with 2 and one line on stderr", "[unit]") {
  for (const std::vector<const char*>& args :
       {std::vector<const char*>{"no-such-command"}, {"doctor", "--no-such-flag"}}) {
    const Captured got = run(args);
    CHECK(got.result == 2);
    CHECK(got.out.empty());
    CHECK_THAT(got.err, Catch::Matchers::Contains(args.back()));
  }
}
