#include "tools/speed/measure.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <span>

#include "runtime/activity.h"
#include "runtime/core/error.h"

namespace duet::speed {

namespace {

using Clock = std::chrono::steady_clock;

double milliseconds(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double, std::milli>(to - from).count();
}

/// LibTorch's settings of this thread, as they were afterwards.
class ThreadScope {
 public:
  explicit ThreadScope(int num_threads) : before_(at::get_num_threads()) {
    at::set_num_threads(num_threads);
    at::globalContext().setFlushDenormal(true);
  }
  ~ThreadScope() { at::set_num_threads(before_); }
  ThreadScope(const ThreadScope&) = delete;
  ThreadScope& operator=(const ThreadScope&) = delete;

 private:
  int before_;
};

/// Batches whose steps take so many budgets end the curve.
constexpr double kHopeless = 10.0;

struct StepTimes {
  double encoder = 0.0, lm = 0.0, sampler = 0.0, codec = 0.0, heads = 0.0, step = 0.0;
};

/// `batch` conversations, all stepped together.
class Conversations {
 public:
  Conversations(const Parts& parts, std::int64_t batch)
      : parts_(parts),
        batch_(batch),
        sampler_(parts.sampler),
        sampler_state_(sampler_.initial_state()),
        encoder_(parts.encoder->initial_state(batch)),
        lm_(parts.lm->initial_state(batch)),
        codec_(parts.codec->initial_state(batch)),
        heard_(parts.lm->initial_tokens(batch)),
        // Audible, and never the same twice: nothing is skipped.
        pcm_(0.01 * at::randn({batch, models::kUserFrameSamples})) {}

  std::int64_t num_bytes() const {
    return encoder_->num_bytes() + lm_.num_bytes() + codec_->num_bytes();
  }

  StepTimes step() {
    StepTimes times;
    const auto begin = Clock::now();
    const at::Tensor frames = parts_.encoder->step(pcm_, *encoder_);
    times.encoder = milliseconds(begin, Clock::now());
    for (std::int64_t t = 0; t < frames.size(1); ++t) say(frames.narrow(1, t, 1), times);
    if (frames.size(1) > 0) {
      const auto at = Clock::now();
      const at::Tensor words = parts_.encoder->ctc_logits(frames);
      const at::Tensor speaking = parts_.encoder->speaking_logit(frames);
      times.heads = milliseconds(at, Clock::now());
    }
    times.step = milliseconds(begin, Clock::now());
    return times;
  }

 private:
  void say(const at::Tensor& frame, StepTimes& times) {
    const auto begin = Clock::now();
    const models::DuplexLm::Logits logits = parts_.lm->step(frame, heard_, lm_);
    const auto after_lm = Clock::now();
    draw(logits.text.contiguous(), logits.audio.contiguous());
    const auto after_draw = Clock::now();
    const at::Tensor codes = heard_.codes.clamp_max(parts_.lm->config().num_codes() - 1);
    const at::Tensor voice = parts_.codec->step(codes.unsqueeze(2), *codec_);
    times.lm += milliseconds(begin, after_lm);
    times.sampler += milliseconds(after_lm, after_draw);
    times.codec += milliseconds(after_draw, Clock::now());
  }

  void draw(const at::Tensor& text, const at::Tensor& audio) {
    const std::int64_t num = parts_.lm->config().num_codebooks;
    const at::Tensor tokens = at::empty({batch_}, at::kLong),
                     codes = at::empty({batch_, num}, at::kLong);
    for (std::int64_t b = 0; b < batch_; ++b) {
      tokens[b] = sampler_.sample_text(row(text, b), sampler_state_);
      for (std::int64_t k = 0; k < num; ++k)
        codes[b][k] = sampler_.sample_code(row(audio, b * num + k), sampler_state_);
    }
    heard_ = {tokens, codes};
  }

  static std::span<const float> row(const at::Tensor& logits, std::int64_t index) {
    const auto size = static_cast<std::size_t>(logits.size(-1));
    return {logits.data_ptr<float>() + static_cast<std::size_t>(index) * size, size};
  }

