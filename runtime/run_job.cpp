#include "runtime/run_job.h"

#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "audio/audio_file.h"
#include "runtime/core/atomic_file.h"
#include "runtime/core/error.h"
#include "runtime/core/version.h"
#include "runtime/speak_text.h"
#include "runtime/transcript_view.h"

namespace duet::runtime {

namespace {

namespace fs = std::filesystem;

std::unique_ptr<audio::SampleSource> open_input(const RunJob& job, bool (*should_stop)()) {
  if (!job.text.empty()) {
    audio::AudioClip clip = speak_text(job.text);
    return std::make_unique<audio::MemorySource>(std::move(clip.samples), clip.rate_hz,
                                                 "\"" + job.text + "\"");
  }
  if (job.input == "-") {
    return std::make_unique<audio::RawPcmSource>(STDIN_FILENO, job.raw_rate_hz, "standard input",
                                                 should_stop);
  }
  return std::make_unique<audio::AudioFileReader>(job.input, job.channel);
}

/// Outputs must be different from each other and from the input.
void check_outputs(const RunJob& job, const std::string& output) {
  const auto refuse = [](const char* what, const std::string& same_as, const std::string& path) {
    throw core::ConfigError({.subject = what,
                             .expected = "a file of its own",
                             .found = "the " + same_as,
                             .file = path,
                             .hint = ""});
  };
  std::error_code error;
  const bool has_file = job.text.empty() && job.input != "-";
  if (has_file && fs::equivalent(job.input, output, error)) refuse("output", "input", output);
  if (job.timeline.empty()) return;
  if (has_file && fs::equivalent(job.input, job.timeline, error))
    refuse("timeline", "input", job.timeline);
  if (fs::weakly_canonical(output, error) == fs::weakly_canonical(job.timeline, error)) {
    refuse("timeline", "output WAV", job.timeline);
  }
}

void describe_input(const audio::SampleSource& input, const Engine& engine, std::ostream& log) {
  log << input.name() << ": ";
  if (const auto size = input.num_samples()) {
    char seconds[32];
    std::snprintf(seconds, sizeof seconds, "%.2f s, ",
                  static_cast<double>(*size) / input.rate_hz());
    log << seconds;
  }
  log << input.rate_hz() << " Hz; model " << engine.info().model_name << '\n' << std::flush;
}

}  // namespace

std::string default_output(const RunJob& job) {
  if (!job.text.empty()) return "spoken.duet.wav";
  if (job.input == "-") return "stdin.duet.wav";
  return fs::path(job.input).stem().string() + ".duet.wav";
}

std::optional<double> parse_tail(const std::string& tail) {
  if (tail == "auto") return std::nullopt;
  double seconds = 0.0;
  const auto [end, error] = std::from_chars(tail.data(), tail.data() + tail.size(), seconds);
  if (error != std::errc() || end != tail.data() + tail.size()) {
    throw core::ConfigError({.subject = "--tail",
                             .expected = "auto or seconds",
                             .found = "\"" + tail + "\"",
                             .file = "",
                             .hint = ""});
  }
  return seconds;
}

Timeline run_job(const RunJob& job, const EngineFactory& make_engine, std::ostream& out,
                 std::ostream& log, bool (*should_stop)()) {
  RunOptions options;
  options.session = job.session;
  options.realtime = job.realtime;
  options.tail_s = parse_tail(job.tail);
  options.output_path = job.output.empty() ? default_output(job) : job.output;
  validate(job.session);
  const auto input = open_input(job, should_stop);
  check_outputs(job, options.output_path);
  {
    const core::AtomicFile probe(options.output_path);
  }  // A place that cannot be written is told before the model loads.
  std::optional<core::AtomicFile> timeline_file;
  if (!job.timeline.empty()) timeline_file.emplace(job.timeline);

  const auto engine = make_engine();
  describe_input(*input, *engine, log);
  TranscriptView view(out, job.terminal_columns);
  view.header();
  RunHooks hooks;
  hooks.should_stop = should_stop;
  hooks.on_event = [&](const RunEvent& event) {
    switch (event.kind) {
      case RunEvent::Kind::kUserWords: view.user_words(event.time_s, event.text); break;
      case RunEvent::Kind::kAgentTurnStarted: view.agent_turn(); break;
      case RunEvent::Kind::kAgentWords: view.agent_words(event.time_s, event.text); break;
      case RunEvent::Kind::kAgentTurnEnded: break;
    }
  };
  Timeline timeline;
  try {
    timeline = run_offline(*engine, *input, options, hooks);
  } catch (...) {
    view.finish();  // The error gets a line of its own.
    throw;
  }
  view.finish();
  timeline.commit = core::commit();
  if (timeline_file) {
    std::ofstream(timeline_file->temporary_path(), std::ios::binary | std::ios::trunc)
        << timeline.to_json() << std::flush;
    timeline_file->commit();
  }
  out << '\n' << timeline.summary(engine->info().step_seconds * 1000.0) << std::flush;
  log << "wrote " << options.output_path << " (left user, right agent)";
  if (timeline_file) log << " and " << job.timeline;
  log << (timeline.interrupted ? "; stopped before the end\n" : "\n") << std::flush;
  return timeline;
}

}  // namespace duet::runtime
