#pragma once
// One turn of the agent as the events of a response, each in its place: created, output item, item,
// part, deltas, and the whole ending whatever ended it.

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "audio/resampler.h"
#include "codecs/wire/realtime_session.h"
#include "codecs/wire/realtime_writer.h"
#include "runtime/server/dialect.h"
#include "runtime/server/realtime_items.h"

namespace duet::server {

class RealtimeResponse {
 public:
  RealtimeResponse(Link& link, wire::RealtimeWriter& writer, RealtimeItems& items,
                   int engine_rate_hz);

  /// What the duplex extensions add: all three are set, or none.
  struct Hooks {
    std::function<void()> before_audio;  ///< Once a response, before its first delta.
    /// Members for an audio delta, given milliseconds generated and sent (this delta included).
    std::function<std::string(double, double)> audio_members;
    std::function<std::string(std::string_view)> item_created;  ///< From item_added.
  };
  void set_hooks(Hooks hooks) { hooks_ = std::move(hooks); }

  bool is_open() const noexcept { return is_open_; }
  const std::string& id() const noexcept { return part_.response_id; }
  const std::string& item_id() const noexcept { return part_.item_id; }
  bool has_spoken() const noexcept { return has_spoken_; }  ///< Any audio so far, ever.

  void begin(const wire::RealtimeSettings& settings, const std::string& conversation_id);
  void say(std::string_view text);
  void play(std::span<const float> pcm);
  /// `reason` as wire::RealtimeResponse::reason.
  void end(wire::ResponseStatus status, const std::string& reason);

 private:
  void flush_audio();
  wire::RealtimeContent content() const;
  wire::RealtimeItem item(const char* status, bool with_content) const;

  Link* link_;
  wire::RealtimeWriter* writer_;
  RealtimeItems* items_;
  int engine_rate_hz_;
  audio::Resampler resampler_;
  wire::AudioFormat format_ = wire::AudioFormat::kPcm16;
  wire::RealtimePart part_;
  std::string conversation_id_, previous_id_, text_;
  Hooks hooks_;
  bool is_open_ = false, has_audio_ = false, speaks_ = true, has_spoken_ = false, is_held_ = false;
  std::int64_t num_steps_ = 0, num_pieces_ = 0;
  double audio_ms_ = 0.0;
  std::vector<float> resampled_;
  std::vector<std::uint8_t> bytes_;
};

}  // namespace duet::server
