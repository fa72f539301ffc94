#include "audio/sample_source.h"

#include <unistd.h>

#include <catch2/catch.hpp>
#include <thread>

#include "runtime/core/error.h"

using namespace duet;
using Catch::Contains;

namespace {

struct Pipe {
  Pipe() { REQUIRE(::pipe(ends) == 0); }
  ~Pipe() {
    ::close(ends[0]);
    close_writer();
  }
  void close_writer() {
    if (ends[1] >= 0) ::close(ends[1]);
    ends[1] = -1;
  }
  void write(const std::string& bytes) {
    REQUIRE(::write(ends[1], bytes.data(), bytes.size()) == std::ssize(bytes));
  }
  int ends[2];
};

bool always_stop() { return true; }

}  // namespace

TEST_CASE("raw samples: little-endian, split anywhere, an odd last byte dropped", "[unit]") {
  Pipe pipe;
  std::vector<float> out(4);
  audio::RawPcmSource source(pipe.ends[0], 16000, "pipe");
  pipe.write(std::string("\x00\x40\x00\xc0\xff", 5));  // 16384, -16384, and half of -1.
  CHECK(source.read(out) == 2);
  CHECK(out[0] == 0.5F);
  CHECK(out[1] == -0.5F);
  pipe.write(std::string("\xff\x00\x80\x07", 4));
  CHECK(source.read(out) == 2);
  CHECK(out[0] == -1.0F / 32768.0F);
  CHECK(out[1] == -1.0F);
  pipe.close_writer();
  CHECK(source.read(out) == 0);
}

TEST_CASE("a pipe that closes with nothing, or brings a header, is refused", "[unit]") {
  std::vector<float> out(4);
  {
    Pipe pipe;
    pipe.close_writer();
    audio::RawPcmSource source(pipe.ends[0], 16000, "standard input");
    CHECK_THROWS_WITH(source.read(out), "samples: expected at least 1, found 0 in standard input");
  }
  {
    Pipe pipe;
    pipe.write("RIFF....WAVE");
    audio::RawPcmSource source(pipe.ends[0], 16000, "standard input");
    CHECK_THROWS_WITH(source.read(out), Contains("found a RIFF header"));
  }
  audio::RawPcmSource bad(999, 16000, "standard input");
  CHECK_THROWS_AS(bad.read(out), core::LoadError);
}

TEST_CASE("a stop request ends a pipe that has nothing to say", "[unit]") {
  Pipe pipe;
  std::vector<float> out(4);
  audio::RawPcmSource source(pipe.ends[0], 16000, "pipe", &always_stop);
  CHECK(source.read(out) == 0);
}

TEST_CASE("samples in memory are read in order to the end", "[unit]") {
  audio::MemorySource source({1.0F, 2.0F, 3.0F}, 8000);
  std::vector<float> out(2);
  CHECK(source.read(out) == 2);
  CHECK(out == std::vector<float>{1.0F, 2.0F});
  CHECK(source.read(out) == 1);
  CHECK(out[0] == 3.0F);
  CHECK(source.read(out) == 0);
  CHECK(source.num_samples() == 3);
}
