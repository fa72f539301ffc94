#include "runtime/offline_run.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>
#include <thread>

#include "audio/audio_file.h"
#include "audio/framer.h"
#include "audio/resampler.h"
#include "runtime/activity.h"
#include "runtime/core/error.h"

namespace duet::runtime {

namespace {

using Clock = std::chrono::steady_clock;

constexpr double kAutoTailSilenceSeconds = 2.0;
constexpr double kMaxAutoTailSeconds = 30.0;
constexpr double kMaxTailSeconds = 600.0;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// The two channels, filled at their own pace, written and levelled as far as both are there.
class StereoTrack {
 public:
  StereoTrack(const std::string& path, int rate_hz)
      : rate_hz_(rate_hz), user_levels_(rate_hz), agent_levels_(rate_hz) {
    if (!path.empty()) writer_ = std::make_unique<audio::WavWriter>(path, rate_hz, 2);
  }

  /// User samples are appended to this by the resampler; write_ready() takes them.
  std::vector<float>& user() noexcept { return user_; }

  /// pcm from `start_s` on; what would lie before the end of what is there already is left out.
  void add_agent(std::span<const float> pcm, double start_s) {
    // Never early; what rounding left of a whole sample does not count.
    const auto start = static_cast<std::int64_t>(std::ceil(start_s * rate_hz_ - 1e-6));
    const std::int64_t end = num_written_ + std::ssize(agent_);
    std::vector<float> placed(static_cast<std::size_t>(std::max<std::int64_t>(start - end, 0)),
                              0.0F);
    const auto skipped = std::clamp<std::int64_t>(end - start, 0, std::ssize(pcm));
    placed.insert(placed.end(), pcm.begin() + skipped, pcm.end());
    agent_levels_.process(placed);
    agent_.insert(agent_.end(), placed.begin(), placed.end());
  }

  void write_ready() { write(std::min(user_.size(), agent_.size())); }

  /// Pads the shorter channel and completes the file.
  void finish() {
    if (agent_.size() < user_.size())
      agent_levels_.process(std::vector<float>(user_.size() - agent_.size(), 0.0F));
    const std::size_t size = std::max(user_.size(), agent_.size());
    user_.resize(size, 0.0F);
    agent_.resize(size, 0.0F);
    write(size);
    user_levels_.flush();
    agent_levels_.flush();
    if (writer_) writer_->commit();
  }

  double agent_end_s() const noexcept {
    return static_cast<double>(num_written_ + std::ssize(agent_)) / rate_hz_;
  }
  double written_s() const noexcept { return static_cast<double>(num_written_) / rate_hz_; }
  const std::vector<float>& user_levels_db() const noexcept { return user_levels_.levels_db(); }
  const std::vector<float>& agent_levels_db() const noexcept { return agent_levels_.levels_db(); }

 private:
  void write(std::size_t size) {
    if (size == 0) return;
    const auto count = static_cast<std::ptrdiff_t>(size);
    user_levels_.process({user_.data(), size});
    if (writer_) {
      interleaved_.resize(2 * size);
      for (std::size_t i = 0; i < size; ++i) {
        interleaved_[2 * i] = user_[i];
        interleaved_[2 * i + 1] = agent_[i];
      }
      writer_->write(interleaved_);
    }
    user_.erase(user_.begin(), user_.begin() + count);
    agent_.erase(agent_.begin(), agent_.begin() + count);
    num_written_ += count;
  }

  int rate_hz_;
  std::unique_ptr<audio::WavWriter> writer_;
  std::vector<float> user_;
  std::vector<float> agent_;
  std::vector<float> interleaved_;
  std::int64_t num_written_ = 0;
  LevelMeter user_levels_;
  LevelMeter agent_levels_;
};

class OfflineRun {
 public:
  OfflineRun(const Engine& engine, audio::SampleSource& input, const RunOptions& options,
             const RunHooks& hooks)
      : info_(engine.info()),
        input_(input),
        options_(options),
        hooks_(hooks),
        session_(engine.make_session(options.session)),
        to_engine_(input.rate_hz(), info_.input_rate_hz),
        to_output_(input.rate_hz(), info_.output_rate_hz),
        framer_(static_cast<std::size_t>(info_.block_samples)),
        clock_(info_.step_seconds,
               static_cast<double>(to_engine_.lookahead_samples()) / input.rate_hz()),
        track_(options.output_path, info_.output_rate_hz),
        recorder_(info_) {}

  Timeline run() {
    start_ = Clock::now();
    feed_input();
    if (!is_stopped_) feed_tail();
    if (session_->num_steps() == 0) {
      throw core::LoadError(
          {.subject = "input",
           .expected = "at least one step of " + std::to_string(info_.block_samples) + " samples",
           .found = "a stop before that",
           .file = input_.name(),
           .hint = ""});
    }
    track_.finish();
    Timeline timeline = recorder_.finish(track_.user_levels_db(), track_.agent_levels_db());
    timeline.input_name = input_.name();
    timeline.input_seconds = input_seconds_;
    timeline.duration_s = track_.written_s();
    timeline.seed = options_.session.seed;
    timeline.temperature = options_.session.temperature;
    timeline.realtime = options_.realtime;
    timeline.interrupted = is_stopped_;
    return timeline;
  }

 private:
  bool should_stop() {
    if (!is_stopped_ && hooks_.should_stop && hooks_.should_stop()) is_stopped_ = true;
    return is_stopped_;
  }

