#include "codecs/wire/realtime_session.h"

#include <algorithm>
#include <array>

#include "codecs/wire/realtime_json.inc"

namespace duet::wire {
namespace {

using namespace realtime;
using Treatment = FieldTreatment;

constexpr Treatment kHonoured = Treatment::kHonoured, kEchoed = Treatment::kEchoed,
                    kRefused = Treatment::kRefused;

constexpr std::array kFieldRules = {
    SessionFieldRule{"type", "", kHonoured, "`realtime`", "`transcription` is refused"},
    SessionFieldRule{"object", "object", kEchoed, "any", "the server's own value is said back"},
    SessionFieldRule{"id", "id", kEchoed, "any", "the server's own value is said back"},
    SessionFieldRule{"model", "model", kEchoed, "text", "the model that is served is said back"},
    SessionFieldRule{"expires_at", "expires_at", kEchoed, "any",
                     "the server's own value is said back"},
    SessionFieldRule{"output_modalities", "modalities", kHonoured, "`[\"audio\"]`, `[\"text\"]`",
                     "beta: `[\"audio\",\"text\"]`, `[\"text\"]`"},
    SessionFieldRule{"instructions", "instructions", kHonoured, "text",
                     "for models that take a system text; others ignore it"},
    SessionFieldRule{"audio.input.format", "input_audio_format", kHonoured,
                     "`audio/pcm` at 24000, `audio/pcmu`, `audio/pcma`",
                     "beta: `pcm16`, `g711_ulaw`, `g711_alaw`"},
    SessionFieldRule{"audio.input.transcription", "input_audio_transcription", kHonoured,
                     "object, null",
                     "on or off; `model`, `language` and `prompt` are echoed: the served model "
                     "transcribes"},
    SessionFieldRule{"audio.input.noise_reduction", "input_audio_noise_reduction", kEchoed,
                     "`near_field`, `far_field`, null", ""},
    SessionFieldRule{"audio.input.turn_detection", "turn_detection", kHonoured,
                     "`server_vad`, `semantic_vad`, null",
                     "the model decides when to speak; `create_response` and "
                     "`interrupt_response` are honoured, thresholds and times echoed"},
    SessionFieldRule{"audio.output.format", "output_audio_format", kHonoured,
                     "`audio/pcm` at 24000, `audio/pcmu`, `audio/pcma`",
                     "beta: `pcm16`, `g711_ulaw`, `g711_alaw`"},
    SessionFieldRule{"audio.output.voice", "voice", kEchoed, "text, `{\"id\": text}`",
                     "a model has one voice; refused once audio went out"},
    SessionFieldRule{"audio.output.speed", "speed", kEchoed, "0.25 to 1.5", ""},
    SessionFieldRule{"tools", "tools", kEchoed, "list of `function` and `mcp` tools",
                     "no tool is ever called"},
    SessionFieldRule{"tool_choice", "tool_choice", kEchoed, "`none`, `auto`, `required`, object",
                     ""},
    SessionFieldRule{"max_output_tokens", "max_response_output_tokens", kEchoed, "1 to 4096, `inf`",
                     ""},
    SessionFieldRule{"temperature", "temperature", kEchoed, "0 to 2", "beta only"},
    SessionFieldRule{"tracing", "tracing", kEchoed, "`auto`, object, null", ""},
    SessionFieldRule{"truncation", "truncation", kEchoed, "`auto`, `disabled`, object", ""},
    SessionFieldRule{"include", "include", kEchoed, "list of text, null", ""},
    SessionFieldRule{"reasoning", "", kEchoed, "object, null", ""},
    SessionFieldRule{"prompt", "prompt", kRefused, "null", "there are no stored prompts"},
};

std::string at(const char* path) { return std::string("session.") + path; }

bool is_number_in(const Json& value, double low, double high) {
  return value.is_number() && value.get<double>() >= low && value.get<double>() <= high;
}

void expect_choice(const Json& value, const std::string& param,
                   std::initializer_list<const char*> allowed) {
  std::string list;
  for (const char* each : allowed) {
    if (value.is_string() && value.get_ref<const std::string&>() == each) return;
    list += (list.empty() ? "" : ", ") + std::string(each);
  }
  refuse_value(param, allowed.size() > 1 ? "one of " + list : list, value);
}

void expect_object(const Json& value, const std::string& param) {
  if (!value.is_object()) refuse_type(param, "an object", value);
}

const Json& member(const Json& value, const char* key, const std::string& param) {
  const auto found = value.find(key);
  if (found == value.end())
    refuse("missing_required_parameter", param + "." + key,
           "Missing required parameter: '" + param + "." + key + "'.");
  return *found;
}

Json checked_format(const Json& value, const std::string& param) {
  expect_object(value, param);
  const Json& type = member(value, "type", param);
  expect_choice(type, param + ".type", {"audio/pcm", "audio/pcmu", "audio/pcma"});
  for (const auto& [key, each] : value.items())
    if (key != "type" && key != "rate")
      refuse("unknown_parameter", param + "." + key,
             "Unknown parameter: '" + param + "." + key + "'.");
  const bool is_pcm = type == "audio/pcm";
  const int rate = is_pcm ? 24000 : 8000;
  if (const auto given = value.find("rate");
      given != value.end() && !given->is_null() && *given != rate)
    refuse_value(param + ".rate", std::to_string(rate), *given);
  Json format = {{"type", type}};
  if (is_pcm) format["rate"] = rate;
  return format;
}

AudioFormat format_of(const Json& format) {
  return format["type"] == "audio/pcmu"   ? AudioFormat::kMulaw
         : format["type"] == "audio/pcma" ? AudioFormat::kAlaw
                                          : AudioFormat::kPcm16;
}

Json checked_turn_detection(const Json& value, const std::string& param) {
  if (value.is_null()) return value;
  expect_object(value, param);
  const Json& type = member(value, "type", param);
  expect_choice(type, param + ".type", {"server_vad", "semantic_vad"});
  const bool is_server = type == "server_vad";
  Json full = is_server ? Json{{"type", "server_vad"},       {"threshold", 0.5},
                               {"prefix_padding_ms", 300},   {"silence_duration_ms", 500},
                               {"idle_timeout_ms", nullptr}, {"create_response", true},
                               {"interrupt_response", true}}
                        : Json{{"type", "semantic_vad"},
                               {"eagerness", "auto"},
                               {"create_response", true},
                               {"interrupt_response", true}};
  for (const auto& [key, each] : value.items()) {
    const std::string name = param + "." + key;
    if (!full.contains(key))
      refuse("unknown_parameter", name, "Unknown parameter: '" + name + "'.");
    if (key == "type" || (each.is_null() && key != "idle_timeout_ms")) continue;  // Null: default.
    if (key == "create_response" || key == "interrupt_response") {
      if (!each.is_boolean()) refuse_type(name, "a boolean", each);
    } else if (key == "eagerness") {
      expect_choice(each, name, {"low", "medium", "high", "auto"});
    } else if (key == "threshold") {
      if (!is_number_in(each, 0.0, 1.0)) refuse_value(name, "a number from 0 to 1", each);
    } else if (!each.is_null() && !(each.is_number_integer() && is_number_in(each, 0, 3600000))) {
      refuse_value(name, "milliseconds from 0 to 3600000", each);
    }
    full[key] = each;
  }
  return full;
}

Json checked_transcription(const Json& value, const std::string& param) {
  if (value.is_null()) return value;
  expect_object(value, param);
  for (const auto& [key, each] : value.items()) {
    const std::string name = param + "." + key;
    if (key != "model" && key != "language" && key != "prompt" && key != "delay")
      refuse("unknown_parameter", name, "Unknown parameter: '" + name + "'.");
    if (!each.is_string() && !each.is_null()) refuse_type(name, "a string", each);
  }
  return value;
}

Json checked_tools(const Json& value, const std::string& param) {
  if (value.is_null()) return Json::array();
  if (!value.is_array()) refuse_type(param, "a list", value);
  for (size_t i = 0; i < value.size(); ++i) {
    const std::string name = param + "[" + std::to_string(i) + "]";
    expect_object(value[i], name);
    const Json& type = member(value[i], "type", name);
    expect_choice(type, name + ".type", {"function", "mcp"});
    if (type == "function" && !member(value[i], "name", name).is_string())
      refuse_type(name + ".name", "a string", value[i]["name"]);
  }
  return value;
}

// The value as it will be kept, or a refusal. `path` is one of kFieldRules.
Json checked(std::string_view path, const Json& value, const std::string& param) {
  if (path == "type") {
    expect_choice(value, param, {"realtime"});
  } else if (path == "output_modalities") {
    if (!value.is_array()) refuse_type(param, "a list", value);
    if (value != Json::array({"audio"}) && value != Json::array({"text"}))
      refuse_value(param, "[\"audio\"] or [\"text\"]", value);
  } else if (path == "instructions" || path == "model") {
    if (!value.is_string()) refuse_type(param, "a string", value);
  } else if (path == "audio.input.format" || path == "audio.output.format") {
    return checked_format(value, param);
  } else if (path == "audio.input.transcription") {
    return checked_transcription(value, param);
  } else if (path == "audio.input.noise_reduction") {
    if (value.is_null()) return value;
    expect_object(value, param);
    expect_choice(member(value, "type", param), param + ".type", {"near_field", "far_field"});
  } else if (path == "audio.input.turn_detection") {
    return checked_turn_detection(value, param);
  } else if (path == "audio.output.voice") {
    const bool is_id = value.is_object() && value.contains("id") && value["id"].is_string();
    if (!value.is_string() && !is_id) refuse_type(param, "a string or {\"id\": string}", value);
  } else if (path == "audio.output.speed") {
    if (!is_number_in(value, 0.25, 1.5)) refuse_value(param, "a number from 0.25 to 1.5", value);
  } else if (path == "temperature") {
    if (!is_number_in(value, 0.0, 2.0)) refuse_value(param, "a number from 0 to 2", value);
  } else if (path == "tools") {
    return checked_tools(value, param);
  } else if (path == "tool_choice") {
    if (!value.is_object()) expect_choice(value, param, {"none", "auto", "required"});
  } else if (path == "max_output_tokens") {
    if (value != "inf" && !(value.is_number_integer() && is_number_in(value, 1, 4096)))
      refuse_value(param, "an integer from 1 to 4096 or \"inf\"", value);
  } else if (path == "tracing") {
    if (!value.is_object() && !value.is_null()) expect_choice(value, param, {"auto"});
  } else if (path == "truncation") {
    if (!value.is_object()) expect_choice(value, param, {"auto", "disabled"});
  } else if (path == "reasoning") {
    if (!value.is_null()) expect_object(value, param);
  } else if (path == "include") {
    if (value.is_null()) return value;
    if (!value.is_array()) refuse_type(param, "a list", value);
    for (const Json& each : value)
      if (!each.is_string()) refuse_type(param, "a list of strings", each);
  } else if (path == "prompt") {
    if (!value.is_null())
      refuse("unsupported_value", param,
             "'" + param + "' is not supported: there are no stored prompts here.");
  }
  return value;
}

// Elsewhere null says nothing: clients write out fields that they have not set.
bool means_null(std::string_view path) {
  constexpr std::array<std::string_view, 8> kPaths = {"audio.input.transcription",
                                                      "audio.input.noise_reduction",
                                                      "audio.input.turn_detection",
                                                      "tools",
                                                      "tracing",
                                                      "include",
                                                      "reasoning",
                                                      "prompt"};
  return std::find(kPaths.begin(), kPaths.end(), path) != kPaths.end();
}

bool is_kept_by_server(std::string_view path) {
  return path == "object" || path == "id" || path == "model" || path == "expires_at";
}

Json::json_pointer pointer(std::string_view path) {
  std::string text = "/" + std::string(path);
  std::replace(text.begin(), text.end(), '.', '/');
  return Json::json_pointer(text);
}

const SessionFieldRule* find_rule(const std::string& path) {
  const auto rule = std::find_if(kFieldRules.begin(), kFieldRules.end(),
                                 [&](const SessionFieldRule& each) { return path == each.path; });
  return rule == kFieldRules.end() ? nullptr : &*rule;
}

const SessionFieldRule* find_beta_rule(const std::string& name) {
  const auto rule = std::find_if(
      kFieldRules.begin(), kFieldRules.end(),
      [&](const SessionFieldRule& each) { return !name.empty() && name == each.beta_path; });
  return rule == kFieldRules.end() ? nullptr : &*rule;
}

// Beta's flat fields as a session object of general availability, values translated.
Json from_beta_value(std::string_view path, const Json& value, const std::string& param) {
  if (path == "audio.input.format" || path == "audio.output.format") {
    expect_choice(value, param, {"pcm16", "g711_ulaw", "g711_alaw"});
    return {{"type", value == "pcm16"       ? "audio/pcm"
                     : value == "g711_ulaw" ? "audio/pcmu"
                                            : "audio/pcma"}};
  }
  if (path == "output_modalities") {
    if (!value.is_array()) refuse_type(param, "a list", value);
    const bool has_audio = std::find(value.begin(), value.end(), "audio") != value.end();
    for (const Json& each : value) expect_choice(each, param, {"audio", "text"});
    if (value.empty()) refuse_value(param, "[\"audio\", \"text\"] or [\"text\"]", value);
    return Json::array({has_audio ? "audio" : "text"});
  }
  return value;
}

Json to_beta_value(std::string_view path, const Json& value) {
  if (path == "audio.input.format" || path == "audio.output.format") {
    const AudioFormat format = format_of(value);
    return format == AudioFormat::kMulaw  ? "g711_ulaw"
           : format == AudioFormat::kAlaw ? "g711_alaw"
                                          : "pcm16";
  }
  if (path == "output_modalities" && value == Json::array({"audio"}))
    return Json::array({"audio", "text"});
  return value;
}

}  // namespace

std::span<const SessionFieldRule> session_field_rules() noexcept { return kFieldRules; }

struct RealtimeSession::Impl {
  Config config;
  Json session;  // Always in the names of general availability.
  RealtimeSettings settings;

