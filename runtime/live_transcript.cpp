#include "runtime/live_transcript.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "runtime/activity.h"

namespace duet::runtime {

namespace {

constexpr double kUserPauseSeconds = 1.0;
/// After its text ended, the agent's turn is over when its voice was silent for this long.
constexpr double kOverSeconds = 0.4;
constexpr float kSpeaking = 0.5F;
/// Turns shorter than this say little about the pace.
constexpr double kMinPaceSeconds = 1.0;

std::string clock(double seconds, const char* comma) {
  const auto ms = static_cast<long long>(std::llround(std::max(seconds, 0.0) * 1000.0));
  char text[48];
  std::snprintf(text, sizeof text, "%02lld:%02lld:%02lld%s%03lld", ms / 3600000, ms / 60000 % 60,
                ms / 1000 % 60, comma, ms % 1000);
  return text;
}

/// The two parts, without spaces at their ends.
std::pair<std::string, std::string> parts(const SpokenLine& line) {
  const auto trim = [](std::string text) {
    const auto begin = text.find_first_not_of(" \n");
    if (begin == std::string::npos) return std::string();
    return text.substr(begin, text.find_last_not_of(" \n") - begin + 1);
  };
  return {trim(line.text.substr(0, line.num_heard)), trim(line.text.substr(line.num_heard))};
}

std::string marked(const SpokenLine& line, const char* open) {
  const auto [heard, unheard] = parts(line);
  if (unheard.empty()) return heard;
  return heard + (heard.empty() ? "" : " ") + open + unheard + "]";
}

}  // namespace

LiveTranscript::LiveTranscript(const EngineInfo& info) : info_(info) {}

SpokenLine& LiveTranscript::line(bool is_agent, double time_s, bool is_new) {
  int& open = is_agent ? agent_ : user_;
  if (open < 0 || is_new) {
    open = static_cast<int>(lines_.size());
    lines_.push_back({.is_agent = is_agent, .start_s = time_s, .end_s = time_s});
  }
  return lines_[static_cast<std::size_t>(open)];
}

void LiveTranscript::add(const LiveStep& step) {
  const StepOutput& out = step.out;
  if (!step.failure.empty()) close_agent();
  if (!out.user_text.empty()) {
    const double time_s = step.captured_until_s;
    SpokenLine& user =
        line(false, time_s - info_.step_seconds, time_s - last_user_s_ > kUserPauseSeconds);
    user.text += out.user_text;
    user.num_heard = user.text.size();
    user.end_s = last_user_s_ = time_s;
  }
  if (out.agent_turn_started) close_agent();
  if (out.agent_turn_started || !out.agent_text.empty()) {
    line(true, step.audible_at_s, false).text += out.agent_text;
    has_ended_ = false;
  }
  if (agent_ < 0) return;
  SpokenLine& agent = lines_[static_cast<std::size_t>(agent_)];
  agent.num_heard = agent.text.size();
  has_ended_ = has_ended_ || out.agent_turn_ended;
  is_over_user_ = is_over_user_ || (info_.has_user_activity && out.user_speaking > kSpeaking) ||
                  !out.user_text.empty();
  if (is_audible(out.pcm)) {
    audible_s_ += info_.step_seconds;
    silent_s_ = 0.0;
    agent.end_s = step.audible_at_s + info_.step_seconds;
  } else {
    silent_s_ += info_.step_seconds;
  }
  if (has_ended_ && silent_s_ >= kOverSeconds) close_agent();
}

void LiveTranscript::close_agent() {
  if (agent_ < 0) return;
  SpokenLine& agent = lines_[static_cast<std::size_t>(agent_)];
  agent.num_heard = agent.text.size();
  const auto length = static_cast<double>(agent.text.size());
  const double spoken = audible_s_ * pace_;
  // A whole turn may be half as quick again as those before; only with the user in it is it cut.
  if (is_over_user_ && spoken < length / 1.5) {
    const auto limit = static_cast<std::size_t>(spoken);
    const std::size_t space = agent.text.rfind(' ', limit);
    agent.num_heard = space == std::string::npos ? 0 : space;
  } else if (audible_s_ >= kMinPaceSeconds && length > 0.0) {
    pace_ += 0.3 * (length / audible_s_ - pace_);
  }
  agent_ = -1;
  audible_s_ = silent_s_ = 0.0;
  has_ended_ = is_over_user_ = false;
}

std::string LiveTranscript::to_text() const {
  std::string text;
  for (const SpokenLine& spoken : lines_)
    text += "[" + clock(spoken.start_s, ".") + "] " + (spoken.is_agent ? "agent: " : "user: ") +
            marked(spoken, "[unheard: ") + "\n";
  return text;
}

std::string LiveTranscript::to_srt() const {
  std::string text;
  int number = 0;
  for (const SpokenLine& spoken : lines_)
    text += std::to_string(++number) + "\n" + clock(spoken.start_s, ",") + " --> " +
            clock(std::max(spoken.end_s, spoken.start_s + 0.5), ",") + "\n" +
            (spoken.is_agent ? "Agent: " : "User: ") + marked(spoken, "[") + "\n\n";
  return text;
}

std::string LiveTranscript::to_json() const {
  nlohmann::ordered_json json;
  json["schema"] = "duet.transcript/1";
  json["model"] = {{"name", info_.model_name}, {"version", info_.model_version}};
  json["lines"] = nlohmann::ordered_json::array();
  for (const SpokenLine& spoken : lines_) {
    const auto [heard, unheard] = parts(spoken);
    json["lines"].push_back({{"who", spoken.is_agent ? "agent" : "user"},
                             {"start_s", std::round(spoken.start_s * 1e3) / 1e3},
                             {"end_s", std::round(spoken.end_s * 1e3) / 1e3},
                             {"text", heard},
                             {"unheard", unheard}});
  }
  return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace duet::runtime
