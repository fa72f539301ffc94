#include "tools/train/child_process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <iterator>
#include <regex>
#include <thread>

#include "runtime/core/error.h"
#include "runtime/core/program.h"

namespace duet::train {
namespace {

core::LoadError cannot(const std::string& what, const std::string& path, int error) {
  return core::LoadError({.subject = what,
                          .expected = "success",
                          .found = std::strerror(error),
                          .file = path,
                          .hint = {}});
}

int open_file(const std::string& path, int flags) {
  const int file = ::open(path.c_str(), flags | O_CLOEXEC, 0644);
  if (file < 0) throw cannot("opening", path, errno);
  return file;
}

pid_t start(const std::string& command, const std::string& log_path) {
  const int log = open_file(log_path, O_WRONLY | O_CREAT | O_APPEND);
  const int nothing = open_file("/dev/null", O_RDONLY);
  pid_t child = -1;
  const int error = core::start_program({"/bin/sh", "-c", command},
                                        {.in = nothing, .out = log, .err = log}, child);
  ::close(log);
  ::close(nothing);
  if (error != 0) throw cannot("starting " + command, log_path, error);
  return child;
}

}  // namespace

ChildResult run_child(const std::string& command, const std::string& log_path,
                      const std::function<bool()>& should_stop,
                      const std::function<void()>& on_poll) {
  const pid_t child = start(command, log_path);
  ChildResult result;
  int status = 0;
  for (;;) {
    const pid_t ended = ::waitpid(child, &status, WNOHANG);
    if (ended == child || (ended < 0 && errno != EINTR)) break;
    if (should_stop() && !result.was_interrupted) {
      result.was_interrupted = true;
      ::kill(-child, SIGINT);
    }
    on_poll();
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return result;
}

std::string last_line(const std::string& log_path) {
  constexpr std::streamoff kTail = 2000;
  std::ifstream stream(log_path, std::ios::binary | std::ios::ate);
  if (!stream) return "";
  stream.seekg(std::max<std::streamoff>(0, stream.tellg() - kTail));
  std::string text{std::istreambuf_iterator<char>(stream), {}};
  const std::size_t end = text.find_last_not_of(" \r\n");
  if (end == std::string::npos) return "";
  text.resize(end + 1);
  const std::size_t begin = text.find_last_of("\r\n");
  return begin == std::string::npos ? text : text.substr(begin + 1);
}

double share_in(const std::string& line) {
  static const std::regex percent("(^| )(\\d{1,3})%"), parts("(\\d+)/(\\d+)");
  std::smatch match;
  if (std::regex_search(line, match, percent)) return std::min(1.0, std::stod(match[2]) / 100.0);
  if (!std::regex_search(line, match, parts) || std::stod(match[2]) <= 0.0) return -1.0;
  return std::min(1.0, std::stod(match[1]) / std::stod(match[2]));
}

std::string shell_word(const std::string& text) {
  std::string word = "'";
  for (const char c : text) word += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return word + "'";
}

}  // namespace duet::train
