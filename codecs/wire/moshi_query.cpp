#include "codecs/wire/moshi_query.h"

#include <charconv>
#include <cmath>
#include <set>

#include "codecs/wire/realtime_json.inc"
#include "codecs/wire/utf8.h"

namespace duet::wire {
namespace {

constexpr size_t kMaxQueryBytes = 65536;

[[noreturn]] void fail_query(const std::string& subject, const std::string& expected,
                             const std::string& found) {
  throw WireError(
      {.subject = subject, .expected = expected, .found = found, .file = "query of the URL"});
}

std::string cut(const std::string& text) {
  return "\"" + (text.size() <= 40 ? text : text.substr(0, 40) + "...") + "\"";
}

std::string unescape(std::string_view text, const std::string& subject) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+') {
      plain += ' ';
    } else if (text[i] != '%') {
      plain += text[i];
    } else {
      unsigned value = 0;
      const char* begin = text.data() + i + 1;
      if (i + 3 > text.size() || std::from_chars(begin, begin + 2, value, 16).ptr != begin + 2)
        fail_query(subject, "two hexadecimal digits after %", "something else");
      plain += static_cast<char>(value);
      i += 2;
    }
  }
  if (!is_utf8(plain)) fail_query(subject, "UTF-8", "other bytes");
  return plain;
}

template <typename Number>
Number number(const std::string& name, const std::string& text, Number low, Number high) {
  Number value{};
  const char* end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, value);
  // The comparison is false for NaN.
  if (result.ec == std::errc() && result.ptr == end && value >= low && value <= high) return value;
  std::string range;
  if constexpr (std::is_floating_point_v<Number>)
    range = realtime::Json(low).dump() + " to " + realtime::Json(high).dump();
  else
    range = std::to_string(low) + " to " + std::to_string(high);
  fail_query(name, "a number from " + range, cut(text));
}

void set(MoshiQuery& query, const std::string& name, const std::string& value) {
  const auto seed = [&] { return number<uint64_t>(name, value, 0, UINT64_MAX); };
  if (name == "text_temperature")
    query.text_temperature = number(name, value, 0.0, 10.0);
  else if (name == "audio_temperature")
    query.audio_temperature = number(name, value, 0.0, 10.0);
  else if (name == "text_topk")
    query.text_topk = number(name, value, 1, 1000000);
  else if (name == "audio_topk")
    query.audio_topk = number(name, value, 1, 1000000);
  else if (name == "max_steps")
    query.max_steps = number(name, value, 1, 4500);
  else if (name == "pad_mult")
    query.pad_mult = number(name, value, -100.0, 100.0);
  else if (name == "repetition_penalty_context")
    query.repetition_penalty_context = number(name, value, 0, 100000);
  else if (name == "repetition_penalty")
    query.repetition_penalty = number(name, value, 0.01, 100.0);
  else if (name == "text_seed")
    query.text_seed = seed();
  else if (name == "audio_seed")
    query.audio_seed = seed();
  else if (name == "seed")
    query.seed = seed();
  else if (name == "text_prompt")
    query.text_prompt = value;
  else if (name == "voice_prompt")
    query.voice_prompt = value;
  else if (name == "auth_id" || name == "worker_auth_id")
    query.auth_id = value;
}

}  // namespace

MoshiQuery parse_moshi_query(std::string_view query) {
  if (query.size() > kMaxQueryBytes)
    fail_query("query", "at most " + std::to_string(kMaxQueryBytes) + " bytes",
               std::to_string(query.size()) + " bytes");
  MoshiQuery result;
  std::set<std::string> seen;
  while (!query.empty()) {
    const std::string_view pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), pair.size() + 1));
    if (pair.empty()) continue;
    const size_t equals = std::min(pair.find('='), pair.size());
    const std::string name = unescape(pair.substr(0, equals), "parameter name");
    const std::string value = unescape(pair.substr(std::min(pair.size(), equals + 1)), name);
    if (!seen.insert(name).second) fail_query(name, "one value", "two");
    set(result, name, value);
  }
  return result;
}

std::string moshi_metadata_json(const MoshiQuery& query, const MoshiServerInfo& info) {
  const realtime::Json json = {{"text_temperature", query.text_temperature},
                               {"text_topk", query.text_topk},
                               {"audio_temperature", query.audio_temperature},
                               {"audio_topk", query.audio_topk},
                               {"pad_mult", query.pad_mult},
                               {"repetition_penalty_context", query.repetition_penalty_context},
                               {"repetition_penalty", query.repetition_penalty},
                               {"lm_model_file", info.model_name},
                               {"mimi_model_file", info.codec_name},
                               {"instance_name", info.instance_name},
                               {"build_info",
                                {{"build_timestamp", info.build_date},
                                 {"build_date", info.build_date},
                                 {"git_branch", "none"},
                                 {"git_timestamp", info.build_date},
                                 {"git_date", info.build_date},
                                 {"git_hash", info.commit},
                                 {"git_describe", info.version},
                                 {"rustc_host_triple", "none"},
                                 {"rustc_version", "none"},
                                 {"cargo_target_triple", "none"}}}};
  return realtime::text_of(json);
}

}  // namespace duet::wire
