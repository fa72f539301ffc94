#include "runtime/bench/dialog_result.h"

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "runtime/bench/json_number.inc"

namespace duet::runtime::bench {

namespace {

using nlohmann::ordered_json;
constexpr const char* kSchema = "duet.bench.dialog/1";

double seconds_from(const ordered_json& json) {
  return json.is_null() ? std::numeric_limits<double>::infinity() : json.get<double>();
}

ordered_json to_json(const Segment& segment) {
  return ordered_json::array({json_number(segment.start_s), json_number(segment.end_s)});
}

Segment segment_from(const ordered_json& json) {
  return {seconds_from(json.at(0)), seconds_from(json.at(1))};
}

ordered_json to_json(const EventScore& score) {
  return {{"counted", score.is_counted},
          {"success", score.is_success},
          {"at_s", json_number(score.at_s)},
          {"latency_s", json_number(score.latency_s)}};
}

void read_score(const ordered_json& event, const char* key, EventKind kind,
                std::optional<EventScore>& score) {
  if (!event.contains(key)) return;
  const ordered_json& json = event[key];
  score = EventScore{kind, json.at("counted"), json.at("success"), seconds_from(json.at("at_s")),
                     seconds_from(json.at("latency_s"))};
}

ordered_json to_json(const EventResult& event) {
  ordered_json json;
  json["id"] = event.id;
  json["kind"] = name_of(event.kind);
  json["user_s"] = to_json(event.user);
  if (!event.text.empty()) json["text"] = event.text;
  json["agent_active"] = event.is_agent_active;
  json["control"] = event.has_control;
  if (event.stop) json["stop"] = to_json(*event.stop);
  if (event.reply) json["reply"] = to_json(*event.reply);
  if (event.goes_on) json["goes_on"] = to_json(*event.goes_on);
  if (event.pause) json["pause"] = to_json(*event.pause);
  if (event.has_false_alarm) json["false_alarm"] = *event.has_false_alarm;
  if (event.is_right) json["right"] = *event.is_right;
  if (!event.reply_text.empty()) json["reply_text"] = event.reply_text;
  if (event.kind == Kind::kEcho) json["false_starts"] = event.num_false_starts;
  return json;
}

Kind kind_from(const std::string& name) {
  for (int i = 0; i <= static_cast<int>(Kind::kEcho); ++i)
    if (name == name_of(static_cast<Kind>(i))) return static_cast<Kind>(i);
  throw ordered_json::other_error::create(501, "unknown kind", nullptr);
}

EventResult event_from(const ordered_json& json) {
  EventResult event;
  event.id = json.at("id");
  event.kind = kind_from(json.at("kind"));
  event.user = segment_from(json.at("user_s"));
  event.text = json.value("text", "");
  event.is_agent_active = json.at("agent_active");
  event.has_control = json.at("control");
  read_score(json, "stop", EventKind::kInterruption, event.stop);
  read_score(json, "reply", EventKind::kQuestion, event.reply);
  read_score(json, "goes_on",
             event.kind == Kind::kBackchannel ? EventKind::kBackchannel : EventKind::kNoise,
             event.goes_on);
  read_score(json, "pause", EventKind::kPause, event.pause);
  if (json.contains("false_alarm")) event.has_false_alarm = json["false_alarm"].get<bool>();
  if (json.contains("right")) event.is_right = json["right"].get<bool>();
  event.reply_text = json.value("reply_text", "");
  event.num_false_starts = json.value("false_starts", 0);
  return event;
}

}  // namespace

std::string to_json(const DialogResult& result, const std::string& fingerprint) {
  ordered_json json;
  json["schema"] = kSchema;
  json["fingerprint"] = fingerprint;
  json["id"] = result.id;
  if (!result.error.empty()) json["error"] = result.error;
  json["duration_s"] = json_number(result.duration_s);
  json["events"] = ordered_json::array();
  for (const EventResult& event : result.events) json["events"].push_back(to_json(event));
  json["agent_s"] = ordered_json::array();
  for (const Segment& segment : result.agent) json["agent_s"].push_back(to_json(segment));
  json["turns"] = ordered_json::array();
  for (const AgentTurn& turn : result.turns) {
    json["turns"].push_back({{"start_s", json_number(turn.start_s)},
                             {"end_s", json_number(turn.end_s)},
                             {"text", turn.text},
                             {"cut", turn.cut},
                             {"audible", turn.audible}});
  }
  json["has_words"] = result.has_words;
  json["num_steps"] = result.num_steps;
  if (result.lag_s) json["lag_s"] = json_number(*result.lag_s);
  json["compute_s"] = result.compute_s;
  return json.dump(1, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

std::optional<DialogResult> dialog_from_json(const std::string& text,
                                             const std::optional<std::string>& fingerprint) {
  try {
    const ordered_json json = ordered_json::parse(text);
    if (json.at("schema") != kSchema) return std::nullopt;
    if (fingerprint && json.at("fingerprint") != *fingerprint) return std::nullopt;
    DialogResult result;
    result.id = json.at("id");
    result.error = json.value("error", "");
    result.duration_s = seconds_from(json.at("duration_s"));
    for (const auto& event : json.at("events")) result.events.push_back(event_from(event));
    for (const auto& segment : json.at("agent_s")) result.agent.push_back(segment_from(segment));
    for (const auto& turn : json.at("turns")) {
      result.turns.push_back({seconds_from(turn.at("start_s")), seconds_from(turn.at("end_s")),
                              turn.at("text"), turn.at("cut"), turn.at("audible")});
    }
    result.has_words = json.at("has_words");
    result.num_steps = json.at("num_steps");
    result.compute_s = json.at("compute_s");
    if (json.contains("lag_s")) result.lag_s = seconds_from(json["lag_s"]);
    return result;
  } catch (const ordered_json::exception&) {
    return std::nullopt;
  }
}

}  // namespace duet::runtime::bench
