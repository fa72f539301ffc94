#include "audio/echo_canceller.h"

#include <speex/speex_echo.h>
#include <speex/speex_preprocess.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <string>

#include "audio/check_range.h"
#include "audio/delay_estimator.h"
#include "audio/echo_filter.h"
#include "audio/echo_suppressor.h"
#include "audio/far_aligner.h"
#include "runtime/core/error.h"

namespace duet::audio {

namespace {

constexpr std::size_t kBlock = kEchoBlockSamples;
static_assert(kBlock == EchoFilter::kBlock);
using Block = std::array<float, kBlock>;

/// The aligned far end runs this much ahead of its echo: room for an estimate that is off by up to
/// 4 ms, and for a direct path before the strongest one.
constexpr double kMarginSamples = 96.0;  // 6 ms
constexpr double kBlockSeconds = static_cast<double>(kBlock) / kEchoRateHz;
/// An alignment that is off by more than this is jumped to, not slewed to.
constexpr double kJumpSamples = 48.0;  // 3 ms
/// After a silence in which the drift, not yet well known, may have moved the far end by more than
/// this, the filter waits for the next estimate of the delay: what it learnt is right, the
/// alignment is not.
constexpr double kMaxShiftSamples = 1.0;
/// Nothing plays: below -70 dBFS for longer than any room's tail and any device's delay.
constexpr float kFarSilence = 3e-4F;
constexpr int kBypassBlocks = 150;  // 1.2 s

/// Until the delay is known for the first time the filter looks in the wrong place, and then it has
/// to learn: the microphone is shut (-30 dB) while the agent speaks and for 0.5 s after it. For so
/// much of its speech at most: with headphones there is nothing to be known.
constexpr int kMaxBlindBlocks = 250;  // 2 s
constexpr int kLearnBlocks = 50;      // 0.4 s
constexpr int kBlindHoldBlocks = 62;
constexpr float kBlindGain = 0.03F;
/// After that, and when 3 s of playback have passed without a delay to be believed, there is no
/// echo (headphones): the microphone passes untouched. A filter that looks for what is not there
/// takes the user for it.
constexpr int kLostBlocks = 375;

double energy(std::span<const float> x) {
  return std::inner_product(x.begin(), x.end(), x.begin(), 0.0);
}

/// What both backends have in common: a block in, an aligned far end, a block out.
class Backend {
 public:
  virtual ~Backend() = default;
  /// `shift_samples`: how far the alignment may be off that the filter was learnt with.
  virtual void process(const Block& near, const Block& far, double shift_samples, Block& out) = 0;
  virtual std::size_t latency_samples() const noexcept = 0;
  virtual bool is_double_talk() const noexcept = 0;
  virtual int num_failures() const noexcept = 0;
  virtual void forget() = 0;
  virtual void reset() = 0;
};

class KalmanBackend : public Backend {
 public:
  explicit KalmanBackend(std::size_t num_partitions) : filter_(num_partitions) {}
  void process(const Block& near, const Block& far, double shift_samples, Block& out) override {
    const int failures = filter_.num_failures();
    filter_.process(near, far, shift_samples < kMaxShiftSamples, error_, echo_);
    if (filter_.num_failures() != failures) suppressor_.forget();
    suppressor_.process(error_, echo_, filter_.uncertainty(), static_cast<float>(shift_samples),
                        out);
  }
  std::size_t latency_samples() const noexcept override { return EchoSuppressor::kLatency; }
  bool is_double_talk() const noexcept override { return suppressor_.is_double_talk(); }
  int num_failures() const noexcept override { return filter_.num_failures(); }
  void forget() override {
    filter_.forget();
    suppressor_.forget();
  }
  void reset() override {
    filter_.reset();
    suppressor_.reset();
  }