  void feed_input() {
    std::vector<float> chunk(
        static_cast<std::size_t>(std::ceil(info_.step_seconds * input_.rate_hz())));
    std::int64_t num_input = 0;
    std::size_t count = 0;
    while (!should_stop() && (count = input_.read(chunk)) > 0) {
      num_input += static_cast<std::int64_t>(count);
      const auto samples = std::span<const float>(chunk).first(count);
      to_output_.process(samples, track_.user());
      resampled_.clear();
      to_engine_.process(samples, resampled_);
      step_all(resampled_);
    }
    should_stop();  // A pipe ends when it is told to.
    input_seconds_ = static_cast<double>(num_input) / input_.rate_hz();
    to_output_.flush(track_.user());
    if (is_stopped_) return;
    resampled_.clear();
    to_engine_.flush(resampled_);
    step_all(resampled_);
    std::vector<float> block(framer_.block_samples());
    if (framer_.flush(block) > 0) step(block);
  }

  void step_all(std::span<const float> samples) {
    framer_.push(samples);
    std::vector<float> block(framer_.block_samples());
    while (!should_stop() && framer_.pop(block)) step(block);
  }

  void feed_tail() {
    const std::vector<float> silence(framer_.block_samples(), 0.0F);
    while (!should_stop() && !tail_is_enough()) step(silence);
  }

  bool tail_is_enough() const {
    const double tail_s =
        static_cast<double>(session_->num_steps()) * info_.step_seconds - input_seconds_;
    constexpr double kRounding = 1e-9;
    if (options_.tail_s) return tail_s >= *options_.tail_s - kRounding;
    if (tail_s < kAutoTailSilenceSeconds - kRounding) return false;
    if (tail_s >= kMaxAutoTailSeconds - kRounding) return true;
    const Activity agent = find_activity(track_.agent_levels_db());
    return agent.segments.empty() ||
           track_.agent_end_s() - agent.segments.back().end_s >= kAutoTailSilenceSeconds;
  }

  void step(std::span<const float> block) {
    const std::int64_t t = session_->num_steps();
    if (options_.realtime) {
      std::this_thread::sleep_until(start_ + std::chrono::duration_cast<Clock::duration>(
                                                 std::chrono::duration<double>(clock_.due_s(t))));
    }
    const auto before = Clock::now();
    session_->step(block, out_);
    const double compute_s = seconds_since(before);
    const auto finished_s =
        options_.realtime ? std::optional<double>(seconds_since(start_)) : std::nullopt;
    // Playout may drop some of a silent step to make good a delay.
    const double audible_at_s = clock_.place(t, finished_s, !is_audible(out_.pcm));
    track_.add_agent(out_.pcm, audible_at_s);
    track_.write_ready();
    recorder_.add_step(out_, audible_at_s, compute_s);
    if (hooks_.on_event) report(clock_.due_s(t), audible_at_s);
  }

  void report(double heard_s, double audible_at_s) {
    using Kind = RunEvent::Kind;
    if (!out_.user_text.empty()) hooks_.on_event({Kind::kUserWords, heard_s, out_.user_text});
    if (out_.agent_turn_started) hooks_.on_event({Kind::kAgentTurnStarted, audible_at_s, {}});
    if (!out_.agent_text.empty())
      hooks_.on_event({Kind::kAgentWords, audible_at_s, out_.agent_text});
    if (out_.agent_turn_ended) hooks_.on_event({Kind::kAgentTurnEnded, audible_at_s, {}});
  }

  const EngineInfo& info_;
  audio::SampleSource& input_;
  const RunOptions& options_;
  const RunHooks& hooks_;
  std::unique_ptr<Session> session_;
  audio::Resampler to_engine_;
  audio::Resampler to_output_;
  audio::Framer framer_;
  ListenersClock clock_;
  StereoTrack track_;
  TimelineRecorder recorder_;
  StepOutput out_;
  std::vector<float> resampled_;
  Clock::time_point start_;
  double input_seconds_ = 0.0;
  bool is_stopped_ = false;
};

}  // namespace

ListenersClock::ListenersClock(double step_seconds, double input_delay_s)
    : step_seconds_(step_seconds), input_delay_s_(input_delay_s) {}

double ListenersClock::due_s(std::int64_t step) const noexcept {
  return static_cast<double>(step + 1) * step_seconds_ + input_delay_s_;
}

double ListenersClock::place(std::int64_t step, std::optional<double> finished_s,
                             bool is_silent) noexcept {
  const double ready_s = std::max(due_s(step), finished_s.value_or(0.0));
  const double start_s = is_silent ? ready_s : std::max(ready_s, played_until_s_);
  played_until_s_ = std::max(played_until_s_, start_s + step_seconds_);
  return start_s;
}

Timeline run_offline(const Engine& engine, audio::SampleSource& input, const RunOptions& options,
                     const RunHooks& hooks) {
  if (options.tail_s && !(*options.tail_s >= 0.0 && *options.tail_s <= kMaxTailSeconds)) {
    throw core::ConfigError(
        {.subject = "tail",
         .expected = "auto, or 0 to " + std::to_string(std::lround(kMaxTailSeconds)) + " seconds",
         .found = std::to_string(*options.tail_s),
         .file = "",
         .hint = ""});
  }
  return OfflineRun(engine, input, options, hooks).run();
}

}  // namespace duet::runtime
