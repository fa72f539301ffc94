#pragma once
// A conversation on disk: FOLDER/SESSION.wav, left the user, right the agent, at the agent's rate,
// step beside step; FOLDER/SESSION.jsonl with the words and turns. Made only when the operator's
// configuration and the client both say so.

#include <memory>
#include <string>

#include "runtime/engine.h"
#include "runtime/server/scheduler.h"

namespace duet::server {

/// The thread of the conversation's holder. Writes go to the page cache; a file system that fails
/// ends the recording, not the conversation.
class Recording {
 public:
  /// Null, and a line in the log, when the files cannot be made.
  static std::unique_ptr<Recording> open(const std::string& folder, const std::string& session_id,
                                         const runtime::EngineInfo& info);
  ~Recording();  ///< Completes the files.
  Recording(const Recording&) = delete;
  Recording& operator=(const Recording&) = delete;

  /// Steps in their order, with Step::input; those without are silence of the user.
  void add(const Step& step);

 private:
  Recording();
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace duet::server
