#include "runtime/server/realtime_response.h"

#include <utility>

namespace duet::server {

using wire::ResponseStatus;

RealtimeResponse::RealtimeResponse(Link& link, wire::RealtimeWriter& writer, RealtimeItems& items,
                                   int engine_rate_hz)
    : link_(&link),
      writer_(&writer),
      items_(&items),
      engine_rate_hz_(engine_rate_hz),
      resampler_(engine_rate_hz, wire::rate_hz(wire::AudioFormat::kPcm16)) {}

wire::RealtimeContent RealtimeResponse::content() const {
  wire::RealtimeContent content;
  content.type = speaks_ ? "output_audio" : "output_text";
  if (speaks_)
    content.transcript = text_;
  else
    content.text = text_;
  return content;
}

wire::RealtimeItem RealtimeResponse::item(const char* status, bool with_content) const {
  wire::RealtimeItem item;
  item.id = part_.item_id;
  item.role = "assistant";
  item.status = status;
  if (with_content) item.content = {content()};
  return item;
}

void RealtimeResponse::begin(const wire::RealtimeSettings& settings,
                             const std::string& conversation_id) {
  is_open_ = true;
  speaks_ = settings.speaks;
  if (format_ != settings.output_format) {
    format_ = settings.output_format;
    resampler_ = audio::Resampler(engine_rate_hz_, wire::rate_hz(format_));
  }
  resampler_.reset();
  bytes_.clear();
  text_.clear();
  audio_ms_ = 0.0;
  num_steps_ = num_pieces_ = 0;
  is_held_ = speaks_;
  has_audio_ = false;
  conversation_id_ = conversation_id;
  part_ = {.response_id = items_->next_id("resp"), .item_id = items_->next_id("item")};
  const wire::RealtimeItem empty = item("in_progress", false);
  wire::RealtimeContent nothing = content();
  previous_id_ = items_->add({.item = item("in_progress", true)}).value_or("");
  wire::RealtimeResponse response;
  response.id = part_.response_id;
  response.conversation_id = conversation_id_;
  link_->send_text(writer_->response_created(response), Lane::kControl);
  link_->send_text(writer_->output_item_added(part_, empty), Lane::kControl);
  const std::string added = writer_->item_added(empty, previous_id_);
  link_->send_text(added, Lane::kControl);
  if (hooks_.item_created) link_->send_text(hooks_.item_created(added), Lane::kControl);
  link_->send_text(writer_->content_part_added(part_, nothing), Lane::kControl);
}

void RealtimeResponse::say(std::string_view text) {
  if (text.empty()) return;
  ++num_pieces_;
  text_ += text;
  if (ConversationItem* kept = items_->find(part_.item_id)) {
    kept->marks.push_back({std::string(text), audio_ms_});
    kept->item.content = {content()};
  }
  link_->send_text(
      speaks_ ? writer_->transcript_delta(part_, text) : writer_->text_delta(part_, text),
      Lane::kControl);
}

void RealtimeResponse::play(std::span<const float> pcm) {
  ++num_steps_;
  audio_ms_ += 1000.0 * static_cast<double>(pcm.size()) / engine_rate_hz_;
  if (ConversationItem* kept = items_->find(part_.item_id)) kept->audio_ms = audio_ms_;
  if (!speaks_) return;
  resampled_.clear();
  resampler_.process(pcm, resampled_);
  wire::write_pcm(format_, resampled_, bytes_);
  if (!std::exchange(is_held_, false)) flush_audio();  // The first step goes with the second.
}

void RealtimeResponse::flush_audio() {
  if (bytes_.empty()) return;
  has_spoken_ = true;
  if (!std::exchange(has_audio_, true) && hooks_.before_audio) hooks_.before_audio();
  std::string delta = writer_->audio_delta(part_, bytes_);
  if (hooks_.audio_members)
    delta.insert(delta.size() - 1, hooks_.audio_members(audio_ms_, audio_ms_));
  link_->send_text(std::move(delta), Lane::kAudio);
  bytes_.clear();
}

void RealtimeResponse::end(ResponseStatus status, const std::string& reason) {
  if (!std::exchange(is_open_, false)) return;
  const bool is_whole = status == ResponseStatus::kCompleted;
  if (speaks_) {
    if (is_whole) flush_audio();
    link_->send_text(writer_->audio_done(part_), Lane::kControl);
    link_->send_text(writer_->transcript_done(part_, text_), Lane::kControl);
  } else {
    link_->send_text(writer_->text_done(part_, text_), Lane::kControl);
  }
  const wire::RealtimeItem whole = item(is_whole ? "completed" : "incomplete", true);
  if (ConversationItem* kept = items_->find(part_.item_id)) kept->item = whole;
  link_->send_text(writer_->content_part_done(part_, content()), Lane::kControl);
  link_->send_text(writer_->output_item_done(part_, whole), Lane::kControl);
  if (std::string done = writer_->item_done(whole, previous_id_); !done.empty())
    link_->send_text(std::move(done), Lane::kControl);
  wire::RealtimeResponse response;
  response.id = part_.response_id;
  response.conversation_id = conversation_id_;
  response.status = status;
  response.reason = reason;
  response.output = {whole};
  response.usage = wire::RealtimeUsage{.input_text_tokens = 0,
                                       .input_audio_tokens = num_steps_,
                                       .output_text_tokens = num_pieces_,
                                       .output_audio_tokens = speaks_ ? num_steps_ : 0};
  link_->send_text(writer_->response_done(response), Lane::kControl);
  link_->send_text(writer_->rate_limits_updated(), Lane::kControl);
}

}  // namespace duet::server
