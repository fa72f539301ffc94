#include "runtime/server/live_dialect.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "codecs/wire/live_events.h"
#include "codecs/wire/pcm.h"
#include "runtime/server/turn_clock.h"

namespace duet::server {
namespace {

using wire::LiveEvent;
using wire::LiveEventType;
using wire::RealtimeError;

constexpr double kUsageEveryS = 10.0;

class LiveDialect : public Dialect {
 public:
  LiveDialect(Link& link, Seat& seat, Metrics& metrics, Companion& companion,
              const LiveDialectOptions& options)
      : link_(&link),
        seat_(&seat),
        metrics_(&metrics),
        companion_(&companion),
        options_(options),
        opened_(Clock::now()),
        limits_(options.limits, opened_),
        reader_(wire::AudioFormat::kPcm16),
        input_(seat, wire::rate_hz(wire::AudioFormat::kPcm16)),
        output_(seat.info().output_rate_hz, wire::rate_hz(wire::AudioFormat::kPcm16)),
        clock_(seat.info(), metrics) {
    companion.set_on_turn([this](const std::string&) { ask_client(); });
    seat.set_paused(true);  // Until session.start.
  }

  void open() override {}  // The client speaks first.
  void on_message(std::span<const std::uint8_t> message, bool is_text) override;
  void on_step(Step& step) override;
  void on_tick(Clock::time_point now) override;
  void on_shutdown() override { end("connection_lost", kCloseGoingAway); }
  bool wants_input() override { return input_.pump(); }

 private:
  void send(std::string event) { link_->send_text(std::move(event), Lane::kControl); }
  void refuse(const LiveEvent& event, const char* code, std::string message,
              const char* param = "") {
    send(writer_.error(
        {.code = code, .message = std::move(message), .param = param, .event_id = event.event_id}));
  }
  void handle(LiveEvent& event);
  void start(const LiveEvent& event);
  bool accepts_delegation(const LiveEvent& event);
  void hear(const LiveEvent& event);
  void comment(const LiveEvent& event);
  void ask_client();
  void end(const char* reason, int code) {
    send(writer_.closed(reason, seconds()));
    link_->close(code, reason);
  }
  double seconds() const { return static_cast<double>(num_steps_) * seat_->info().step_seconds; }

