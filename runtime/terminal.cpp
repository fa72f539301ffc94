#include "runtime/terminal.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <utility>

namespace duet::runtime {

struct TerminalKeys::Saved {
  termios settings{};
};

TerminalKeys::TerminalKeys(int fd) : fd_(fd) {
  auto saved = std::make_unique<Saved>();
  if (::tcgetattr(fd, &saved->settings) != 0) return;
  termios raw = saved->settings;
  raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
  raw.c_cc[VMIN] = 0;
  raw.c_cc[VTIME] = 0;
  if (::tcsetattr(fd, TCSANOW, &raw) == 0) saved_ = std::move(saved);
}

TerminalKeys::~TerminalKeys() {
  if (saved_) ::tcsetattr(fd_, TCSANOW, &saved_->settings);
}

int TerminalKeys::read() {
  if (!saved_) return 0;
  pollfd ready{.fd = fd_, .events = POLLIN, .revents = 0};
  if (::poll(&ready, 1, 0) <= 0) return 0;
  unsigned char key = 0;
  return ::read(fd_, &key, 1) == 1 ? key : 0;
}

bool is_terminal(int fd) { return ::isatty(fd) == 1; }

std::size_t terminal_columns(int fd) {
  winsize size{};
  return ::ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

}  // namespace duet::runtime
