#include "audio/delay_estimator.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

#include "runtime/core/error.h"

namespace duet::audio {

namespace {

/// Per hop of 128 ms: a memory of 0.6 s, so that a new path outweighs the old one in half a second.
constexpr float kForget = 0.8F;
/// Longest delay that is looked for, 500 ms: the last lags hold the seam of the window.
constexpr std::size_t kLastLag = 4000;
static_assert(kLastLag < DelayEstimator::kMaxLag);
/// Far end quieter than this (mean square, -70 dBFS) tells nothing.
constexpr double kSilence = 1e-7;
/// 100 to 3600 Hz in bins of 8000 Hz / kWindow.
constexpr std::size_t kFirstBin = DelayEstimator::kWindow * 100 / 8000;
constexpr std::size_t kLastBin = DelayEstimator::kWindow * 3600 / 8000;
/// Peak over RMS of the correlogram: noise alone reaches 4 to 6 over 4096 lags.
constexpr double kNoPeak = 6.0;
constexpr double kSurePeak = 14.0;

/// Standard deviation of an estimate [samples]. Neighbouring estimates share most of their samples,
/// so they are taken for worse than they are.
constexpr double kMeasurementError = 0.8;
constexpr double kFirstDriftError = 1.6;   // [samples/s]: 100 ppm.
constexpr double kUsableDriftError = 0.4;  // 25 ppm
/// The clocks' own wander: 0.3 ppm in a root second.
constexpr double kDriftWander = 0.005;
constexpr double kDelayWander = 0.02;
constexpr double kJump = 8.0;  // 0.5 ms

}  // namespace

DelayEstimator::DelayEstimator()
    : fft_(kWindow),
      taps_(kFilterTaps),
      near_(kWindow, 0.0F),
      far_(kWindow, 0.0F),
      work_(kWindow),
      cross_(kWindow / 2),
      near_power_(kWindow / 2),
      far_power_(kWindow / 2) {
  // Half-band low-pass, Hann-windowed.
  const auto middle = static_cast<double>(kFilterTaps / 2);
  double sum = 0.0;
  for (std::size_t i = 0; i < kFilterTaps; ++i) {
    const double x = (static_cast<double>(i) - middle) * std::numbers::pi * 0.48;
    const double window =
        0.5 + 0.5 * std::cos(std::numbers::pi * (static_cast<double>(i) - middle) / (middle + 1.0));
    taps_[i] = static_cast<float>(window * (x == 0.0 ? 1.0 : std::sin(x) / x));
    sum += static_cast<double>(taps_[i]);
  }
  for (float& tap : taps_) tap /= static_cast<float>(sum);
}

void DelayEstimator::reset() {
  for (auto* ring : {&near_, &far_, &near_half_.history, &far_half_.history})
    std::fill(ring->begin(), ring->end(), 0.0F);
  forget();
  position_ = 0;
  num_new_ = 0;
  is_odd_ = false;
  estimate_ = {};
}

/// What was heard before a silence of a second tells where the echo was then: with drift the delay
/// has moved on.
void DelayEstimator::forget() {
  std::fill(cross_.begin(), cross_.end(), std::complex<float>{});
  for (auto* power : {&near_power_, &far_power_}) std::fill(power->begin(), power->end(), 0.0F);
}

float DelayEstimator::Halver::filter(float x, std::span<const float> taps) noexcept {
  std::copy(history.begin() + 1, history.end(), history.begin());
  history.back() = x;
  return std::inner_product(taps.begin(), taps.end(), history.begin(), 0.0F);
}

bool DelayEstimator::process(std::span<const float> near, std::span<const float> far) {
  DUET_CHECK(near.size() == far.size());
  bool is_new = false;
  for (std::size_t i = 0; i < near.size(); ++i) {
    const float a = near_half_.filter(near[i], taps_);
    const float b = far_half_.filter(far[i], taps_);
    is_odd_ = !is_odd_;
    if (is_odd_) continue;
    near_[position_] = a;
    far_[position_] = b;
    position_ = (position_ + 1) % kWindow;
    if (++num_new_ == kHop) {
      num_new_ = 0;
      is_new |= update();
    }
  }
  return is_new;
}

bool DelayEstimator::update() {
  const double power = std::inner_product(far_.begin(), far_.end(), far_.begin(), 0.0) /
                       static_cast<double>(kWindow);
  if (power < kSilence) {
    forget();
    return false;
  }
  // Both transforms in one: far end in the real part; in the imaginary part the later half of the
  // microphone, so that every lag up to kMaxLag sees all of its samples.
  for (std::size_t i = 0; i < kWindow; ++i) {
    const std::size_t at = (position_ + i) % kWindow;
    work_[i] = {far_[at], i < kWindow / 2 ? 0.0F : near_[at]};
  }
  fft_.forward(work_);
  for (std::size_t k = kFirstBin; k < kLastBin; ++k) {
    const std::complex<float> z = work_[k];
    const std::complex<float> m = std::conj(work_[kWindow - k]);
    const float xr = 0.5F * (z.real() + m.real());
    const float xi = 0.5F * (z.imag() + m.imag());
    const float yr = 0.5F * (z.imag() - m.imag());
    const float yi = -0.5F * (z.real() - m.real());
    cross_[k] = {kForget * cross_[k].real() + yr * xr + yi * xi,
                 kForget * cross_[k].imag() + yi * xr - yr * xi};
    far_power_[k] = kForget * far_power_[k] + xr * xr + xi * xi;
    near_power_[k] = kForget * near_power_[k] + yr * yr + yi * yi;
  }
  find_peak();
  return true;
}

void DelayEstimator::find_peak() {
  std::fill(work_.begin(), work_.end(), std::complex<float>{});
  for (std::size_t k = kFirstBin; k < kLastBin; ++k) {
    const float scale = 1.0F / std::sqrt(far_power_[k] * near_power_[k] + 1e-12F);
    work_[k] = {cross_[k].real() * scale, cross_[k].imag() * scale};
    work_[kWindow - k] = std::conj(work_[k]);
  }
  fft_.inverse(work_);
  std::size_t best = 1;
  double square = 0.0;
  for (std::size_t lag = 1; lag + 1 < kMaxLag; ++lag) {
    const float value = work_[lag].real();
    square += static_cast<double>(value * value);
    if (lag <= kLastLag && std::abs(value) > std::abs(work_[best].real())) best = lag;
  }
  const double rms = std::sqrt(square / static_cast<double>(kMaxLag)) + 1e-20;
  const auto height = [&](std::size_t lag) {
    return static_cast<double>(std::abs(work_[lag].real()));
  };
  const double curve = height(best - 1) - 2.0 * height(best) + height(best + 1);
  const double shift = curve < 0.0 ? 0.5 * (height(best - 1) - height(best + 1)) / curve : 0.0;
  estimate_.delay_samples = 2.0 * (static_cast<double>(best) + std::clamp(shift, -0.5, 0.5));
  estimate_.confidence =
      std::clamp((height(best) / rms - kNoPeak) / (kSurePeak - kNoPeak), 0.0, 1.0);
}

DelayTracker::DelayTracker(const Config& config) : config_(config) { reset(); }

void DelayTracker::reset() {
  is_known_ = false;
  delay_ = slope_ = 0.0;
  p_dd_ = p_dd_seen_ = kMeasurementError * kMeasurementError;
  p_ds_ = 0.0;
  p_ss_ = kFirstDriftError * kFirstDriftError;
  num_candidates_ = 0;
  num_jumps_ = 0;
}

double DelayTracker::drift_error_ppm() const noexcept {
  return std::sqrt(p_ss_) / config_.rate_hz * 1e6;
}

double DelayTracker::unseen_shift_samples() const noexcept {
  return std::sqrt(std::max(0.0, p_dd_ - p_dd_seen_));
}

double DelayTracker::drift_ppm() const noexcept {
  if (p_ss_ > kUsableDriftError * kUsableDriftError) return 0.0;
  const double ppm = -slope_ / config_.rate_hz * 1e6;
  return std::clamp(ppm, -config_.max_drift_ppm, config_.max_drift_ppm);
}

void DelayTracker::advance(double seconds) {
  if (!is_known_) return;
  delay_ += slope_ * seconds;
  p_dd_ += seconds * (2.0 * p_ds_ + seconds * p_ss_) + kDelayWander * kDelayWander * seconds;
  p_ds_ += seconds * p_ss_;
  p_ss_ += kDriftWander * kDriftWander * seconds;
}

bool DelayTracker::update(const DelayEstimate& estimate, double seconds) {
  advance(seconds);
  if (!estimate.is_believed()) return false;
  const double innovation = estimate.delay_samples - delay_;
  const double noise = kMeasurementError * kMeasurementError;
  if (!is_known_ || std::abs(innovation) > std::max(kJump, 4.0 * std::sqrt(p_dd_ + noise))) {
    const bool agrees =
        num_candidates_ > 0 && std::abs(estimate.delay_samples - candidate_) < kJump;
    num_candidates_ = agrees ? num_candidates_ + 1 : 1;
    candidate_ = estimate.delay_samples;
    if (num_candidates_ < (is_known_ ? 3 : 2)) return false;
    // The clocks did not change with the path: their drift stays.
    num_jumps_ += is_known_ ? 1 : 0;
    is_known_ = true;
    num_candidates_ = 0;
    delay_ = candidate_;
    p_dd_ = p_dd_seen_ = noise;
    p_ds_ = 0.0;
    return true;
  }
  num_candidates_ = 0;
  const double gain_d = p_dd_ / (p_dd_ + noise);
  const double gain_s = p_ds_ / (p_dd_ + noise);
  delay_ += gain_d * innovation;
  slope_ += gain_s * innovation;
  p_ss_ -= gain_s * p_ds_;
  p_ds_ -= gain_d * p_ds_;
  p_dd_ -= gain_d * p_dd_;
  p_dd_seen_ = p_dd_;
  return false;
}

}  // namespace duet::audio
