#include "runtime/core/program.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>

using namespace duet;

TEST_CASE("a program gets the descriptors, and leads a group of its own", "[unit]") {
  int ends[2] = {};
  REQUIRE(::pipe(ends) == 0);
  pid_t child = -1;
  REQUIRE(core::start_program({"sh", "-c", "echo said; echo $$ >&2; exit 3"},
                              {.out = ends[1], .err = ends[1]}, child) == 0);
  ::close(ends[1]);
  std::string said;
  char c = 0;
  while (::read(ends[0], &c, 1) == 1) said += c;
  ::close(ends[0]);
  CHECK(said == "said\n" + std::to_string(child) + "\n");
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WEXITSTATUS(status) == 3);
  REQUIRE(core::start_program({"sleep", "60"}, {}, child) == 0);
  CHECK(::getpgid(child) == child);
  ::kill(-child, SIGTERM);
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WTERMSIG(status) == SIGTERM);
}

TEST_CASE("a program that is not there is an error", "[unit]") {
  pid_t child = -1;
  CHECK(core::start_program({"/no/such/program"}, {}, child) == ENOENT);
}
