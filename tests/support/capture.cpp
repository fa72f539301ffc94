#include "tests/support/capture.h"

#include <unistd.h>

#include <array>
#include <cstdio>
#include <iostream>

namespace duet::test {
namespace {

class Redirect {
 public:
  explicit Redirect(int descriptor)
      : descriptor_(descriptor), saved_(dup(descriptor)), file_(std::tmpfile()) {
    dup2(fileno(file_), descriptor_);
  }
  Redirect(const Redirect&) = delete;
  Redirect& operator=(const Redirect&) = delete;
  ~Redirect() {
    restore();
    std::fclose(file_);
  }
  void restore() {
    if (saved_ < 0) return;
    dup2(saved_, descriptor_);
    close(saved_);
    saved_ = -1;
  }
  std::string text() {
    std::string all;
    std::array<char, 4096> block{};
    std::rewind(file_);
    while (const size_t count = std::fread(block.data(), 1, block.size(), file_))
      all.append(block.data(), count);
    return all;
  }

 private:
  int descriptor_;
  int saved_;
  std::FILE* file_;
};

void flush_all() {
  std::cout.flush();
  std::cerr.flush();
  std::fflush(nullptr);
}

}  // namespace

Captured capture(const std::function<int()>& body) {
  flush_all();
  Captured captured;
  Redirect out(STDOUT_FILENO), err(STDERR_FILENO);
  captured.result = body();
  flush_all();
  out.restore();
  err.restore();
  captured.out = out.text();
  captured.err = err.text();
  return captured;
}

}  // namespace duet::test
