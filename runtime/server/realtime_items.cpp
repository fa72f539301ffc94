#include "runtime/server/realtime_items.h"

#include <algorithm>
#include <utility>

namespace duet::server {

RealtimeItems::RealtimeItems(std::string prefix, std::size_t max_items)
    : prefix_(std::move(prefix)), max_items_(std::max<std::size_t>(max_items, 2)) {}

std::string RealtimeItems::next_id(const char* kind) {
  return std::string(kind) + '_' + prefix_ + '_' + std::to_string(++num_ids_);
}

std::optional<std::string> RealtimeItems::add(ConversationItem item,
                                              const std::optional<std::string>& previous_id) {
  if (find(item.item.id) != nullptr) return std::nullopt;
  auto place = items_.end();
  if (previous_id == "root") {
    place = items_.begin();
  } else if (previous_id) {
    place = std::find_if(items_.begin(), items_.end(),
                         [&](const auto& other) { return other.item.id == *previous_id; });
    if (place == items_.end()) return std::nullopt;
    ++place;
  }
  std::string before = place == items_.begin() ? "" : std::prev(place)->item.id;
  items_.insert(place, std::move(item));
  if (items_.size() > max_items_) items_.pop_front();
  return before;
}

ConversationItem* RealtimeItems::find(std::string_view id) {
  const auto found = std::find_if(items_.rbegin(), items_.rend(),
                                  [&](const auto& item) { return item.item.id == id; });
  return found == items_.rend() ? nullptr : &*found;
}

bool RealtimeItems::remove(std::string_view id) {
  return std::erase_if(items_, [&](const auto& item) { return item.item.id == id; }) > 0;
}

void truncate_item(ConversationItem& item, std::int64_t end_ms) {
  const auto limit = static_cast<double>(end_ms);
  std::erase_if(item.marks, [&](const TextMark& mark) { return mark.begin_ms >= limit; });
  std::string heard;
  for (const TextMark& mark : item.marks) heard += mark.text;
  item.audio_ms = std::min(item.audio_ms, limit);
  for (auto& content : item.item.content)
    if (content.transcript) content.transcript = heard;
}

}  // namespace duet::server
