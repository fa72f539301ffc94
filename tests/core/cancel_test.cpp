#include "runtime/core/cancel.h"

#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>

using namespace duet::core;

TEST_CASE("a signal within a scope sets the flag; the next scope starts clean", "[unit]") {
  {
    const InterruptScope scope;
    CHECK_FALSE(interrupted());
    std::raise(SIGINT);
    CHECK(interrupted());
  }
  {
    const InterruptScope scope;
    CHECK_FALSE(interrupted());
    request_interrupt();
    CHECK(interrupted());
  }
}

TEST_CASE("a second signal ends the program", "[unit]") {
  const pid_t child = fork();
  if (child == 0) {
    std::signal(SIGINT, SIG_DFL);
    const InterruptScope scope;
    std::raise(SIGINT);
    std::raise(SIGINT);
    _exit(0);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(WIFSIGNALED(status));
  CHECK(WTERMSIG(status) == SIGINT);
}

TEST_CASE("after a scope the former handling is back", "[unit]") {
  std::signal(SIGTERM, SIG_IGN);
  { const InterruptScope scope; }
  struct sigaction now {};
  sigaction(SIGTERM, nullptr, &now);
  CHECK(now.sa_handler == SIG_IGN);
  std::signal(SIGTERM, SIG_DFL);
}
