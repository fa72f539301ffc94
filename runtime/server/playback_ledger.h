#pragma once
// What of the agent's audio the user has heard, as far as a client that plays it tells. A client's
// word is kept within what was sent to it; words about a response that has ended are as good as
// others, as they travel while it ends.

#include <cstdint>
#include <deque>
#include <optional>
#include <string>

#include "codecs/wire/duplex_events.h"
#include "codecs/wire/duplex_writer.h"

namespace duet::server {

/// One thread.
class PlaybackLedger {
 public:
  static constexpr std::size_t kMaxResponses = 64;  ///< Older ones are forgotten.

  void begin(const std::string& response_id, const std::string& item_id);
  /// Of the last response begun: its audio so far.
  void add(double generated_ms, double sent_ms);
  /// The response is complete; where everything sent counts as heard, this is the moment.
  void finish(bool commit_all);

  struct Answer {
    const char* error_code = nullptr;  ///< playback_item_not_found, playback_item_mismatch.
    wire::PlaybackState playback = {};
    std::string item_id = {};
    bool is_all_committed = false;
  };
  Answer acknowledge(const wire::DuplexEvent& ack);

  /// Of the last response; zeros before the first.
  wire::PlaybackState current() const;

 private:
  struct Row {
    std::string response_id, item_id;
    wire::PlaybackState state;
  };
  std::deque<Row> rows_;
};

}  // namespace duet::server
