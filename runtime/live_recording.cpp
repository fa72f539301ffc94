#include "runtime/live_recording.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "audio/audio_file.h"
#include "audio/resampler.h"
#include "runtime/activity.h"
#include "runtime/core/atomic_file.h"
#include "runtime/core/error.h"
#include "runtime/core/version.h"
#include "runtime/timeline.h"

namespace duet::runtime {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

namespace {

constexpr const char* kSchema = "duet.recording/1";

std::string dump(const Json& json, int indent = -1) {
  return json.dump(indent, ' ', false, nlohmann::json::error_handler_t::replace);
}

[[noreturn]] void damaged(const std::string& file, const std::string& expected,
                          const std::string& found) {
  throw core::LoadError(
      {.subject = "recording", .expected = expected, .found = found, .file = file});
}

Json session_json(const EngineInfo& info, const SessionOptions& session) {
  Json json;
  json["schema"] = kSchema;
  json["commit"] = core::commit();
  json["model"] = {{"name", info.model_name},
                   {"version", info.model_version},
                   {"path", info.model_path},
                   {"dtype", info.dtype}};
  json["block_samples"] = info.block_samples;
  json["input_rate_hz"] = info.input_rate_hz;
  json["session"] = {
      {"seed", session.seed}, {"temperature", session.temperature}, {"greet", session.greet}};
  if (session.interruptibility) json["session"]["interruptibility"] = *session.interruptibility;
  return json;
}

Json step_json(const LiveStep& step) {
  const StepOutput& out = step.out;
  const auto ms = [](double seconds) { return std::round(seconds * 1e5) / 1e2; };
  Json json{{"step", step.index},
            {"codes", out.codes},
            {"text_token", out.text_token},
            {"captured_ms", ms(step.captured_until_s)},
            {"audible_ms", ms(step.audible_at_s)},
            {"compute_ms", ms(step.compute_s)},
            {"lag_ms", ms(step.lag_s)}};
  if (!out.user_text.empty()) json["user"] = out.user_text;
  if (!out.agent_text.empty()) json["agent"] = out.agent_text;
  if (out.agent_turn_started) json["starts"] = true;
  if (out.agent_turn_ended) json["ends"] = true;
  if (step.num_dropped_blocks > 0) json["dropped_blocks"] = step.num_dropped_blocks;
  if (!step.failure.empty()) json["failure"] = step.failure;
  return json;
}

Json load_session(const std::string& folder) {
  const std::string path = folder + "/session.json";
  std::ifstream stream(path);
  if (!stream) damaged(path, "a folder of duet talk --record", "no such file");
  try {
    Json json = Json::parse(stream);
    if (json.at("schema") != kSchema) damaged(path, kSchema, dump(json.at("schema")));
    return json;
  } catch (const nlohmann::json::exception& error) {
    damaged(path, "JSON of duet talk --record", error.what());
  }
}

}  // namespace

struct LiveRecording::Impl {
  Impl(const std::string& where, const EngineInfo& engine, const SessionOptions& options)
      : folder(where),
        info(engine),
        session(options),
        transcript(engine),
        timeline(engine),
        user_levels(engine.input_rate_hz) {}

  void write_device(const std::vector<audio::SamplePair>& pairs) {
    if (pairs.empty() || !conversation) return;
    near.clear();
    far.clear();
    near_piece.clear();
    far_piece.clear();
    for (const audio::SamplePair& pair : pairs) {
      near_piece.push_back(pair.near);
      far_piece.push_back(pair.far);
    }
    near_in->process(near_piece, near);
    far_in->process(far_piece, far);
    write_pairs();
  }
  void write_pairs() {
    agent_levels->process(far);
    interleaved.resize(2 * near.size());
    for (std::size_t i = 0; i < near.size(); ++i) {
      interleaved[2 * i] = near[i];
      interleaved[2 * i + 1] = far[i];
    }
    conversation->write(interleaved);
    num_frames += std::ssize(near);
  }
  void flush_device() {
    if (!conversation || !near_in) return;
    near.clear();
    far.clear();
    near_in->flush(near);
    far_in->flush(far);
    write_pairs();
  }