  void read_settings() {
    const Json& input = session["audio"]["input"];
    settings.input_format = format_of(input["format"]);
    settings.output_format = format_of(session["audio"]["output"]["format"]);
    settings.speaks = session["output_modalities"] == Json::array({"audio"});
    settings.transcribes_input = !input["transcription"].is_null();
    const Json& turns = input["turn_detection"];
    settings.detects_turns = !turns.is_null();
    // Without turn detection the client says when: response.create and response.cancel.
    settings.creates_responses = settings.detects_turns && turns["create_response"].get<bool>();
    settings.interrupts_responses =
        settings.detects_turns && turns["interrupt_response"].get<bool>();
    settings.instructions = session["instructions"].get<std::string>();
  }

  void set(Json& target, const SessionFieldRule& rule, const Json& value, const std::string& param,
           bool has_spoken) {
    if (value.is_null() && !means_null(rule.path)) return;
    const Json kept = checked(rule.path, value, param);
    if (is_kept_by_server(rule.path)) return;
    Json& field = target[pointer(rule.path)];
    if (has_spoken && std::string_view(rule.path) == "audio.output.voice" && field != kept)
      refuse("cannot_update_voice", param,
             "Cannot update '" + param + "' once the assistant has spoken.");
    field = kept;
  }

  void merge(Json& target, const Json& patch, const std::string& prefix, bool has_spoken) {
    for (const auto& [key, value] : patch.items()) {
      const std::string path = prefix + key;
      const std::string param = at(path.c_str());
      if (key.find('.') == key.npos &&
          (path == "audio" || path == "audio.input" || path == "audio.output")) {
        if (value.is_null()) continue;
        expect_object(value, param);
        merge(target, value, path + ".", has_spoken);
        continue;
      }
      const SessionFieldRule* rule = key.find('.') == key.npos ? find_rule(path) : nullptr;
      if (rule == nullptr || path == "temperature") {
        std::string hint;
        for (const auto& each : kFieldRules)
          if (path == each.beta_path) hint = std::string(" It is now 'session.") + each.path + "'.";
        if (path == "temperature") hint = " It is a field of the beta.";
        refuse("unknown_parameter", param, "Unknown parameter: '" + param + "'." + hint);
      }
      set(target, *rule, value, param, has_spoken);
    }
  }

