#include "runtime/live_view.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "runtime/activity.h"

namespace duet::runtime {

namespace {

constexpr double kLinePauseSeconds = 1.2;
constexpr std::size_t kTimeWidth = 9;
constexpr std::size_t kMinColumns = 60;

/// Control characters from a model must not reach the terminal.
std::string printable(std::string text) {
  std::erase_if(text, [](char c) { return static_cast<unsigned char>(c) < 0x20U || c == 0x7F; });
  return text;
}

std::string latency_text(const std::optional<double>& seconds) {
  if (!seconds) return "-";
  return std::to_string(std::lround(*seconds * 1e3)) + " ms";
}

/// At most `columns` code points, the last ones.
std::string tail(const std::string& text, std::size_t columns) {
  std::size_t begin = text.size(), count = 0;
  while (begin > 0 && count < columns)
    if ((static_cast<unsigned char>(text[--begin]) & 0xC0U) != 0x80U) ++count;
  return text.substr(begin);
}

}  // namespace

void FloorTracker::add(const LiveStep& step) {
  const bool is_agent = is_audible(step.out.pcm);
  const bool is_user =
      info_.has_user_activity ? step.out.user_speaking > 0.5F : !step.out.user_text.empty();
  if (is_user && !is_user_ && is_agent_)
    interrupted_s_ = step.captured_until_s - info_.step_seconds;
  if (!is_user && is_user_) user_end_s_ = step.captured_until_s - info_.step_seconds;
  if (is_agent && !is_agent_ && user_end_s_ && !is_user) {
    reply_s_ = step.audible_at_s - *user_end_s_;
    user_end_s_.reset();
  }
  if (!is_agent && is_agent_ && interrupted_s_) {
    stop_s_ = step.audible_at_s - *interrupted_s_;
    interrupted_s_.reset();
  }
  is_user_ = is_user;
  is_agent_ = is_agent;
  floor_ = is_user && is_agent ? Floor::kBoth
           : is_user           ? Floor::kUser
           : is_agent          ? Floor::kAgent
                               : Floor::kNobody;
}

std::string level_bar(float peak, std::size_t width) {
  const double db = 20.0 * std::log10(std::max(static_cast<double>(peak), 1e-6));
  const auto full = static_cast<std::size_t>(
      std::clamp((db + 60.0) / 60.0, 0.0, 1.0) * static_cast<double>(width) + 0.5);
  return "[" + std::string(full, '#') + std::string(width - full, '-') + "]";
}

LiveView::LiveView(std::ostream& out, const EngineInfo& info, const Config& config)
    : out_(out), info_(info), config_(config), floor_(info) {
  config_.columns = std::max(config.columns, kMinColumns);
}

void LiveView::add(const LiveStep& step) {
  floor_.add(step);
  lag_ms_ = step.lag_s * 1e3;
  step_ms_ = step.compute_s * 1e3;
  compute_max_ms_ = std::max(compute_max_ms_, step_ms_);
  num_misses_ += step.is_deadline_missed;
  echo_ = step.echo;
  is_half_duplex_ = step.is_half_duplex;
  if (step.captured_until_s - last_word_s_ > kLinePauseSeconds) end_line();
  if (!step.out.user_text.empty()) word(false, step.captured_until_s, step.out.user_text);
  if (step.out.agent_turn_started && !agent_.empty()) end_line();
  if (!step.out.agent_text.empty()) word(true, step.audible_at_s, step.out.agent_text);
}

void LiveView::word(bool is_agent, double time_s, const std::string& text) {
  std::string& line = is_agent ? agent_ : user_;
  const std::size_t width = config_.columns - kTimeWidth - 8;
  if (!line.empty() && line.size() + text.size() > width) end_line();
  if (line.empty()) (is_agent ? agent_s_ : user_s_) = time_s;
  line += printable(line.empty() && text.front() == ' ' ? text.substr(1) : text);
  last_word_s_ = time_s;
}

/// Both lanes become lines that stay.
void LiveView::end_line() {
  if (user_.empty() && agent_.empty()) return;
  clear_status();
  const auto write = [this](const char* who, double time_s, std::string& text) {
    if (text.empty()) return;
    char time[32];
    std::snprintf(time, sizeof time, "%8.2f  ", time_s);
    out_ << time << who << text << '\n';
    text.clear();
  };
  if (user_s_ <= agent_s_) write("you    ", user_s_, user_);
  write("agent  ", agent_s_, agent_);
  write("you    ", user_s_, user_);
  out_ << std::flush;
}

void LiveView::notice(const std::string& text) {
  end_line();
  clear_status();
  out_ << "  * " << printable(text) << '\n' << std::flush;
}

void LiveView::clear_status() {
  for (int i = 0; i < num_status_lines_; ++i) out_ << "\033[1A\033[2K";
  num_status_lines_ = 0;
}

std::string LiveView::status(const audio::StreamMeters& meters,
                             const audio::StreamCounters& counters, bool is_muted,
                             float volume) const {
  static constexpr const char* kFloors[] = {"nobody", "you", "agent", "both"};
  char text[256];
  std::snprintf(text, sizeof text, "mic %s%s  agent %s %3.0f%%  floor: %s",
                level_bar(is_muted ? 0.0F : meters.near_peak, 12).c_str(),
                is_muted                 ? " MUTED"
                : meters.is_near_clipped ? " CLIPS: turn the microphone down"
                : is_half_duplex_        ? " half duplex"
                                         : "",
                level_bar(meters.far_peak, 12).c_str(), static_cast<double>(volume) * 100.0,
                kFloors[static_cast<int>(floor_.floor())]);
  std::string line = text;
  std::snprintf(text, sizeof text,
                "reply %s, stop %s | lag %.0f ms, step %.0f of %.0f ms, %lld missed | %llu "
                "underruns, %llu overruns",
                latency_text(floor_.reply_latency_s()).c_str(),
                latency_text(floor_.stop_latency_s()).c_str(), lag_ms_, step_ms_, config_.step_ms,
                static_cast<long long>(num_misses_),
                static_cast<unsigned long long>(counters.num_underruns),
                static_cast<unsigned long long>(counters.num_overruns));
  std::string below = text;
  if (echo_.is_delay_known) {
    std::snprintf(text, sizeof text, " | echo %.0f ms late, %.0f dB down", echo_.delay_ms,
                  echo_.erle_db);
    below += text;
  }
  return line.substr(0, config_.columns - 1) + "\n" + below.substr(0, config_.columns - 1) + "\n";
}

void LiveView::draw(const audio::StreamMeters& meters, const audio::StreamCounters& counters,
                    bool is_muted, float volume) {
  if (!config_.is_terminal) return;
  clear_status();
  const std::size_t width = config_.columns - 10;
  out_ << "you    " << tail(user_, width) << "\nagent  " << tail(agent_, width) << "\n"
       << status(meters, counters, is_muted, volume) << std::flush;
  num_status_lines_ = 4;
}

void LiveView::finish() {
  end_line();
  clear_status();
  out_ << std::flush;
}

}  // namespace duet::runtime
