#pragma once
// A program of its own for a stage of a long job: its output goes to a log, Ctrl-C is passed on
// once.

#include <functional>
#include <string>

namespace duet::train {

struct ChildResult {
  int exit_code = 0;             ///< 128 + signal when a signal ended it.
  bool was_interrupted = false;  ///< `should_stop` became true, and it was told so (SIGINT).
};

/// Runs `command` by /bin/sh in a process group of its own, so that Ctrl-C reaches it through us
/// only, until it ends. stdout and stderr are appended to `log_path`; stdin is empty. `on_poll` is
/// called a few times a second. Throws core::LoadError when the log cannot be written or no process
/// started.
ChildResult run_child(const std::string& command, const std::string& log_path,
                      const std::function<bool()>& should_stop,
                      const std::function<void()>& on_poll);

/// The last line of a log that is still written, without its end; progress bars redraw theirs with
/// \r, which ends a line too. Empty: none.
std::string last_line(const std::string& log_path);

/// How far a program says it is, 0 to 1, from such a line: "train 42% [...]" or "units: 27/204
/// files"; negative when it says nothing.
double share_in(const std::string& line);

/// `text` as one word of /bin/sh.
std::string shell_word(const std::string& text);

}  // namespace duet::train