 private:
  EchoFilter filter_;
  EchoSuppressor suppressor_;
  Block error_{}, echo_{};
};

struct EchoDeleter {
  void operator()(SpeexEchoState* state) const { speex_echo_state_destroy(state); }
};
struct PreprocessDeleter {
  void operator()(SpeexPreprocessState* state) const { speex_preprocess_state_destroy(state); }
};

class SpeexBackend : public Backend {
 public:
  explicit SpeexBackend(std::size_t num_partitions) : tail_(num_partitions * kBlock) { make(); }
  void process(const Block& near, const Block& far, double, Block& out) override {
    for (std::size_t i = 0; i < kBlock; ++i) {
      near_[i] = to_int(near[i]);
      far_[i] = to_int(far[i]);
    }
    speex_echo_cancellation(echo_.get(), near_.data(), far_.data(), out_.data());
    speex_preprocess_run(preprocess_.get(), out_.data());
    for (std::size_t i = 0; i < kBlock; ++i) out[i] = static_cast<float>(out_[i]) / 32768.0F;
  }
  std::size_t latency_samples() const noexcept override { return kBlock; }
  bool is_double_talk() const noexcept override { return false; }
  int num_failures() const noexcept override { return 0; }
  void forget() override { speex_echo_state_reset(echo_.get()); }
  void reset() override { make(); }

 private:
  static spx_int16_t to_int(float x) {
    return static_cast<spx_int16_t>(std::lrint(std::clamp(x * 32768.0F, -32768.0F, 32767.0F)));
  }
  void make() {
    preprocess_.reset();
    echo_.reset(speex_echo_state_init(static_cast<int>(kBlock), static_cast<int>(tail_)));
    preprocess_.reset(speex_preprocess_state_init(static_cast<int>(kBlock), kEchoRateHz));
    DUET_CHECK(echo_ != nullptr && preprocess_ != nullptr);
    int rate = kEchoRateHz;
    speex_echo_ctl(echo_.get(), SPEEX_ECHO_SET_SAMPLING_RATE, &rate);
    speex_preprocess_ctl(preprocess_.get(), SPEEX_PREPROCESS_SET_ECHO_STATE, echo_.get());
  }

  std::size_t tail_;
  std::unique_ptr<SpeexEchoState, EchoDeleter> echo_;
  std::unique_ptr<SpeexPreprocessState, PreprocessDeleter> preprocess_;
  std::array<spx_int16_t, kBlock> near_{}, far_{}, out_{};
};

class NoCanceller : public EchoCanceller {
 public:
  void process(std::span<const float> near, std::span<const float> far,
               std::span<float> out) override {
    DUET_CHECK(near.size() == kBlock && far.size() == kBlock && out.size() == kBlock);
    std::copy(near.begin(), near.end(), out.begin());
  }
  std::size_t latency_samples() const noexcept override { return 0; }
  EchoReport report() const override { return {}; }
  void reset() override {}
};

/// Alignment, a backend, bypass and the report.
class Chain : public EchoCanceller {
 public:
  Chain(const EchoConfig& config, std::unique_ptr<Backend> backend)
      : config_(config), backend_(std::move(backend)) {
    reset();
  }

  void process(std::span<const float> near, std::span<const float> far,
               std::span<float> out) override {
    DUET_CHECK(near.size() == kBlock && far.size() == kBlock && out.size() == kBlock);
    std::copy(near.begin(), near.end(), near_.begin());
    align(near, far);
    backend_->process(near_, aligned_, tracker_.unseen_shift_samples(), cleaned_);
    mix(far, out);
    measure();
    std::copy(near_.begin(), near_.end(), before_.begin());
  }

  std::size_t latency_samples() const noexcept override { return backend_->latency_samples(); }

  EchoReport report() const override {
    EchoReport report;
    report.is_delay_known = tracker_.is_known();
    report.delay_ms = tracker_.delay_samples() * 1e3 / kEchoRateHz;
    report.delay_confidence = estimator_.estimate().confidence;
    report.drift_ppm = tracker_.drift_ppm();
    report.drift_error_ppm = tracker_.drift_error_ppm();
    report.erle_db = 10.0 * std::log10((near_energy_ + 1e-12) / (out_energy_ + 1e-12));
    report.is_bypassed = is_bypassed();
    report.is_double_talk = backend_->is_double_talk();
    report.num_path_changes = tracker_.num_jumps() + backend_->num_failures();
    return report;
  }

  void reset() override {
    estimator_.reset();
    tracker_.reset();
    aligner_.reset();
    aligner_.jump(first_delay());
    backend_->reset();
    before_.fill(0.0F);
    num_silent_ = kBypassBlocks;
    num_blind_ = num_learnt_ = num_unsure_ = 0;
    wet_ = 0.0F;
    gain_ = 1.0F;
    near_energy_ = out_energy_ = 0.0;
  }

 private:
  double first_delay() const { return config_.delay_ms * 1e-3 * kEchoRateHz; }

