#include "codecs/wire/realtime_session.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

using namespace duet::wire;
using nlohmann::json;

namespace {

RealtimeSession make(RealtimeProfile profile = RealtimeProfile::kGa) {
  RealtimeSession::Config config;
  config.id = "sess_1";
  config.model = "coffee-bar";
  config.profile = profile;
  return RealtimeSession(config);
}

json nested(const std::string& path, const json& value) {
  std::string pointer = "/" + path;
  std::replace(pointer.begin(), pointer.end(), '.', '/');
  json object = json::object();
  object[json::json_pointer(pointer)] = value;
  return object;
}

json field(const RealtimeSession& session, const std::string& path) {
  std::string pointer = "/" + path;
  std::replace(pointer.begin(), pointer.end(), '.', '/');
  return json::parse(session.to_json()).at(json::json_pointer(pointer));
}

// A value each field takes, other than its default, and one that it does not.
struct Sample {
  json good, bad;
};
const std::map<std::string, Sample>& samples() {
  static const std::map<std::string, Sample> all = {
      {"type", {"realtime", "transcription"}},
      {"object", {"anything", {}}},
      {"id", {"sess_mine", {}}},
      {"model", {"gpt-realtime", 5}},
      {"expires_at", {12345, {}}},
      {"output_modalities", {json::array({"text"}), json::array({"smell"})}},
      {"instructions", {"Be brief.", 7}},
      {"audio.input.format", {{{"type", "audio/pcmu"}}, {{"type", "audio/opus"}}}},
      {"audio.input.transcription", {{{"model", "whisper-1"}, {"language", "en"}}, {{"x", 1}}}},
      {"audio.input.noise_reduction", {{{"type", "near_field"}}, {{"type", "midfield"}}}},
      {"audio.input.turn_detection",
       {{{"type", "server_vad"},
         {"threshold", 0.7},
         {"prefix_padding_ms", 100},
         {"silence_duration_ms", 200},
         {"idle_timeout_ms", nullptr},
         {"create_response", false},
         {"interrupt_response", false}},
        {{"type", "server_vad"}, {"threshold", 3}}}},
      {"audio.output.format", {{{"type", "audio/pcma"}}, {{"type", "audio/pcm"}, {"rate", 16000}}}},
      {"audio.output.voice", {"alloy", 3}},
      {"audio.output.speed", {1.25, 3}},
      {"tools", {json::array({{{"type", "function"}, {"name", "f"}}}), json::array({5})}},
      {"tool_choice", {"none", "maybe"}},
      {"max_output_tokens", {100, 0}},
      {"temperature", {1.0, 3}},
      {"tracing", {"auto", 5}},
      {"truncation", {"disabled", 5}},
      {"include", {json::array({"item.input_audio_transcription.logprobs"}), 5}},
      {"reasoning", {{{"effort", "low"}}, 5}},
      {"prompt", {nullptr, {{"id", "pmpt_1"}}}},
  };
  return all;
}

}  // namespace

TEST_CASE("each field of the table is accepted, said back and checked as the table says",
          "[unit]") {
  REQUIRE(samples().size() == session_field_rules().size());
  for (const auto& rule : session_field_rules()) {
    INFO(rule.path);
    const Sample& sample = samples().at(rule.path);
    const std::string path = rule.path;
    if (path == "temperature") continue;  // Beta only, below.
    RealtimeSession session = make();
    const json before = field(session, path);
    const auto refused = session.update(nested(path, sample.good).dump(), false);
    CHECK_FALSE(refused);
    const bool is_servers = path == "id" || path == "object" || path == "model" ||
                            path == "expires_at" || path == "prompt" || path == "type";
    CHECK(field(session, path) == (is_servers ? before : sample.good));
    if (sample.bad.is_null()) continue;
    const std::string unchanged = session.to_json();
    const auto error = session.update(nested(path, sample.bad).dump(), false);
    REQUIRE(error);
    CHECK(error->param.find("session." + path) == 0);
    if (rule.treatment == FieldTreatment::kRefused) CHECK(error->code == "unsupported_value");
    CHECK(session.to_json() == unchanged);
  }
}

TEST_CASE("each beta name is accepted and said back under the beta's name", "[unit]") {
  const std::map<std::string, Sample> beta = {
      {"modalities", {json::array({"text"}), json::array()}},
      {"input_audio_format", {"g711_ulaw", "audio/pcmu"}},
      {"output_audio_format", {"g711_alaw", {{"type", "audio/pcma"}}}},
      {"max_response_output_tokens", {50, "many"}}};
  for (const auto& rule : session_field_rules()) {
    const std::string name = rule.beta_path;
    if (name.empty()) continue;
    INFO(name);
    const auto own = beta.find(name);
    const Sample sample = own != beta.end() ? own->second : samples().at(rule.path);
    RealtimeSession session = make(RealtimeProfile::kBeta);
    const json before = field(session, name);
    CHECK_FALSE(session.update(json{{name, sample.good}}.dump(), false));
    const bool is_servers =
        name == "id" || name == "object" || name == "model" || name == "expires_at";
    CHECK(field(session, name) == (is_servers ? before : sample.good));
    if (sample.bad.is_null()) continue;
    const auto error = session.update(json{{name, sample.bad}}.dump(), false);
    REQUIRE(error);
    CHECK(error->param.find("session." + name) == 0);
  }
  RealtimeSession session = make(RealtimeProfile::kBeta);
  CHECK(field(session, "modalities") == json::array({"audio", "text"}));
  CHECK_FALSE(session.update(R"({"modalities":["text","audio"]})", false));
  CHECK(session.settings().speaks);
  CHECK(session.update(R"({"audio":{}})", false)->code == "unknown_parameter");
}

