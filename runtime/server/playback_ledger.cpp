#include "runtime/server/playback_ledger.h"

#include <algorithm>

namespace duet::server {

void PlaybackLedger::begin(const std::string& response_id, const std::string& item_id) {
  rows_.push_back({response_id, item_id, {}});
  if (rows_.size() > kMaxResponses) rows_.pop_front();
}

void PlaybackLedger::add(double generated_ms, double sent_ms) {
  if (rows_.empty()) return;
  rows_.back().state.generated_ms = generated_ms;
  rows_.back().state.sent_ms = sent_ms;
}

void PlaybackLedger::finish(bool commit_all) {
  if (rows_.empty() || !commit_all) return;
  wire::PlaybackState& state = rows_.back().state;
  state.played_ms = state.committed_ms = state.sent_ms;
}

PlaybackLedger::Answer PlaybackLedger::acknowledge(const wire::DuplexEvent& ack) {
  const auto found = std::find_if(rows_.rbegin(), rows_.rend(), [&](const Row& row) {
    return ack.item_id.empty() ? row.response_id == ack.response_id : row.item_id == ack.item_id;
  });
  if (found == rows_.rend()) return {.error_code = "playback_item_not_found"};
  if (!ack.response_id.empty() && found->response_id != ack.response_id)
    return {.error_code = "playback_item_mismatch"};
  wire::PlaybackState& state = found->state;
  const auto played = std::min(static_cast<double>(ack.played_ms), state.sent_ms);
  // Acknowledgements may overtake each other: what was heard stays heard.
  state.played_ms = std::max(state.played_ms, played);
  state.committed_ms = std::max(state.committed_ms,
                                std::min(static_cast<double>(ack.committed_ms), state.played_ms));
  return {.playback = state,
          .item_id = found->item_id,
          .is_all_committed = state.committed_ms + 0.5 >= state.sent_ms};
}

wire::PlaybackState PlaybackLedger::current() const {
  return rows_.empty() ? wire::PlaybackState{} : rows_.back().state;
}

}  // namespace duet::server
