#include "runtime/server/metrics.h"

#include <cstdio>

namespace duet::server {
namespace {

std::string number(double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.9g", value);
  return text.data();
}

void write_head(std::string& text, const std::string& name, const std::string& help,
                const char* type) {
  text += "# HELP " + name + ' ' + help + "\n# TYPE " + name + ' ' + type + '\n';
}

}  // namespace

void Histogram::observe(double seconds) noexcept {
  for (std::size_t i = 0; i < kBoundsS.size(); ++i) {
    if (seconds <= kBoundsS[i]) {
      buckets_[i].fetch_add(1, std::memory_order_relaxed);
      break;
    }
  }
  count_.fetch_add(1, std::memory_order_relaxed);
  sum_us_.fetch_add(seconds > 0.0 ? static_cast<std::uint64_t>(seconds * 1e6) : 0,
                    std::memory_order_relaxed);
}

void Histogram::write(std::string& text, const std::string& name, const std::string& help) const {
  write_head(text, name, help, "histogram");
  std::uint64_t below = 0;
  for (std::size_t i = 0; i < kBoundsS.size(); ++i) {
    below += buckets_[i].load(std::memory_order_relaxed);
    text += name + "_bucket{le=\"" + number(kBoundsS[i]) + "\"} " + std::to_string(below) + '\n';
  }
  const std::string total = std::to_string(count());
  text += name + "_bucket{le=\"+Inf\"} " + total + '\n';
  text += name + "_sum " +
          number(static_cast<double>(sum_us_.load(std::memory_order_relaxed)) * 1e-6) + '\n';
  text += name + "_count " + total + '\n';
}

std::string Metrics::to_text() const {
  std::string text;
  const auto one = [&text](const char* name, const char* help, const char* type, auto& value) {
    write_head(text, name, help, type);
    text += std::string(name) + ' ' + std::to_string(value.load(std::memory_order_relaxed)) + '\n';
  };
  one("duet_sessions", "Conversations now.", "gauge", sessions);
  one("duet_sessions_capacity", "Conversations that are admitted at most.", "gauge", capacity);
  one("duet_connections", "Open connections.", "gauge", connections);
  one("duet_sessions_admitted_total", "Conversations begun.", "counter", sessions_admitted);
  one("duet_sessions_refused_total", "Conversations refused because all seats were taken.",
      "counter", sessions_refused);
  one("duet_sessions_failed_total", "Conversations ended by a failed step.", "counter",
      sessions_failed);
  one("duet_sessions_parked", "Conversations whose client is away and may come back.", "gauge",
      sessions_parked);
  one("duet_sessions_resumed_total", "Conversations taken up again on a new connection.", "counter",
      sessions_resumed);
  one("duet_sessions_abandoned_total", "Conversations to which nobody came back in time.",
      "counter", sessions_abandoned);
  one("duet_waiting", "Clients in the queue for a seat.", "gauge", waiting);
  one("duet_watchdog_fired_total", "Times that a silent agent was made to speak.", "counter",
      watchdog_fired);
  one("duet_delegations_asked_total", "Questions to the operator's program.", "counter",
      delegations_asked);
  one("duet_delegations_answered_total", "Questions that it answered in time.", "counter",
      delegations_answered);
  one("duet_delegations_failed_total", "Questions that it did not answer in time.", "counter",
      delegations_failed);
  one("duet_recordings_total", "Conversations recorded, operator and client agreeing.", "counter",
      recordings);
  one("duet_connections_refused_total", "Connections over a limit.", "counter",
      connections_refused);
  one("duet_auth_refused_total", "Requests without a valid token, origin or host.", "counter",
      auth_refused);
  one("duet_steps_total", "Steps of the model.", "counter", steps);
  one("duet_silent_steps_total", "Steps on silence because no input had come.", "counter",
      silent_steps);
  one("duet_shared_steps_total",
      "Times that steps of one or several conversations were done together.", "counter",
      shared_steps);
  one("duet_deadline_misses_total", "Steps that ended later than one step after they were due.",
      "counter", deadline_misses);
  one("duet_received_bytes_total", "Payload received.", "counter", bytes_received);
  one("duet_sent_bytes_total", "Payload sent.", "counter", bytes_sent);
  one("duet_received_messages_total", "Messages received.", "counter", messages_received);
  one("duet_sent_messages_total", "Messages sent.", "counter", messages_sent);
  one("duet_discarded_messages_total", "Audio messages dropped because a client read too slowly.",
      "counter", messages_discarded);
  one("duet_bad_messages_total", "Messages that could not be understood.", "counter", bad_messages);
  step_seconds.write(text, "duet_step_seconds", "Time of one step of the model.");
  wait_seconds.write(text, "duet_wait_seconds", "From the moment a step was due to its beginning.");
  lag_seconds.write(text, "duet_lag_seconds", "From the moment a step was due to its end.");
  reply_seconds.write(text, "duet_reply_seconds",
                      "User's end of speech to the agent's turn, on the input's clock.");
  stop_seconds.write(text, "duet_stop_seconds",
                     "User's onset over the agent to the end of its turn, on the input's clock.");
  return text;
}

}  // namespace duet::server
