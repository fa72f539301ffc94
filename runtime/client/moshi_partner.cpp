// Moshi's binary protocol, as its clients speak it: codecs/wire/moshi_frame.h.

#include <algorithm>

#include "codecs/wire/moshi_frame.h"
#include "codecs/wire/ogg_opus_decoder.h"
#include "codecs/wire/ogg_opus_encoder.h"
#include "runtime/client/server_partner.h"

namespace duet::client {

using runtime::StepOutput;
using runtime::bench::LostError;

namespace {

/// Words after so many seconds without any begin another reply: the protocol does not say.
constexpr double kReplyGapSeconds = 1.5;
/// The sender's Opus pages and the receiver's look-ahead: a stream that trails by less is whole.
constexpr double kWholeSeconds = 0.1;
/// A server that gives more sound than it was given would not keep the clock.
constexpr double kMaxAheadSeconds = 10.0;

wire::OggOpusEncoder::Config encoder_config() {
  // One page, so one message, a step; enough bits that the codec is not what is measured.
  return {.packet_ms = 20, .packets_per_page = 4, .bitrate_bps = 48000, .complexity = 5};
}

class MoshiPartner : public ServerPartner {
 public:
  MoshiPartner(const ServerOptions& options, const runtime::EngineInfo& info)
      : ServerPartner(options, info, "/api/chat"),
        info_(&info),
        encoder_(encoder_config()),
        last_audio_(WebSocket::Clock::now()) {
    await("handshake", [this] { return has_handshake_; });
    last_audio_ = WebSocket::Clock::now();
  }
  std::optional<double> lag_s() const noexcept override { return worst_lag_s_; }

 private:
  void send_block(std::span<const float> block) override {
    pages_.clear();
    encoder_.encode(block, pages_);
    socket().send_binary(wire::write_moshi_audio(pages_));
  }

  void on_message(const Message& message) override {
    if (message.is_text) {
      throw wire::WireError(
          {.subject = "message", .expected = "binary", .found = "text", .file = "", .hint = ""});
    }
    const wire::MoshiFrame frame = wire::parse_moshi_frame(message.bytes());
    switch (frame.kind) {
      case wire::MoshiKind::kHandshake: has_handshake_ = true; break;
      case wire::MoshiKind::kAudio: {
        const std::size_t before = stream_.size();
        decoder_.decode(frame.payload, stream_);
        if (stream_.size() > before) last_audio_ = WebSocket::Clock::now();
        break;
      }
      case wire::MoshiKind::kText: text_ += frame.text; break;
      case wire::MoshiKind::kError: note_error(std::string(frame.text)); break;
      default: break;
    }
  }

  double seconds(std::size_t num_samples) const {
    return static_cast<double>(num_samples) / info_->output_rate_hz;
  }
  std::size_t num_missing() const { return num_sent() - std::min(num_sent(), stream_.size()); }

  void collect(StepOutput& out) override {
    add_text(out);
    const auto block = static_cast<std::size_t>(info_->output_block_samples);
    const std::size_t missing = num_missing();
    // The block just sent is not due yet.
    worst_lag_s_ = std::max(worst_lag_s_, seconds(missing - std::min(missing, block)));
    if (stream_.size() > num_sent() && seconds(stream_.size() - num_sent()) > kMaxAheadSeconds)
      throw LostError("it sends more sound than it is sent", false);
    if (seconds_since(last_audio_) > options().stall_timeout_s)
      throw LostError("no audio for " + tenths(options().stall_timeout_s) + " s", true);
    if (worst_lag_s_ > options().max_lag_s)
      throw LostError("fell " + tenths(worst_lag_s_) + " s behind real time", false);
    take_stream(out, num_sent());
  }

  bool is_waiting() const override {
    return seconds(num_missing()) > kWholeSeconds &&
           seconds_since(last_audio_) < std::min(1.0, options().stall_timeout_s);
  }
  void collect_rest(StepOutput& out) override {
    add_text(out);
    take_stream(out, num_sent());
  }

  void take_stream(StepOutput& out, std::size_t until) {
    const std::size_t end = std::min(until, stream_.size());
    if (end <= num_taken_) return;
    out.pcm.assign(stream_.begin() + static_cast<std::ptrdiff_t>(num_taken_),
                   stream_.begin() + static_cast<std::ptrdiff_t>(end));
    num_taken_ = end;
  }

  void add_text(StepOutput& out) {
    if (text_.empty()) return;
    const double now_s = seconds(num_sent());
    out.agent_turn_started = last_text_s_ < 0.0 || now_s - last_text_s_ > kReplyGapSeconds;
    last_text_s_ = now_s;
    out.agent_text.swap(text_);
    text_.clear();
  }

  static std::string tenths(double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%.1f", value);
    return text;
  }

  const runtime::EngineInfo* info_;
  wire::OggOpusEncoder encoder_;
  wire::OggOpusDecoder decoder_;
  std::vector<std::uint8_t> pages_;
  std::vector<float> stream_;  // All that came: minutes of a dialogue are a few MB.
  std::size_t num_taken_ = 0;
  std::string text_;
  double last_text_s_ = -1.0, worst_lag_s_ = 0.0;
  bool has_handshake_ = false;
  WebSocket::Clock::time_point last_audio_;
};

}  // namespace

std::unique_ptr<runtime::bench::Partner> connect_moshi(const ServerOptions& options,
                                                       const runtime::EngineInfo& info) {
  return std::make_unique<MoshiPartner>(options, info);
}

}  // namespace duet::client
