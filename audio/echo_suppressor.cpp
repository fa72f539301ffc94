#include "audio/echo_suppressor.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <utility>

#include "runtime/core/error.h"

namespace duet::audio {

namespace {

constexpr float kPowerMemory = 0.7F;  // 8 ms blocks: 22 ms.
/// The tail beyond the filter decays with a reverberation time of 0.7 s: 10^(-6 * 8 ms / 0.7 s).
constexpr float kTailDecay = 0.85F;
/// The leak rises by 3 dB a second and falls at once, up to the echo itself.
constexpr float kLeakRise = 1.0055F;
constexpr float kFirstLeak = 0.3F;
constexpr float kMaxLeak = 1.0F;
constexpr float kMinLeak = 1e-5F;
/// The minimum lies below the mean, and a gain that only just covers the mean lets peaks through.
constexpr float kOver = 16.0F;
/// The same for what the filter doubts, which is a mean as well.
constexpr float kOverDoubt = 3.0F;
/// While somebody talks, echo may come through rather than speech be lost.
constexpr float kTalkOver = 1.0F;
constexpr float kTalkOverDoubt = 0.5F;
/// Distortion appears where the far end has nothing: the echo of a bin is taken for at least 1 % of
/// the mean over all of them.
constexpr float kSpread = 0.01F;
constexpr float kFloor = 0.03F;            // -30 dB
constexpr float kDoubleTalkFloor = 0.35F;  // -9 dB, in bins that hold nothing but echo.
/// Somebody talks when error over echo is 6 dB over its usual value and over the room's noise;
/// believed for 100 ms. Without the noise every pause of the far end would count as talk, and its
/// next phrase would begin with the gains held up.
constexpr float kTalkRatio = 4.0F;
/// The noise is the least of the last one to two seconds.
constexpr int kNoiseBlocks = 125;
/// And what the filter doubts does not explain it by half.
constexpr float kTalkDoubt = 2.0F;
constexpr int kHoldBlocks = 12;
/// The usual value is the lower quartile: falls 30 dB and rises 10 dB a second, 1 dB during talk.
constexpr float kUsualFall = 0.946F;
constexpr float kUsualRise = 1.0186F;
constexpr float kUsualTalkRise = 1.0018F;
constexpr std::size_t kFirstSpeechBin = 5;  // 300 Hz
constexpr std::size_t kLastSpeechBin = 64;  // 4000 Hz
constexpr float kEchoSilence = 1e-7F;

}  // namespace

EchoSuppressor::EchoSuppressor()
    : fft_(kSize),
      window_(kSize),
      error_tail_(kBlock),
      echo_tail_(kBlock),
      overlap_(kBlock),
      work_(kSize),
      spectrum_(kBins),
      near_power_(kBins),
      error_power_(kBins),
      echo_power_(kBins),
      tail_power_(kBins),
      doubt_(kBins),
      leak_(kBins),
      gain_(kBins) {
  for (std::size_t i = 0; i < kSize; ++i)
    window_[i] = static_cast<float>(
        std::sin(std::numbers::pi * (static_cast<double>(i) + 0.5) / static_cast<double>(kSize)));
  reset();
}

void EchoSuppressor::reset() {
  for (auto* values : {&error_tail_, &echo_tail_, &overlap_, &near_power_, &error_power_,
                       &echo_power_, &tail_power_})
    std::fill(values->begin(), values->end(), 0.0F);
  std::fill(gain_.begin(), gain_.end(), 1.0F);
  hold_ = 0;
  is_double_talk_ = false;
  least_before_ = least_now_ = std::numeric_limits<float>::infinity();
  num_noise_blocks_ = 0;
  forget();
}

void EchoSuppressor::forget() {
  std::fill(leak_.begin(), leak_.end(), kFirstLeak);
  usual_ratio_ = kFirstLeak;
}

void EchoSuppressor::process(std::span<const float> error, std::span<const float> echo,
                             std::span<const float> uncertainty, float shift_samples,
                             std::span<float> out) {
  DUET_CHECK(error.size() == kBlock && echo.size() == kBlock && out.size() == kBlock &&
             uncertainty.size() == kBins);
  // Both in one transform: error in the real, echo in the imaginary part.
  for (std::size_t i = 0; i < kBlock; ++i) {
    work_[i] = {window_[i] * error_tail_[i], window_[i] * echo_tail_[i]};
    work_[i + kBlock] = {window_[i + kBlock] * error[i], window_[i + kBlock] * echo[i]};
    error_tail_[i] = error[i];
    echo_tail_[i] = echo[i];
  }
  fft_.forward(work_);
  for (std::size_t k = 0; k < kBins; ++k) {
    const std::complex<float> z = work_[k];
    const std::complex<float> m = std::conj(work_[(kSize - k) % kSize]);
    spectrum_[k] = 0.5F * (z + m);
    // (z - m) / 2i is the echo's spectrum; error and echo add up to the microphone's.
    const std::complex<float> echo_spectrum = std::complex<float>(0.0F, -0.5F) * (z - m);
    const float echo_now = std::norm(echo_spectrum);
    const float near_now = std::norm(spectrum_[k] + echo_spectrum);
    near_power_[k] += (1.0F - kPowerMemory) * (near_now - near_power_[k]);
    error_power_[k] += (1.0F - kPowerMemory) * (std::norm(spectrum_[k]) - error_power_[k]);
    echo_power_[k] += (1.0F - kPowerMemory) * (echo_now - echo_power_[k]);
    tail_power_[k] = std::max(echo_now, kTailDecay * tail_power_[k]);
  }
  estimate_leak();
  doubt(uncertainty, shift_samples);
  detect_talk();
  set_gains();
  for (std::size_t k = 0; k < kBins; ++k) work_[k] = gain_[k] * spectrum_[k];
  for (std::size_t k = 1; k < kBlock; ++k) work_[kSize - k] = std::conj(work_[k]);
  fft_.inverse(work_);
  for (std::size_t i = 0; i < kBlock; ++i) {
    out[i] = overlap_[i] + window_[i] * work_[i].real();
    overlap_[i] = window_[i + kBlock] * work_[i + kBlock].real();
  }
}

void EchoSuppressor::estimate_leak() {
  float mean = 0.0F;
  for (std::size_t k = 0; k < kBins; ++k) mean += echo_power_[k];
  mean /= kBins;
  if (mean < kEchoSilence) return;
  for (std::size_t k = 0; k < kBins; ++k) {
    if (echo_power_[k] < kSpread * mean) continue;  // Says nothing about this bin.
    const float ratio = error_power_[k] / echo_power_[k];
    leak_[k] = std::clamp(std::min(leak_[k] * kLeakRise, std::max(ratio, 0.9F * leak_[k])),
                          kMinLeak, kMaxLeak);
  }
}

/// A shift by s samples turns a bin's phase by w s, and leaves (w s)^2 of its echo.
void EchoSuppressor::doubt(std::span<const float> uncertainty, float shift_samples) {
  constexpr float kRadians = std::numbers::pi_v<float> / static_cast<float>(kBlock);
  for (std::size_t k = 0; k < kBins; ++k) {
    const float turn = kRadians * static_cast<float>(k) * shift_samples;
    doubt_[k] = uncertainty[k] + std::min(1.0F, turn * turn) * tail_power_[k];
  }
}

void EchoSuppressor::detect_talk() {
  float error = 0.0F;
  float doubt = 0.0F;
  float echo = 0.0F;
  for (std::size_t k = kFirstSpeechBin; k < kLastSpeechBin; ++k) {
    error += error_power_[k];
    echo += tail_power_[k];
    doubt += doubt_[k];
  }
  least_now_ = std::min(least_now_, error);
  const float noise = std::min(least_before_, least_now_);
  if (++num_noise_blocks_ == kNoiseBlocks) {
    least_before_ = std::exchange(least_now_, std::numeric_limits<float>::infinity());
    num_noise_blocks_ = 0;
  }
  if (hold_ > 0) --hold_;
  if (error > kTalkRatio * (usual_ratio_ * echo + noise) + kEchoSilence &&
      error > kTalkDoubt * doubt)
    hold_ = kHoldBlocks;
  is_double_talk_ = hold_ > 0;
  if (echo < kEchoSilence) return;
  const float ratio = error / echo;
  usual_ratio_ *= ratio < usual_ratio_ ? kUsualFall : is_double_talk_ ? kUsualTalkRise : kUsualRise;
  usual_ratio_ = std::clamp(usual_ratio_, kMinLeak, kMaxLeak);
}

void EchoSuppressor::set_gains() {
  float mean = 0.0F;
  for (std::size_t k = 0; k < kBins; ++k) mean += tail_power_[k];
  mean /= kBins;
  const float over = is_double_talk_ ? kTalkOver : kOver;
  const float over_doubt = is_double_talk_ ? kTalkOverDoubt : kOverDoubt;
  const auto residual = [&](std::size_t k) {
    return over * leak_[k] * std::max(tail_power_[k], kSpread * mean) + over_doubt * doubt_[k];
  };
  const float floor = is_double_talk_ ? kDoubleTalkFloor : kFloor;
  for (std::size_t k = 0; k < kBins; ++k) {
    const float power = std::max(error_power_[k], std::norm(spectrum_[k]));
    const float wanted = std::clamp(1.0F - residual(k) / (power + 1e-12F), floor, 1.0F);
    // Opens at once, closes over 20 ms: the start of a word is never cut.
    gain_[k] = wanted > gain_[k] ? wanted : 0.7F * gain_[k] + 0.3F * wanted;
    // Never louder than the microphone itself: a filter gone wrong adds echo rather than take it.
    gain_[k] = std::min(gain_[k], std::sqrt(near_power_[k] / (error_power_[k] + 1e-12F)));
  }
}

}  // namespace duet::audio