  void align(std::span<const float> near, std::span<const float> far) {
    double target = first_delay();
    if (config_.is_aligned) {
      if (estimator_.process(near, far)) {
        tracker_.update(estimator_.estimate(), kBlockSeconds);
        if (estimator_.estimate().is_believed()) num_unsure_ = 0;
      } else {
        tracker_.advance(kBlockSeconds);
      }
      if (tracker_.is_known()) target = tracker_.delay_samples() - kMarginSamples;
      target = std::max(target, static_cast<double>(FarAligner::kMinDelay));
      if (std::abs(target - aligner_.delay_samples()) > kJumpSamples) {
        aligner_.jump(target);
        backend_->forget();
      }
    }
    aligner_.process(far, aligned_, target, tracker_.drift_ppm());
  }

  /// Out of the backend, or while nothing plays the microphone itself, equally late.
  void mix(std::span<const float> far, std::span<float> out) {
    const bool is_silent =
        std::all_of(far.begin(), far.end(), [](float x) { return std::abs(x) < kFarSilence; });
    num_silent_ = is_silent ? std::min(num_silent_ + 1, kBypassBlocks) : 0;
    if (!is_silent) num_unsure_ = std::min(num_unsure_ + 1, kLostBlocks);
    const float target = is_bypassed() ? 0.0F : 1.0F;
    const float step = (target - wet_) / static_cast<float>(kBlock);
    const float gain = blind_gain();
    const float gain_step = (gain - gain_) / static_cast<float>(kBlock);
    for (std::size_t i = 0; i < kBlock; ++i) {
      const auto n = static_cast<float>(i + 1);
      const float wet = wet_ + step * n;
      out[i] = (gain_ + gain_step * n) * (before_[i] + wet * (cleaned_[i] - before_[i]));
      cleaned_[i] = out[i];
    }
    wet_ = target;
    gain_ = gain;
  }

  bool is_bypassed() const { return num_silent_ >= kBypassBlocks || !has_echo(); }

  /// As far as is known: while nothing is, there may be one. With a given delay nothing is counted.
  bool has_echo() const {
    return tracker_.is_known() ? num_unsure_ < kLostBlocks : num_blind_ < kMaxBlindBlocks;
  }

  float blind_gain() {
    if (!config_.is_aligned || num_blind_ >= kMaxBlindBlocks || num_learnt_ >= kLearnBlocks)
      return 1.0F;
    const bool is_playing = num_silent_ == 0;
    num_blind_ += is_playing;
    num_learnt_ += is_playing && tracker_.is_known();
    return num_blind_ > 0 && num_silent_ < kBlindHoldBlocks ? kBlindGain : 1.0F;
  }

  void measure() {
    if (num_silent_ > 0) return;
    constexpr double kMemory = 0.99;  // 0.8 s
    near_energy_ = kMemory * near_energy_ + energy(before_);
    out_energy_ = kMemory * out_energy_ + energy(cleaned_);
  }

  EchoConfig config_;
  std::unique_ptr<Backend> backend_;
  DelayEstimator estimator_;
  DelayTracker tracker_;
  FarAligner aligner_;
  Block near_{}, before_{}, aligned_{}, cleaned_{};
  int num_silent_ = kBypassBlocks;
  int num_blind_ = 0, num_learnt_ = 0;
  int num_unsure_ = 0;  // Blocks of playback since the last estimate to be believed.
  float wet_ = 0.0F;
  float gain_ = 1.0F;
  double near_energy_ = 0.0, out_energy_ = 0.0;
};

}  // namespace

void EchoConfig::validate() const {
  check_range("echo.delay_ms", delay_ms, 0.0, 500.0);
  check_range("echo.tail_ms", tail_ms, 32.0, 512.0);
}

std::unique_ptr<EchoCanceller> make_echo_canceller(const EchoConfig& config) {
  config.validate();
  const auto num_partitions =
      static_cast<std::size_t>(std::lround(config.tail_ms * 1e-3 * kEchoRateHz / kBlock));
  switch (config.backend) {
    case EchoConfig::Backend::kNone: return std::make_unique<NoCanceller>();
    case EchoConfig::Backend::kSpeex:
      return std::make_unique<Chain>(config, std::make_unique<SpeexBackend>(num_partitions));
    case EchoConfig::Backend::kKalman: break;
  }
  return std::make_unique<Chain>(config, std::make_unique<KalmanBackend>(num_partitions));
}

}  // namespace duet::audio
