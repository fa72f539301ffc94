#include "runtime/terminal.h"

#include <fcntl.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <thread>

using duet::runtime::TerminalKeys;

TEST_CASE("keys come one by one without return, and the terminal is left as it was", "[unit]") {
  const int host = ::posix_openpt(O_RDWR | O_NOCTTY);
  REQUIRE(host >= 0);
  REQUIRE(::grantpt(host) == 0);
  REQUIRE(::unlockpt(host) == 0);
  const int terminal = ::open(::ptsname(host), O_RDWR | O_NOCTTY);
  REQUIRE(terminal >= 0);
  termios before{}, after{};
  ::tcgetattr(terminal, &before);
  {
    TerminalKeys keys(terminal);
    CHECK(duet::runtime::is_terminal(terminal));
    CHECK(keys.read() == 0);
    REQUIRE(::write(host, "m+", 2) == 2);
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    CHECK(keys.read() == 'm');
    CHECK(keys.read() == '+');
    CHECK(keys.read() == 0);
  }
  ::tcgetattr(terminal, &after);
  CHECK(before.c_lflag == after.c_lflag);
  ::close(terminal);
  ::close(host);
}

TEST_CASE("no terminal, no keys", "[unit]") {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  TerminalKeys keys(ends[0]);
  REQUIRE(::write(ends[1], "q", 1) == 1);
  CHECK(keys.read() == 0);
  CHECK_FALSE(duet::runtime::is_terminal(ends[0]));
  CHECK(duet::runtime::terminal_columns(ends[0]) == 80);
  ::close(ends[0]);
  ::close(ends[1]);
}