TEST_CASE("honoured fields change what the server does", "[unit]") {
  RealtimeSession session = make();
  const RealtimeSettings& settings = session.settings();
  CHECK(settings.input_format == AudioFormat::kPcm16);
  CHECK(settings.creates_responses);
  CHECK_FALSE(settings.transcribes_input);
  CHECK_FALSE(session.update(
      R"({"type":"realtime","output_modalities":["text"],"instructions":"Hi.","audio":{)"
      R"("input":{"format":{"type":"audio/pcmu"},"transcription":{"model":"whisper-1"},)"
      R"("turn_detection":{"type":"semantic_vad","create_response":false}},)"
      R"("output":{"format":{"type":"audio/pcma"}}}})",
      false));
  CHECK(settings.input_format == AudioFormat::kMulaw);
  CHECK(settings.output_format == AudioFormat::kAlaw);
  CHECK_FALSE(settings.speaks);
  CHECK(settings.transcribes_input);
  CHECK(settings.detects_turns);
  CHECK_FALSE(settings.creates_responses);
  CHECK(settings.interrupts_responses);
  CHECK(settings.instructions == "Hi.");
  CHECK_FALSE(session.update(R"({"audio":{"input":{"turn_detection":null}}})", false));
  CHECK_FALSE(settings.detects_turns);
  CHECK_FALSE(settings.creates_responses);
  CHECK(settings.input_format == AudioFormat::kMulaw);  // The rest stayed.
}

TEST_CASE("turn detection gets its defaults", "[unit]") {
  RealtimeSession session = make();
  CHECK_FALSE(
      session.update(R"({"audio":{"input":{"turn_detection":{"type":"server_vad"}}}})", false));
  CHECK(field(session, "audio.input.turn_detection") == json{{"type", "server_vad"},
                                                             {"threshold", 0.5},
                                                             {"prefix_padding_ms", 300},
                                                             {"silence_duration_ms", 500},
                                                             {"idle_timeout_ms", nullptr},
                                                             {"create_response", true},
                                                             {"interrupt_response", true}});
}

TEST_CASE("an update is taken whole or not at all, and says what is wrong", "[unit]") {
  RealtimeSession session = make();
  const std::string before = session.to_json();
  const auto error =
      session.update(R"({"instructions":"new","audio":{"output":{"pitch":3}}})", false);
  REQUIRE(error);
  CHECK(error->code == "unknown_parameter");
  CHECK(error->param == "session.audio.output.pitch");
  CHECK(session.to_json() == before);
  CHECK(session.settings().instructions.empty());
  CHECK(session.update(R"({"input_audio_format":"pcm16"})", false)->message ==
        "Unknown parameter: 'session.input_audio_format'. It is now 'session.audio.input.format'.");
  CHECK(session.update(R"({"temperature":0.8})", false)->code == "unknown_parameter");
  CHECK(session.update(R"({"audio.input.format":{"type":"audio/pcmu"}})", false)->code ==
        "unknown_parameter");
  CHECK(session.update(R"({"audio":5})", false)->code == "invalid_type");
  CHECK(session.update("nonsense", false)->code == "invalid_json");
  CHECK(session.to_json() == before);
}

TEST_CASE("null for a field that has no null says nothing", "[unit]") {
  RealtimeSession session = make();
  const std::string before = session.to_json();
  CHECK_FALSE(session.update(
      R"({"type":null,"instructions":null,"tool_choice":null,"output_modalities":null,)"
      R"("max_output_tokens":null,"audio":{"input":{"format":null},"output":null}})",
      false));
  CHECK(session.to_json() == before);
  CHECK_FALSE(session.update(R"({"audio":null})", false));
}

TEST_CASE("the voice stays once the agent has spoken", "[unit]") {
  RealtimeSession session = make();
  CHECK_FALSE(session.update(R"({"audio":{"output":{"voice":"alloy"}}})", true) == std::nullopt);
  CHECK_FALSE(session.update(R"({"audio":{"output":{"voice":"alloy"}}})", false));
  CHECK_FALSE(session.update(R"({"audio":{"output":{"voice":"alloy"}}})", true));  // No change.
  CHECK(session.update(R"({"audio":{"output":{"voice":"verse"}}})", true)->code ==
        "cannot_update_voice");
}

TEST_CASE("PCM is said with the only rate strict clients take", "[unit]") {
  RealtimeSession session = make();
  CHECK_FALSE(session.update(R"({"audio":{"input":{"format":{"type":"audio/pcm"}}}})", false));
  CHECK(field(session, "audio.input.format") == json{{"type", "audio/pcm"}, {"rate", 24000}});
  CHECK(field(session, "type") == "realtime");
  CHECK(field(session, "object") == "realtime.session");
}
