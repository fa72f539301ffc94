#include "runtime/server/moshi_dialect.h"

#include "codecs/wire/moshi_frame.h"
#include "codecs/wire/ogg_opus_decoder.h"
#include "codecs/wire/ogg_opus_encoder.h"
#include "runtime/server/turn_clock.h"

namespace duet::server {
namespace {

constexpr int kOpusRateHz = wire::OggOpusDecoder::kRateHz;

wire::OggOpusDecoder::Config decoder_config() {
  wire::OggOpusDecoder::Config config;
  config.max_call_s = 30;  // Of one message; live clients send less than a second.
  config.resync = true;
  return config;
}

wire::OggOpusEncoder::Config encoder_config(int bitrate_bps) {
  wire::OggOpusEncoder::Config config;
  config.packet_ms = 40;  // As Moshi's server: two pages a step.
  config.bitrate_bps = bitrate_bps;
  config.complexity = 3;
  return config;
}

class MoshiDialect : public Dialect {
 public:
  MoshiDialect(Link& link, Seat& seat, Metrics& metrics, Companion& companion,
               const MoshiDialectOptions& options)
      : link_(&link),
        metrics_(&metrics),
        companion_(&companion),
        options_(options),
        input_(seat, kOpusRateHz),
        to_opus_(seat.info().output_rate_hz, kOpusRateHz),
        decoder_(decoder_config()),
        encoder_(encoder_config(options.opus_bitrate_bps)),
        limits_(options.limits, Clock::now()),
        clock_(seat.info(), metrics),
        warning_steps_(
            static_cast<std::int64_t>(options.limits.warning_s / seat.info().step_seconds)) {}

  void open() override {
    link_->send_binary(
        wire::write_moshi_metadata(wire::moshi_metadata_json(options_.query, options_.info)),
        Lane::kControl);
    link_->send_binary(wire::write_moshi_handshake(), Lane::kControl);
  }

  void on_message(std::span<const std::uint8_t> message, bool is_text) override {
    if (is_text) {
      metrics_->bad_messages.fetch_add(1, std::memory_order_relaxed);
      return;
    }
    try {
      const wire::MoshiFrame frame = wire::parse_moshi_frame(message);
      if (frame.kind != wire::MoshiKind::kAudio) return;
      limits_.touch(Clock::now());
      hear(frame.payload);
    } catch (const wire::WireError&) {
      metrics_->bad_messages.fetch_add(1, std::memory_order_relaxed);
    }
  }

  void on_step(Step& step) override {
    if (!step.failure.empty()) {
      end("The conversation failed.", kCloseInternal);
      return;
    }
    clock_.follow(step);
    companion_->follow(step, clock_);
    const std::vector<float>* pcm = &step.out.pcm;
    if (to_opus_.input_rate_hz() != kOpusRateHz) {
      resampled_.clear();
      to_opus_.process(step.out.pcm, resampled_);
      pcm = &resampled_;
    }
    pages_.clear();
    encoder_.encode(*pcm, pages_);
    link_->send_binary(wire::write_moshi_audio(pages_), Lane::kAudio);
    if (!step.out.agent_text.empty())
      link_->send_binary(wire::write_moshi_text(step.out.agent_text), Lane::kControl);
    const std::int64_t left = options_.query.max_steps - (step.index + 1);
    if (left == warning_steps_) warn(options_.limits.warning_s);
    if (left <= 0) end("The conversation has reached its length.", kCloseNormal);
  }

  void on_tick(Clock::time_point now) override {
    switch (limits_.check(now)) {
      case LimitWatch::Event::kWarnLength:
      case LimitWatch::Event::kWarnIdle: warn(options_.limits.warning_s); break;
      case LimitWatch::Event::kEndLength:
        end("The conversation has reached its length.", kCloseNormal);
        break;
      case LimitWatch::Event::kEndIdle: end("No audio came.", kCloseNormal); break;
      case LimitWatch::Event::kNone: break;
    }
  }

  void on_drain(double left_s) override { warn(left_s); }
  void on_shutdown() override { end("The server is shutting down.", kCloseGoingAway); }
  bool wants_input() override { return input_.pump(); }

 private:
  void hear(std::span<const std::uint8_t> ogg) {
    heard_.clear();
    try {
      decoder_.decode(ogg, heard_);
    } catch (const wire::WireError&) {  // Not what resync can mend: the next stream starts anew.
      decoder_.reset();
      metrics_->bad_messages.fetch_add(1, std::memory_order_relaxed);
    }
    input_.feed(heard_);
  }

  /// Kind 5 is the one message that the web client shows to its user; the others ignore it.
  void warn(double left_s) {
    link_->send_binary(
        wire::write_moshi_error("This conversation ends in " +
                                std::to_string(static_cast<int>(left_s)) + " seconds."),
        Lane::kControl);
  }

  void end(const char* why, int code) {
    link_->send_binary(wire::write_moshi_error(why), Lane::kControl);
    link_->close(code, why);
  }

  Link* link_;
  Metrics* metrics_;
  Companion* companion_;
  MoshiDialectOptions options_;
  InputPath input_;
  audio::Resampler to_opus_;
  wire::OggOpusDecoder decoder_;
  wire::OggOpusEncoder encoder_;
  LimitWatch limits_;
  TurnClock clock_;
  std::int64_t warning_steps_;
  std::vector<float> heard_, resampled_;
  std::vector<std::uint8_t> pages_;
};

}  // namespace

std::unique_ptr<Dialect> make_moshi_dialect(Link& link, Seat& seat, Metrics& metrics,
                                            Companion& companion,
                                            const MoshiDialectOptions& options) {
  return std::make_unique<MoshiDialect>(link, seat, metrics, companion, options);
}

void refuse_moshi(Link& link) {
  const char* why = "All conversations are taken; try again later.";
  link.send_binary(wire::write_moshi_error(why), Lane::kControl);
  link.close(kCloseTryAgain, why);
}

}  // namespace duet::server
