#pragma once
// The conversation that a Realtime client sees: its items in order, and what was said when in those
// of the agent, so that a client that stopped playing can cut them where its user stopped hearing.

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "codecs/wire/realtime_events.h"

namespace duet::server {

/// A piece of an agent's words and the audio that had been sent before it.
struct TextMark {
  std::string text;
  double begin_ms = 0.0;
};

struct ConversationItem {
  wire::RealtimeItem item = {};
  double audio_ms = 0.0;  ///< Sent so far, of an agent's item.
  std::vector<TextMark> marks = {};
};

class RealtimeItems {
 public:
  /// `prefix` makes ids unique: "item_" prefix "_" number.
  RealtimeItems(std::string prefix, std::size_t max_items);

  std::string next_id(const char* kind);
  /// Adds at the end, or after `previous_id` ("root": at the beginning). Returns the id of the item
  /// before it ("" at the beginning), or nothing when there is no such item or the id is taken.
  std::optional<std::string> add(ConversationItem item,
                                 const std::optional<std::string>& previous_id = std::nullopt);
  ConversationItem* find(std::string_view id);
  bool remove(std::string_view id);
  std::size_t size() const noexcept { return items_.size(); }

 private:
  std::string prefix_;
  std::size_t max_items_;
  std::uint64_t num_ids_ = 0;
  std::deque<ConversationItem> items_;
};

/// Cuts an agent's item: what began at or after `end_ms` was not heard.
void truncate_item(ConversationItem& item, std::int64_t end_ms);

/// What is known of the user's present turn.
struct UserTurn {
  std::string item_id;
  std::string transcript;
  std::string previous_id;
  bool is_open = false;       // Speech (or words) came, and no item was made of it yet.
  bool is_committed = false;  // An item; its transcript is still growing.
  int num_late = 0;
  double begin_s = 0.0, end_s = 0.0;
};

}  // namespace duet::server