  std::string folder;
  EngineInfo info;
  SessionOptions session;
  LiveTranscript transcript;
  TimelineRecorder timeline;
  LevelMeter user_levels;
  std::optional<LevelMeter> agent_levels;
  std::ofstream input, steps;
  std::optional<audio::WavWriter> conversation, heard;
  std::optional<audio::Resampler> near_in, far_in;
  std::vector<float> near, far, near_piece, far_piece, interleaved;
  int rate_hz = 0;
  std::int64_t num_frames = 0;
  std::int64_t num_heard = 0;
  bool is_finished = false;
};

LiveRecording::LiveRecording(const std::string& folder, const EngineInfo& info,
                             const SessionOptions& session)
    : impl_(std::make_unique<Impl>(folder, info, session)) {
  std::error_code failed;
  if (fs::exists(folder + "/session.json", failed))
    throw core::ConfigError({.subject = "--record",
                             .expected = "a new or empty folder",
                             .found = "a recording",
                             .file = folder});
  fs::create_directories(folder, failed);
  core::write_file_atomically(folder + "/session.json",
                              dump(session_json(info, session), 2) + "\n");
  impl_->input.open(folder + "/input.f32", std::ios::binary | std::ios::trunc);
  impl_->steps.open(folder + "/steps.jsonl", std::ios::binary | std::ios::trunc);
  impl_->heard.emplace(folder + "/heard.wav", info.input_rate_hz, 1);
  if (!impl_->input || !impl_->steps) damaged(folder, "a folder that can be written", "none");
}

LiveRecording::~LiveRecording() {
  try {
    finish();
  } catch (const std::exception&) {  // Whoever wants to know calls finish.
  }
}

void LiveRecording::set_rate(int rate_hz) {
  Impl& own = *impl_;
  own.flush_device();
  if (own.rate_hz == 0) {
    own.rate_hz = rate_hz;
    own.conversation.emplace(own.folder + "/conversation.wav", rate_hz, 2);
    own.agent_levels.emplace(rate_hz);
  }
  own.near_in.emplace(rate_hz, own.rate_hz);
  own.far_in.emplace(rate_hz, own.rate_hz);
}

void LiveRecording::add(const LiveStep& step) {
  Impl& own = *impl_;
  own.write_device(step.device);
  own.input.write(reinterpret_cast<const char*>(step.block.data()),
                  static_cast<std::streamsize>(step.block.size() * sizeof(float)));
  own.steps << dump(step_json(step)) << '\n';
  // Dropped audio leaves its gap, so that what was heard stays on the clock.
  const auto end = static_cast<std::int64_t>(step.captured_until_s * own.info.input_rate_hz);
  const std::int64_t gap = end - own.num_heard - std::ssize(step.block);
  if (gap >= own.info.block_samples) {
    const std::vector<float> silence(static_cast<std::size_t>(gap), 0.0F);
    own.heard->write(silence);
    own.user_levels.process(silence);
    own.num_heard += gap;
  }
  own.heard->write(step.block);
  own.user_levels.process(step.block);
  own.num_heard += std::ssize(step.block);
  own.timeline.add_step(step.out, step.audible_at_s, step.compute_s);
  own.transcript.add(step);
}

void LiveRecording::finish() {
  Impl& own = *impl_;
  if (own.is_finished) return;
  own.is_finished = true;
  own.flush_device();
  own.input.close();
  own.steps.close();
  own.heard->commit();
  if (own.conversation) own.conversation->commit();
  own.user_levels.flush();
  std::vector<float> agent_levels;
  if (own.agent_levels) {
    own.agent_levels->flush();
    agent_levels = own.agent_levels->levels_db();
  }
  Timeline timeline = own.timeline.finish(own.user_levels.levels_db(), agent_levels);
  timeline.input_name = "microphone";
  timeline.duration_s = own.rate_hz > 0 ? static_cast<double>(own.num_frames) / own.rate_hz : 0.0;
  timeline.input_seconds = timeline.duration_s;
  timeline.commit = core::commit();
  timeline.seed = own.session.seed;
  timeline.temperature = own.session.temperature;
  timeline.realtime = true;
  core::write_file_atomically(own.folder + "/timeline.json", timeline.to_json());
  core::write_file_atomically(own.folder + "/transcript.txt", own.transcript.to_text());
  core::write_file_atomically(own.folder + "/transcript.srt", own.transcript.to_srt());
  core::write_file_atomically(own.folder + "/transcript.json", own.transcript.to_json());
}

std::string recorded_model(const std::string& folder) {
  return load_session(folder).at("model").value("path", std::string());
}

ReplayReport replay_recording(const std::string& folder, const Engine& engine,
                              const std::function<void(const LiveStep&)>& on_step,
                              const std::function<bool()>& should_stop) {
  const Json recorded = load_session(folder);
  const EngineInfo& info = engine.info();
  const std::string model = recorded.at("model").value("name", std::string());
  const std::string version = recorded.at("model").value("version", std::string());
  if (model != info.model_name || version != info.model_version ||
      recorded.value("block_samples", 0) != info.block_samples)
    throw core::ConfigError({.subject = "replay",
                             .expected = "the model of the recording, " + model + " " + version,
                             .found = info.model_name + " " + info.model_version,
                             .file = folder});
  SessionOptions options;
  const Json& session_options = recorded.at("session");
  options.seed = session_options.value("seed", std::uint64_t{0});
  options.temperature = session_options.value("temperature", 0.0);
  options.greet = session_options.value("greet", false);
  if (session_options.contains("interruptibility"))
    options.interruptibility = session_options.at("interruptibility").get<double>();
  const auto session = engine.make_session(options);

  std::ifstream steps(folder + "/steps.jsonl"), input(folder + "/input.f32", std::ios::binary);
  if (!steps) damaged(folder + "/steps.jsonl", "the steps of the recording", "no such file");
  ReplayReport report;
  LiveStep step;
  step.block.resize(static_cast<std::size_t>(info.block_samples));
  std::string line;
  while (!(should_stop && should_stop()) && std::getline(steps, line)) {
    const Json want = Json::parse(line, nullptr, false);
    if (want.is_discarded()) {
      if (steps.peek() == std::ifstream::traits_type::eof()) break;  // A crash in mid-line.
      damaged(folder + "/steps.jsonl", "a JSON object a line", line.substr(0, 40));
    }
    input.read(reinterpret_cast<char*>(step.block.data()),
               static_cast<std::streamsize>(step.block.size() * sizeof(float)));
    if (!input) damaged(folder + "/input.f32", "a block for every step", "its end");
    step.index = want.value("step", report.num_steps);
    step.captured_until_s = want.value("captured_ms", 0.0) * 1e-3;
    step.audible_at_s = want.value("audible_ms", 0.0) * 1e-3;
    step.failure.clear();
    try {
      session->step(step.block, step.out);
    } catch (const StepError& error) {
      step.failure = error.what();
      step.out.clear();
    }
    if (!step.failure.empty() || want.contains("failure")) session->reset();
    const std::string got = dump(Json(step.out.codes)) + " " + std::to_string(step.out.text_token);
    const std::string wanted =
        dump(want.at("codes")) + " " + std::to_string(want.value("text_token", -1));
    ++report.num_steps;
    if (got == wanted) {
      ++report.num_equal;
    } else if (report.first_difference < 0) {
      report.first_difference = step.index;
      report.difference = "codes and text token: recorded " + wanted + ", now " + got;
    }
    if (on_step) on_step(step);
  }
  return report;
}

}  // namespace duet::runtime
