#include "codecs/wire/realtime_json.inc"

namespace duet::wire::realtime {

void refuse(const char* code, const std::string& param, const std::string& message) {
  RealtimeError error;
  error.code = code;
  error.param = param;
  error.message = message;
  throw Refusal{error};
}

const Json& require_object(const Json& value, const std::string& param) {
  if (!value.is_object()) refuse_type(param, "an object", value);
  return value;
}

Json id_or_null(std::string_view id) { return id.empty() ? Json(nullptr) : Json(id); }

std::string text_of(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string shown(const Json& value) {
  std::string text = text_of(value);
  if (text.size() <= 60) return text;
  size_t end = 57;  // Not inside a character.
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return text.substr(0, end) + "...";
}

void refuse_type(const std::string& param, const std::string& expected, const Json& found) {
  refuse("invalid_type", param,
         "Invalid type for '" + param + "': expected " + expected + ", found " + found.type_name() +
             ".");
}

void refuse_value(const std::string& param, const std::string& expected, const Json& found) {
  refuse(
      "invalid_value", param,
      "Invalid value for '" + param + "': expected " + expected + ", found " + shown(found) + ".");
}

Json parse_object(std::string_view text, const RealtimeLimits& limits) {
  if (text.size() > limits.max_event_bytes)
    refuse("event_too_large", "",
           "Event too large: expected at most " + std::to_string(limits.max_event_bytes) +
               " bytes, found " + std::to_string(text.size()) + ".");
  // Before parsing, so that no deep tree is ever built.
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      if (++depth > limits.max_depth)
        refuse("invalid_json", "",
               "JSON nested too deeply: expected at most " + std::to_string(limits.max_depth) +
                   " levels, found more at byte " + std::to_string(i) + ".");
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  try {
    Json json = Json::parse(text);
    if (!json.is_object())
      refuse("invalid_json", "",
             std::string("Invalid event: expected a JSON object, found ") + json.type_name() + ".");
    return json;
  } catch (const Json::parse_error& error) {
    refuse("invalid_json", "", "Invalid JSON at byte " + std::to_string(error.byte) + ".");
  } catch (const Json::exception&) {  // A number out of range.
    refuse("invalid_json", "", "Invalid JSON: a number out of range.");
  }
}

}  // namespace duet::wire::realtime
