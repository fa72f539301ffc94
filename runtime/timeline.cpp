#include "runtime/timeline.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <numeric>

#include "runtime/activity.h"

namespace duet::runtime {

namespace {

/// Barge-in success of the benchmarks: silent within this of the user's onset.
constexpr double kCutSeconds = 1.5;
/// Agent audio shorter than this after the next reply's text began is the tail of the reply before.
constexpr double kMinSplitSeconds = 0.2;
/// Activity lies on 10 ms frames and may so seem to begin before the step that caused it.
constexpr double kFrameSlackSeconds = 0.02;

nlohmann::ordered_json milliseconds(double seconds) {
  if (!std::isfinite(seconds)) return nullptr;
  return std::round(seconds * 1000.0) / 1000.0;
}

std::string trimmed(const std::string& text) {
  const auto begin = text.find_first_not_of(" \t\n");
  if (begin == std::string::npos) return "";
  return text.substr(begin, text.find_last_not_of(" \t\n") - begin + 1);
}

nlohmann::ordered_json rounded(const std::vector<double>& values) {
  auto list = nlohmann::ordered_json::array();
  for (const double value : values) list.push_back(milliseconds(value));
  return list;
}

std::string latency_line(const char* name, const std::vector<double>& values) {
  char text[160];
  if (values.empty()) {
    std::snprintf(text, sizeof text, "%-14s none to measure\n", name);
  } else {
    const double median = percentile(values, 0.5);
    const double p95 = percentile(values, 0.95);
    const auto shown = [](double value) {
      return std::isfinite(value) ? std::to_string(std::lround(value * 1000)) + " ms"
                                  : std::string("never");
    };
    std::snprintf(text, sizeof text, "%-14s median %s, p95 %s (n %zu)\n", name,
                  shown(median).c_str(), shown(p95).c_str(), values.size());
  }
  return text;
}

}  // namespace

std::string Timeline::to_json() const {
  nlohmann::ordered_json json;
  json["schema"] = "duet.timeline/1";
  json["model"] = {{"name", model_name}, {"version", model_version}};
  json["commit"] = commit;
  json["input"] = {{"name", input_name}, {"seconds", milliseconds(input_seconds)}};
  json["options"] = {{"seed", seed}, {"temperature", temperature}, {"realtime", realtime}};
  json["clock"] = "listener";
  json["duration_s"] = milliseconds(duration_s);
  json["interrupted"] = interrupted;
  json["user_turns_from"] = user_turns_from;
  json["user"] = nlohmann::ordered_json::array();
  for (const UserTurn& turn : user) {
    json["user"].push_back({{"start_s", milliseconds(turn.start_s)},
                            {"end_s", milliseconds(turn.end_s)},
                            {"text", turn.text}});
  }
  json["agent"] = nlohmann::ordered_json::array();
  for (const AgentTurn& turn : agent) {
    json["agent"].push_back({{"start_s", milliseconds(turn.start_s)},
                             {"end_s", milliseconds(turn.end_s)},
                             {"text", turn.text},
                             {"cut", turn.cut},
                             {"audible", turn.audible}});
  }
  json["reply_latency_s"] = rounded(reply_latency_s);
  json["stop_latency_s"] = rounded(stop_latency_s);
  json["num_steps"] = num_steps;
  const auto fine = [](double ms) { return std::round(ms * 1000.0) / 1000.0; };
  json["step_ms"] = {{"p50", fine(step_ms.p50)},
                     {"p95", fine(step_ms.p95)},
                     {"p99", fine(step_ms.p99)},
                     {"max", fine(step_ms.max)}};
  json["rtf"] = std::round(rtf * 1e4) / 1e4;
  // A model may emit bytes that are no UTF-8: they must not cost the file.
  return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

std::string Timeline::summary(double step_budget_ms) const {
  char speed[200];
  std::snprintf(speed, sizeof speed,
                "%-14s RTF %.3f; step p50 %.1f ms, p95 %.1f ms, p99 %.1f ms (budget %.0f ms)\n",
                "speed", rtf, step_ms.p50, step_ms.p95, step_ms.p99, step_budget_ms);
  return latency_line("reply latency", reply_latency_s) +
         latency_line("stop latency", stop_latency_s) + speed;
}

TimelineRecorder::TimelineRecorder(const EngineInfo& info) : info_(info) {}

void TimelineRecorder::add_step(const StepOutput& out, double audible_at_s, double compute_s) {
  speaking_.push_back(out.user_speaking);
  compute_ms_.push_back(compute_s * 1000.0);
  if (!out.user_text.empty()) {
    user_words_.push_back(
        {static_cast<double>(speaking_.size()) * info_.step_seconds, out.user_text});
  }
  if (out.agent_turn_started || (!out.agent_text.empty() && !is_reply_open_)) {
    replies_.push_back({audible_at_s, ""});
    is_reply_open_ = true;
  }
  if (is_reply_open_) replies_.back().text += out.agent_text;
  if (out.agent_turn_ended) is_reply_open_ = false;
}

void TimelineRecorder::add_user_turns(Timeline& timeline, const Activity& user,
                                      const Activity& agent) const {
  std::vector<Segment> segments = user.segments;
  timeline.user_turns_from = "energy";
  if (info_.has_user_activity) {
    timeline.user_turns_from = "model";
    segments = find_user_segments(
        speaking_, info_.step_seconds,
        static_cast<double>(info_.encoder_lookahead_samples) / info_.input_rate_hz, user);
  }
  for (const Segment& turn : join_turns(segments, agent))
    timeline.user.push_back({turn.start_s, turn.end_s, ""});
  // Words are recognised some time after they were said: they belong to the last turn that had
  // begun.
  for (const Words& words : user_words_) {
    const auto after =
        std::find_if(timeline.user.begin(), timeline.user.end(),
                     [&](const UserTurn& turn) { return turn.start_s >= words.time_s; });
    if (after == timeline.user.begin()) {  // Words without speech: shown, not lost.
      timeline.user.insert(after, {words.time_s, words.time_s, words.text});
    } else {
      std::prev(after)->text += words.text;
    }
  }
  for (UserTurn& turn : timeline.user) turn.text = trimmed(turn.text);
}

void TimelineRecorder::add_agent_turns(Timeline& timeline, const Activity& agent) const {
  // Sound belongs to the last reply whose text had begun; a run of sound across a later reply's
  // start is divided there.
  std::vector<AgentTurn> turns;
  for (const Reply& reply : replies_)
    turns.push_back({reply.start_s, reply.start_s, trimmed(reply.text), false, false});
  std::vector<AgentTurn> wordless;
  for (const Segment& segment : agent.segments) {
    double begin_s = segment.start_s;
    for (std::size_t k = 0; k <= turns.size() && begin_s < segment.end_s; ++k) {
      const double next_s = k < turns.size() ? replies_[k].start_s : kInfinity;
      if (next_s <= begin_s + kFrameSlackSeconds) continue;
      const bool reaches_next = segment.end_s - next_s > kMinSplitSeconds;
      const double end_s = reaches_next ? next_s : segment.end_s;
      if (k == 0) {
        wordless.push_back({begin_s, end_s, "", false, true});
      } else {
        AgentTurn& turn = turns[k - 1];
        if (!turn.audible) turn.start_s = begin_s;
        turn.audible = true;
        turn.end_s = end_s;
      }
      begin_s = end_s;
    }
  }
  turns.insert(turns.end(), wordless.begin(), wordless.end());
  std::stable_sort(turns.begin(), turns.end(),
                   [](const AgentTurn& a, const AgentTurn& b) { return a.start_s < b.start_s; });
  for (AgentTurn& turn : turns) {
    turn.cut = turn.audible &&
               std::any_of(timeline.user.begin(), timeline.user.end(), [&](const UserTurn& user) {
                 return user.start_s > turn.start_s && user.start_s < turn.end_s &&
                        turn.end_s - user.start_s <= kCutSeconds;
               });
  }
  timeline.agent = std::move(turns);
}

Timeline TimelineRecorder::finish(std::span<const float> user_levels_db,
                                  std::span<const float> agent_levels_db) const {
  Timeline timeline;
  const Activity user = find_activity(user_levels_db);
  const Activity agent = find_activity(agent_levels_db);
  timeline.duration_s = std::max(user.end_s, agent.end_s);
  timeline.model_name = info_.model_name;
  timeline.model_version = info_.model_version;
  add_user_turns(timeline, user, agent);
  add_agent_turns(timeline, agent);
  for (std::size_t i = 0; i < timeline.user.size(); ++i) {
    const UserTurn& turn = timeline.user[i];
    if (turn.end_s <= turn.start_s) continue;
    const double until_s = i + 1 < timeline.user.size() ? timeline.user[i + 1].start_s : kInfinity;
    const LatencyEvent reply = measure_reply({turn.start_s, turn.end_s}, until_s, agent);
    if (reply.is_counted && std::isfinite(reply.latency_s))
      timeline.reply_latency_s.push_back(reply.latency_s);
    const LatencyEvent stop = measure_stop({turn.start_s, turn.end_s}, agent);
    if (stop.is_counted) timeline.stop_latency_s.push_back(stop.latency_s);
  }
  timeline.num_steps = static_cast<std::int64_t>(compute_ms_.size());
  timeline.step_ms = {percentile(compute_ms_, 0.5), percentile(compute_ms_, 0.95),
                      percentile(compute_ms_, 0.99), percentile(compute_ms_, 1.0)};
  const double total_ms = std::accumulate(compute_ms_.begin(), compute_ms_.end(), 0.0);
  const double audio_ms = static_cast<double>(compute_ms_.size()) * info_.step_seconds * 1000.0;
  timeline.rtf = audio_ms > 0.0 ? total_ms / audio_ms : 0.0;
  return timeline;
}

}  // namespace duet::runtime
