#include "runtime/core/progress_bar.h"

#include <algorithm>
#include <catch2/catch.hpp>

#include "tests/support/capture.h"

using namespace duet::core;
using Catch::Matchers::Contains;

TEST_CASE("durations read as a clock does", "[unit]") {
  CHECK(format_duration(0.0) == "0:00");
  CHECK(format_duration(59.6) == "1:00");
  CHECK(format_duration(3599.0) == "59:59");
  CHECK(format_duration(3723.0) == "1:02:03");
  CHECK(format_duration(-1.0) == "?");
}

TEST_CASE("a progress line shows share, bar, count, times and the extra text", "[unit]") {
  CHECK(progress_line("train", 420, 1000, 200.0, 276.0, "loss 1.23", 70) ==
        "train 42% [#########--------------] 420/1000 3:20 left 4:36  loss 1.23");
  CHECK(progress_line("train", 420, 1000, 200.0, 276.0, "loss 1.23", 55) ==
        "train 42% [###-----] 420/1000 3:20 left 4:36  loss 1.23");
  CHECK(progress_line("read", 7, 0, 3.0, -1.0, "", 80) == "read 7 in 0:03");
}

TEST_CASE("a line never exceeds the width and the share stays within 0..100 %", "[unit]") {
  for (int width = 0; width < 60; ++width)
    CHECK(static_cast<int>(progress_line("title", 5, 10, 1.0, 1.0, "extra text", width).size()) <=
          width);
  CHECK_THAT(progress_line("t", 20, 10, 1.0, 0.0, "", 80), Contains("100%"));
}

TEST_CASE("elsewhere than on a terminal a bar prints plain lines, few of them, and the last state",
          "[unit]") {
  const duet::test::Captured got = duet::test::capture([] {
    ProgressBar bar("job", 1000);
    for (int i = 1; i <= 1000; ++i) bar.update(i, "x");
    return 0;
  });
  CHECK(got.out.empty());
  CHECK_THAT(got.err, Contains("job 100%") && Contains("1000/1000"));
  CHECK(std::count(got.err.begin(), got.err.end(), '\n') == 2);  // the first update and the end
  CHECK(got.err.find('\x1b') == std::string::npos);
}

TEST_CASE("units done before a resume do not count for the rate", "[unit]") {
  const duet::test::Captured got = duet::test::capture([] {
    ProgressBar bar("job", {.total = 1000, .start = 900});
    bar.update(900);
    return 0;
  });
  CHECK_THAT(got.err, Contains("left ?"));
}
