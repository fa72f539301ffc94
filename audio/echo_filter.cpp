#include "audio/echo_filter.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "runtime/core/error.h"

namespace duet::audio {

namespace {

/// The path forgets itself with this each block: a memory of 8 ms / (1 - 0.999) = 8 s; it is the
/// source of the uncertainty that lets the filter follow a moving path.
constexpr float kTransition = 0.999F;
/// While nothing plays nothing is forgotten: a user's turn of 3 s would cost a third of the
/// weights, and the next answer would begin with an echo at -10 dB. Energy of a block at -70 dBFS.
constexpr double kSilentFarEnergy = 128e-7;
/// Nor is anything learnt from a far end this far below its loudest (half-life 6 s): what a codec
/// leaves of a pause hides under the room's noise, and a filter fitted to that noise would be loud
/// when the next phrase begins. -35 dB.
constexpr double kFaint = 3e-4;
constexpr double kLoudestMemory = 0.9991;
/// First variance of a weight: echoes up to as loud as the far end, decaying by 60 dB in 0.5 s.
constexpr float kFirstVariance = 0.5F;
constexpr float kFirstDecay = 0.83F;  // 10^(-6 * 8 ms / 0.6 s), in power
constexpr float kNearMemory = 0.95F;
constexpr float kTiny = 1e-9F;
/// A filter that adds energy for 5 blocks (smoothed over 40 ms) is wrong for certain, if it is not
/// just the end of a word, where a wrong late tail is all there is: 7 dB below the last 160 ms.
constexpr double kQuickMemory = 0.8;
constexpr double kWorse = 1.25;
constexpr double kNotTail = 0.05;
constexpr int kBadBlocks = 5;
/// A new filter is left alone for 0.4 s.
constexpr int kPatience = 50;
constexpr int kUnlikeBlocks = 8;  // 64 ms
/// Smoothing of what tells a wrong filter, 160 ms.
constexpr double kWatchMemory = 0.95;
/// With the right filter, near = echo + n and <near, echo> = <echo, echo>, however loud the
/// near-end n; with a wrong one the products do not match. Below this share the path has changed.
constexpr double kWrong = 0.6;
/// Near-end this much louder than the echo hides it.
constexpr double kHidden = 10.0;
/// Energy of 160 ms of echo at -66 dBFS.
constexpr double kAudible = 6e-4;

double product(std::span<const float> a, std::span<const float> b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

}  // namespace

EchoFilter::EchoFilter(std::size_t num_partitions)
    : fft_(kSize),
      num_partitions_(num_partitions),
      far_tail_(kBlock),
      far_(num_partitions * kBins * 2),
      weights_(num_partitions * kBins * 2),
      variance_(num_partitions * kBins),
      near_power_(kBins),
      uncertainty_(kBins),
      work_(kSize),
      error_spectrum_(kBins) {
  DUET_CHECK(num_partitions > 0);
  reset();
}

void EchoFilter::reset() {
  for (auto* values : {&far_tail_, &far_, &near_power_, &uncertainty_})
    std::fill(values->begin(), values->end(), 0.0F);
  newest_ = next_constrained_ = 0;
  num_failures_ = 0;
  num_silent_ = num_partitions_;
  loudest_far_ = 0.0;
  forget();
}

void EchoFilter::forget() {
  std::fill(weights_.begin(), weights_.end(), 0.0F);
  float variance = kFirstVariance;
  for (std::size_t p = 0; p < num_partitions_; ++p) {
    std::fill_n(variance_.begin() + static_cast<std::ptrdiff_t>(p * kBins), kBins, variance);
    variance *= kFirstDecay;
  }
  near_energy_ = echo_energy_ = common_energy_ = quick_near_ = quick_error_ = 0.0;
  num_bad_ = num_unlike_ = 0;
  patience_ = kPatience;
}

void EchoFilter::push_far(std::span<const float> far) {
  for (std::size_t i = 0; i < kBlock; ++i) {
    work_[i] = far_tail_[i];
    work_[i + kBlock] = far[i];
    far_tail_[i] = far[i];
  }
  fft_.forward(work_);
  newest_ = (newest_ + num_partitions_ - 1) % num_partitions_;
  float* x = far_.data() + newest_ * kBins * 2;
  for (std::size_t k = 0; k < kBins; ++k) {
    x[2 * k] = work_[k].real();
    x[2 * k + 1] = work_[k].imag();
  }
}

void EchoFilter::process(std::span<const float> near, std::span<const float> far, bool is_adapting,
                         std::span<float> error, std::span<float> echo) {
  DUET_CHECK(near.size() == kBlock && far.size() == kBlock && error.size() == kBlock &&
             echo.size() == kBlock);
  push_far(far);
  std::fill(work_.begin(), work_.end(), std::complex<float>{});
  float* y = reinterpret_cast<float*>(work_.data());
  for (std::size_t p = 0; p < num_partitions_; ++p) {
    const float* x = far_.data() + (newest_ + p) % num_partitions_ * kBins * 2;
    const float* w = weights_.data() + p * kBins * 2;
    for (std::size_t k = 0; k < 2 * kBins; k += 2) {
      y[k] += x[k] * w[k] - x[k + 1] * w[k + 1];
      y[k + 1] += x[k] * w[k + 1] + x[k + 1] * w[k];
    }
  }
  for (std::size_t k = 1; k < kBlock; ++k) work_[kSize - k] = std::conj(work_[k]);
  fft_.inverse(work_);
  for (std::size_t i = 0; i < kBlock; ++i) {
    echo[i] = work_[kBlock + i].real();
    error[i] = near[i] - echo[i];
  }
  watch(near, echo);
  const double far_energy = product(far, far);
  loudest_far_ = std::max(far_energy, kLoudestMemory * loudest_far_);
  const bool is_silent = far_energy < std::max(kSilentFarEnergy, kFaint * loudest_far_);
  num_silent_ = is_silent ? num_silent_ + 1 : 0;
  if (is_adapting && num_silent_ < num_partitions_) adapt(error);
}

void EchoFilter::watch(std::span<const float> near, std::span<const float> echo) {
  const double d = product(near, near);
  const double y = product(echo, echo);
  const double dy = product(near, echo);
  quick_near_ = kQuickMemory * quick_near_ + d;
  quick_error_ = kQuickMemory * quick_error_ + d - 2.0 * dy + y;
  near_energy_ = kWatchMemory * near_energy_ + d;
  const bool is_worse =
      quick_error_ > kWorse * quick_near_ + 1e-6 && quick_error_ > kNotTail * near_energy_;
  num_bad_ = is_worse ? num_bad_ + 1 : 0;
  echo_energy_ = kWatchMemory * echo_energy_ + y;
  common_energy_ = kWatchMemory * common_energy_ + dy;
  const bool is_unlike = common_energy_ < kWrong * echo_energy_ &&
                         near_energy_ < kHidden * echo_energy_ && echo_energy_ > kAudible;
  num_unlike_ = is_unlike ? num_unlike_ + 1 : 0;
  if (patience_ > 0) --patience_;
  if (patience_ > 0 || (num_bad_ < kBadBlocks && num_unlike_ < kUnlikeBlocks)) return;
  ++num_failures_;
  forget();
}

void EchoFilter::adapt(std::span<const float> error) {
  for (std::size_t i = 0; i < kBlock; ++i) {
    work_[i] = 0.0F;
    work_[kBlock + i] = error[i];
  }
  fft_.forward(work_);
  std::copy_n(work_.begin(), kBins, error_spectrum_.begin());
  std::fill(uncertainty_.begin(), uncertainty_.end(), 0.0F);
  for (std::size_t p = 0; p < num_partitions_; ++p) {
    const float* x = far_.data() + (newest_ + p) % num_partitions_ * kBins * 2;
    const float* v = variance_.data() + p * kBins;
    for (std::size_t k = 0; k < kBins; ++k)
      uncertainty_[k] += v[k] * (x[2 * k] * x[2 * k] + x[2 * k + 1] * x[2 * k + 1]);
  }
  // Half of the block is zero, so half of the power arrives: the factor 0.5 (Kuech et al., eq. 20).
  std::array<float, kBins> scale{};
  for (std::size_t k = 0; k < kBins; ++k) {
    uncertainty_[k] *= 0.5F;
    const float power = std::norm(error_spectrum_[k]);
    // What the uncertainty does not explain is near-end.
    const float near = std::max(power - uncertainty_[k], 0.1F * power);
    near_power_[k] = kNearMemory * near_power_[k] + (1.0F - kNearMemory) * near;
    scale[k] = 1.0F / (uncertainty_[k] + near_power_[k] + kTiny);
  }
  const float keep = kTransition * kTransition;
  for (std::size_t p = 0; p < num_partitions_; ++p) {
    const float* x = far_.data() + (newest_ + p) % num_partitions_ * kBins * 2;
    float* w = weights_.data() + p * kBins * 2;
    float* v = variance_.data() + p * kBins;
    for (std::size_t k = 0; k < kBins; ++k) {
      const float xr = x[2 * k];
      const float xi = x[2 * k + 1];
      const float er = error_spectrum_[k].real();
      const float ei = error_spectrum_[k].imag();
      const float gain = v[k] * scale[k];
      w[2 * k] = kTransition * (w[2 * k] + gain * (xr * er + xi * ei));
      w[2 * k + 1] = kTransition * (w[2 * k + 1] + gain * (xr * ei - xi * er));
      const float left = std::max(0.0F, 1.0F - 0.5F * gain * (xr * xr + xi * xi));
      v[k] =
          keep * left * v[k] + (1.0F - keep) * (w[2 * k] * w[2 * k] + w[2 * k + 1] * w[2 * k + 1]);
    }
  }
  // Two partitions a block, in turn: a gradient without the constraint drifts slowly.
  const std::size_t first = next_constrained_;
  const std::size_t second = (first + 1) % num_partitions_;
  constrain(first, second);
  next_constrained_ = (second + 1) % num_partitions_;
}

/// The second half of a partition's response belongs to the next one: zero. Both real responses go
/// through one complex transform.
void EchoFilter::constrain(std::size_t a, std::size_t b) {
  float* u = weights_.data() + a * kBins * 2;
  float* v = weights_.data() + b * kBins * 2;
  for (std::size_t k = 0; k < kBins; ++k) {
    work_[k] = {u[2 * k] - v[2 * k + 1], u[2 * k + 1] + v[2 * k]};
    if (k > 0 && k < kBlock) work_[kSize - k] = {u[2 * k] + v[2 * k + 1], -u[2 * k + 1] + v[2 * k]};
  }
  fft_.inverse(work_);
  std::fill(work_.begin() + kBlock, work_.end(), std::complex<float>{});
  fft_.forward(work_);
  for (std::size_t k = 0; k < kBins; ++k) {
    const std::complex<float> z = work_[k];
    const std::complex<float> m = std::conj(work_[(kSize - k) % kSize]);
    u[2 * k] = 0.5F * (z.real() + m.real());
    u[2 * k + 1] = 0.5F * (z.imag() + m.imag());
    v[2 * k] = 0.5F * (z.imag() - m.imag());
    v[2 * k + 1] = -0.5F * (z.real() - m.real());
  }
}

}  // namespace duet::audio