  const Parts& parts_;
  std::int64_t batch_;
  models::Sampler sampler_;
  models::Sampler::State sampler_state_;
  std::unique_ptr<models::SpeechEncoder::State> encoder_;
  models::DuplexLm::State lm_;
  std::unique_ptr<codecs::CodecDecoder::State> codec_;
  models::DuplexLm::Tokens heard_;
  at::Tensor pcm_;
};

void check(const char* name, double value, double min, double max) {
  if (value >= min && value <= max) return;
  throw core::ConfigError({.subject = name,
                           .expected = std::to_string(min) + " to " + std::to_string(max),
                           .found = std::to_string(value),
                           .file = "",
                           .hint = ""});
}

void validate(const MeasureOptions& options) {
  check("steps", options.num_steps, 1, 1e6);
  check("warm-up steps", options.num_warm_up, 0, 1e6);
  check("threads", options.num_threads, 1, 1024);
  check("seconds", options.max_seconds, 0.0, 1e6);
  for (const int batch : options.batches) check("batch", batch, 1, 1024);
}

/// Steps until there are enough, the time is over or it is told to stop.
std::vector<StepTimes> run(Conversations& conversations, const MeasureOptions& options,
                           int num_warm_up, int num_steps) {
  const auto begin = Clock::now();
  std::vector<StepTimes> times;
  for (int i = 0; i < num_warm_up + num_steps; ++i) {
    const StepTimes step = conversations.step();
    if (i >= num_warm_up) times.push_back(step);
    if (options.on_progress) options.on_progress(i + 1, num_warm_up + num_steps);
    const bool is_late = milliseconds(begin, Clock::now()) > 1000.0 * options.max_seconds;
    if (is_late || (options.should_stop && options.should_stop())) {
      if (times.empty()) times.push_back(step);
      break;
    }
  }
  return times;
}

std::vector<runtime::bench::StageTimes> stages_of(const std::vector<StepTimes>& times) {
  std::vector<runtime::bench::StageTimes> stages = {{"encoder", {}}, {"lm", {}},    {"sampler", {}},
                                                    {"codec", {}},   {"heads", {}}, {"step", {}}};
  for (const StepTimes& t : times) {
    const double values[] = {t.encoder, t.lm, t.sampler, t.codec, t.heads, t.step};
    for (std::size_t i = 0; i < stages.size(); ++i) stages[i].ms.push_back(values[i]);
  }
  return stages;
}

}  // namespace

runtime::bench::SpeedReport measure(const Parts& parts, const MeasureOptions& options) {
  validate(options);
  const c10::InferenceMode inference;
  const ThreadScope threads(options.num_threads);
  runtime::bench::SpeedReport report;
  report.subject = parts.subject;
  report.weights = parts.weights;
  report.num_values = parts.num_values;
  report.load_s = parts.load_s;
  report.num_threads = options.num_threads;
  report.num_warm_up = options.num_warm_up;
  report.budget_ms = 1000.0 * static_cast<double>(models::kUserFrameSamples) /
                     static_cast<double>(models::kUserSampleRateHz);
  {
    Conversations one(parts, 1);
    report.session_bytes = one.num_bytes();
    report.stages = stages_of(run(one, options, options.num_warm_up, options.num_steps));
  }
  MeasureOptions quiet = options;
  quiet.on_progress = {};
  for (const int batch : options.batches) {
    if (options.should_stop && options.should_stop()) break;
    Conversations many(parts, batch);
    constexpr int kWarmUp = 3, kMost = 40;
    std::vector<double> ms;
    for (const StepTimes& t : run(many, quiet, kWarmUp, std::min(kMost, options.num_steps)))
      ms.push_back(t.step);
    report.batches.push_back({batch, runtime::percentile(ms, 0.5), runtime::percentile(ms, 0.95)});
    if (report.batches.back().p50_ms > kHopeless * report.budget_ms) break;  // It only gets worse.
  }
  report.peak_bytes = runtime::bench::peak_memory_bytes();
  return report;
}

}  // namespace duet::speed