  Link* link_;
  Seat* seat_;
  Metrics* metrics_;
  Companion* companion_;
  LiveDialectOptions options_;
  Clock::time_point opened_;
  LimitWatch limits_;
  wire::LiveWriter writer_;
  wire::LiveSettings settings_;
  wire::PcmReader reader_;
  InputPath input_;
  audio::Resampler output_;
  TurnClock clock_;
  bool has_started_ = false, is_muted_ = false;
  std::int64_t num_steps_ = 0, num_delegations_ = 0;
  double next_usage_s_ = kUsageEveryS;
  std::vector<float> samples_, resampled_;
  std::vector<std::uint8_t> bytes_;
};

void LiveDialect::on_message(std::span<const std::uint8_t> message, bool) {
  auto parsed =
      wire::parse_live_event({reinterpret_cast<const char*>(message.data()), message.size()});
  if (const auto* error = std::get_if<RealtimeError>(&parsed)) {
    metrics_->bad_messages.fetch_add(1, std::memory_order_relaxed);
    send(writer_.error(*error));
    return;
  }
  auto& event = std::get<LiveEvent>(parsed);
  const bool is_start = event.type == LiveEventType::kStart;
  if (event.type != LiveEventType::kClose && is_start == has_started_)
    return refuse(event, is_start ? "session_already_started" : "session_not_started",
                  is_start ? "the session has started" : "expected session.start first");
  handle(event);
}

void LiveDialect::handle(LiveEvent& event) {
  switch (event.type) {
    case LiveEventType::kStart: return start(event);
    case LiveEventType::kAppend: return hear(event);
    case LiveEventType::kMute:
    case LiveEventType::kUnmute:
      is_muted_ = event.type == LiveEventType::kMute;
      return send(writer_.acknowledged(event));
    case LiveEventType::kCommentary: return comment(event);
    case LiveEventType::kInstructions:
    case LiveEventType::kThinking:
      return refuse(event, "unsupported_event",
                    "the model reads no text; session.commentary.append is said aloud");
    case LiveEventType::kUpdate:
      if (event.settings.delegation != settings_.delegation)
        return refuse(event, "invalid_value", "the kind of delegation stays as it began",
                      "session.delegation.type");
      return send(writer_.acknowledged(event));
    case LiveEventType::kResponseItem:
    case LiveEventType::kResponseCreate:
      return refuse(event, "unsupported_event", "there is no backend model behind this server");
    case LiveEventType::kClose: return end("close_requested", kCloseNormal);
  }
}

bool LiveDialect::accepts_delegation(const LiveEvent& event) {
  if (event.settings.delegation == wire::LiveDelegation::kNone) return true;
  const bool to_program = event.settings.delegation == wire::LiveDelegation::kResponses;
  if (seat_->info().can_say && (!to_program || options_.has_delegate)) return true;
  refuse(event, "unsupported_delegation",
         !seat_->info().can_say ? "the model cannot be given words: no delegation"
                                : "the operator has no program to delegate to; type client works",
         "session.delegation");
  link_->close(kClosePolicy, "unsupported_delegation");
  return false;
}

void LiveDialect::start(const LiveEvent& event) {
  if (!accepts_delegation(event)) return;
  settings_ = event.settings;
  has_started_ = true;
  if (settings_.delegation != wire::LiveDelegation::kClient) companion_->set_on_turn(nullptr);
  if (settings_.may_be_stored) companion_->consent_to_recording();
  reader_ = wire::PcmReader(settings_.format);
  input_.set_rate(settings_.rate_hz);
  output_ = audio::Resampler(seat_->info().output_rate_hz, settings_.rate_hz);
  seat_->set_paused(false);
  send(writer_.started(options_.session_id));
}

void LiveDialect::hear(const LiveEvent& event) {
  limits_.touch(Clock::now());
  samples_.clear();
  reader_.read(event.audio, samples_);
  if (is_muted_) std::fill(samples_.begin(), samples_.end(), 0.0F);
  input_.feed(samples_);
}

void LiveDialect::comment(const LiveEvent& event) {
  if (!seat_->info().can_say)
    return refuse(event, "unsupported_event", "the model cannot be given words");
  seat_->say(event.content);
  send(writer_.acknowledged(event));
}

void LiveDialect::ask_client() {
  if (!has_started_ || settings_.delegation != wire::LiveDelegation::kClient) return;
  send(writer_.delegation_created(
      "dlg_" + options_.session_id + '_' + std::to_string(++num_delegations_),
      wire::LiveDelegation::kClient));
}

void LiveDialect::on_step(Step& step) {
  if (!step.failure.empty()) {
    send(writer_.error(
        {.type = "server_error", .code = "internal_error", .message = "The conversation failed."}));
    end("connection_lost", kCloseInternal);
    return;
  }
  clock_.follow(step);
  if (!has_started_) return;
  ++num_steps_;
  resampled_.clear();
  output_.process(step.out.pcm, resampled_);
  bytes_.clear();
  wire::write_pcm(settings_.format, resampled_, bytes_);
  link_->send_text(writer_.audio(bytes_), Lane::kAudio);
  const double step_ms = 1000.0 * seat_->info().step_seconds;
  const auto begin_ms = std::llround(static_cast<double>(num_steps_ - 1) * step_ms),
             end_ms = std::llround(static_cast<double>(num_steps_) * step_ms);
  if (!step.out.user_text.empty())
    send(writer_.input_transcript(step.out.user_text, begin_ms, end_ms));
  if (!step.out.agent_text.empty())
    send(writer_.output_transcript(step.out.agent_text, begin_ms, end_ms));
  companion_->follow(step, clock_);
  if (seconds() < next_usage_s_) return;
  next_usage_s_ += kUsageEveryS;
  send(writer_.usage(seconds()));
}

void LiveDialect::on_tick(Clock::time_point now) {
  if (!has_started_ &&
      std::chrono::duration<double>(now - opened_).count() > options_.start_timeout_s) {
    send(writer_.error({.code = "session_start_timeout", .message = "no session.start came"}));
    link_->close(kClosePolicy, "no session.start came");
    return;
  }
  switch (limits_.check(now)) {
    case LimitWatch::Event::kEndLength:
    case LimitWatch::Event::kEndIdle: return end("expired", kCloseNormal);
    // The protocol has no word for it; usage tells how long it has been.
    case LimitWatch::Event::kWarnLength:
    case LimitWatch::Event::kWarnIdle: return send(writer_.usage(seconds()));
    case LimitWatch::Event::kNone: return;
  }
}

}  // namespace

std::unique_ptr<Dialect> make_live_dialect(Link& link, Seat& seat, Metrics& metrics,
                                           Companion& companion,
                                           const LiveDialectOptions& options) {
  return std::make_unique<LiveDialect>(link, seat, metrics, companion, options);
}

void refuse_live(Link& link) {
  const char* why = "All sessions are taken; try again later.";
  wire::LiveWriter writer;
  link.send_text(
      writer.error({.type = "rate_limit_error", .code = "session_limit_reached", .message = why}),
      Lane::kControl);
  link.close(kCloseTryAgain, why);
}

}  // namespace duet::server
