#pragma once
// The operator's program that is asked after each turn of the user and whose words the agent says.
//
// One process for all conversations, started once and again when it ends. It reads a line of JSON
// for each question on its standard input and writes one for each answer on its standard output, in
// any order:
//   {"id": "dlg_1", "session": "sess_...", "user": "two coffees please",
//    "history": [{"role": "user"|"assistant", "text": "..."}, ...]}
//   {"id": "dlg_1", "say": "Which size?"}        without `say`, or with none: the model's own words
// A question that is not answered in time is given up.

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "runtime/server/metrics.h"

namespace duet::server {

struct DelegateQuestion {
  std::string id, session, user;
  std::vector<std::pair<std::string, std::string>> history;  ///< Role, text; the oldest first.
};

/// Any thread.
class Delegate {
 public:
  /// `command`: the program and its arguments. `metrics` must outlive it. Throws core::ConfigError
  /// when the program cannot be started.
  Delegate(std::vector<std::string> command, double timeout_s, Metrics& metrics);
  ~Delegate();  ///< Ends the program.
  Delegate(const Delegate&) = delete;
  Delegate& operator=(const Delegate&) = delete;

  /// `answer` is called once, on the delegate's own thread: with the words, or with none. At most
  /// 256 questions wait; more are given up at once, on the caller's thread.
  void ask(const DelegateQuestion& question, std::function<void(std::string)> answer);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace duet::server
