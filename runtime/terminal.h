#pragma once
// A terminal's keys, one by one, without return and without waiting.

#include <cstddef>
#include <memory>

namespace duet::runtime {

/// While it lives, the terminal on standard input gives keys as they are pressed and shows none.
/// Ctrl-C stays what it is. Where there is no terminal there are no keys. One at a time.
class TerminalKeys {
 public:
  explicit TerminalKeys(int fd = 0);
  ~TerminalKeys();
  TerminalKeys(const TerminalKeys&) = delete;
  TerminalKeys& operator=(const TerminalKeys&) = delete;

  /// The next key, 0 when there is none. Never waits.
  int read();

 private:
  struct Saved;
  int fd_;
  std::unique_ptr<Saved> saved_;  // Empty: no terminal.
};

bool is_terminal(int fd);
/// 80 where it is not known.
std::size_t terminal_columns(int fd);

}  // namespace duet::runtime