  void merge_beta(Json& target, const Json& patch, bool has_spoken) {
    for (const auto& [key, value] : patch.items()) {
      const std::string param = at(key.c_str());
      const SessionFieldRule* rule = find_beta_rule(key);
      if (rule == nullptr)
        refuse("unknown_parameter", param, "Unknown parameter: '" + param + "'.");
      set(target, *rule, value.is_null() ? value : from_beta_value(rule->path, value, param), param,
          has_spoken);
    }
  }

  /// Fields that only the beta has go its way, the others that of general availability.
  void merge_both(Json& target, const Json& patch, bool has_spoken) {
    Json flat = Json::object(), nested = Json::object();
    for (const auto& [key, value] : patch.items())
      (key == "temperature" || (find_rule(key) == nullptr && find_beta_rule(key) != nullptr)
           ? flat
           : nested)[key] = value;
    merge(target, nested, "", has_spoken);
    merge_beta(target, flat, has_spoken);
  }
};

RealtimeSession::RealtimeSession(const Config& config) : impl_(std::make_unique<Impl>()) {
  impl_->config = config;
  const Json pcm = {{"type", "audio/pcm"}, {"rate", 24000}};
  impl_->session = {{"type", "realtime"},
                    {"object", "realtime.session"},
                    {"id", config.id},
                    {"model", config.model},
                    {"expires_at", config.expires_at_s},
                    {"output_modalities", Json::array({"audio"})},
                    {"instructions", config.instructions},
                    {"audio",
                     {{"input",
                       {{"format", pcm},
                        {"transcription", nullptr},
                        {"noise_reduction", nullptr},
                        {"turn_detection",
                         checked_turn_detection(Json::object({{"type", "semantic_vad"}}), "")}}},
                      {"output", {{"format", pcm}, {"voice", config.voice}, {"speed", 1.0}}}}},
                    {"tools", Json::array()},
                    {"tool_choice", "auto"},
                    {"max_output_tokens", "inf"},
                    {"tracing", nullptr},
                    {"truncation", "auto"},
                    {"reasoning", nullptr},
                    {"prompt", nullptr},
                    {"include", nullptr}};
  if (config.profile == RealtimeProfile::kBeta) impl_->session["temperature"] = 0.8;
  impl_->read_settings();
}
RealtimeSession::~RealtimeSession() = default;
RealtimeSession::RealtimeSession(RealtimeSession&&) noexcept = default;
RealtimeSession& RealtimeSession::operator=(RealtimeSession&&) noexcept = default;

std::optional<RealtimeError> RealtimeSession::update(std::string_view session_json,
                                                     bool has_spoken) {
  try {
    const Json patch = parse_object(session_json, RealtimeLimits());
    Json changed = impl_->session;
    switch (impl_->config.profile) {
      case RealtimeProfile::kGa: impl_->merge(changed, patch, "", has_spoken); break;
      case RealtimeProfile::kBeta: impl_->merge_beta(changed, patch, has_spoken); break;
      case RealtimeProfile::kDuplex: impl_->merge_both(changed, patch, has_spoken); break;
    }
    impl_->session = std::move(changed);
    impl_->read_settings();
    return std::nullopt;
  } catch (const Refusal& refusal) {
    return refusal.error;
  }
}

const RealtimeSettings& RealtimeSession::settings() const noexcept { return impl_->settings; }
RealtimeProfile RealtimeSession::profile() const noexcept { return impl_->config.profile; }
void RealtimeSession::set_profile(RealtimeProfile profile) noexcept {
  impl_->config.profile = profile;
}
void RealtimeSession::set_expires_at(std::int64_t unix_s) { impl_->session["expires_at"] = unix_s; }

std::string RealtimeSession::to_json() const {
  if (impl_->config.profile != RealtimeProfile::kBeta) return text_of(impl_->session);
  Json flat;
  for (const auto& rule : kFieldRules)
    if (*rule.beta_path != '\0' && impl_->session.contains(pointer(rule.path)))
      flat[rule.beta_path] = to_beta_value(rule.path, impl_->session[pointer(rule.path)]);
  return text_of(flat);
}

}  // namespace duet::wire
