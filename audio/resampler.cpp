#include "audio/resampler.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>
#include <string>

#include "runtime/core/error.h"

namespace duet::audio {

namespace {

constexpr int kMaxResampledHz = 768000;
/// Zero crossings of the sinc on each side, at the lower rate: 2 ms at 16 kHz.
constexpr int kZeroCrossings = 32;
/// Kaiser's beta for 90 dB: 0.1102 (A - 8.7).
constexpr double kBeta = 9.0;
/// Half the transition band of that window, (A - 8) / (2.285 * 2 pi * 2 * kZeroCrossings) of the
/// rate, is taken off the cutoff so that what folds back is already attenuated: (90 - 8) / 919 / 2
/// = 0.045 of the rate, 0.09 of Nyquist.
constexpr double kCutoff = 0.92;
/// More phases than this are interpolated linearly: the error, (pi / 1024)^2 / 8, is at -118 dB.
constexpr std::int64_t kMaxPhases = 1024;

/// Zeroth-order modified Bessel function of the first kind, by its series.
double bessel_i0(double x) {
  double sum = 1.0;
  double term = 1.0;
  for (int k = 1; term > 1e-12 * sum; ++k) {
    term *= (x / (2.0 * k)) * (x / (2.0 * k));
    sum += term;
  }
  return sum;
}

double sinc(double x) {
  const double y = std::numbers::pi * x;
  return std::abs(y) < 1e-12 ? 1.0 : std::sin(y) / y;
}

void check_rate(int rate_hz) {
  if (rate_hz >= 1 && rate_hz <= kMaxResampledHz) return;
  throw core::ConfigError({.subject = "sample rate",
                           .expected = "1 to " + std::to_string(kMaxResampledHz) + " Hz",
                           .found = std::to_string(rate_hz),
                           .file = "",
                           .hint = ""});
}

}  // namespace

Resampler::Resampler(int input_rate_hz, int output_rate_hz)
    : input_rate_hz_(input_rate_hz), output_rate_hz_(output_rate_hz) {
  check_rate(input_rate_hz);
  check_rate(output_rate_hz);
  if (input_rate_hz == output_rate_hz) return;
  const std::int64_t divisor = std::gcd(input_rate_hz, output_rate_hz);
  up_ = output_rate_hz / divisor;
  down_ = input_rate_hz / divisor;
  // In input samples: the sinc is as wide as the lower of the two rates asks for.
  const double scale = std::min(1.0, static_cast<double>(output_rate_hz) / input_rate_hz);
  half_taps_ = static_cast<std::size_t>(std::ceil(kZeroCrossings / scale));
  num_phases_ = std::min(up_, kMaxPhases);
  const std::size_t taps = 2 * half_taps_;
  bank_.resize(static_cast<std::size_t>(num_phases_ + 1) * taps);
  const double normal = bessel_i0(kBeta);
  std::vector<double> row(taps);
  for (std::int64_t phase = 0; phase <= num_phases_; ++phase) {
    const double fraction = static_cast<double>(phase) / static_cast<double>(num_phases_);
    for (std::size_t k = 0; k < taps; ++k) {
      // Tap k weighs the input sample k - (half_taps_ - 1) after the one at or before the position.
      const double distance =
          static_cast<double>(k) - static_cast<double>(half_taps_ - 1) - fraction;
      const double edge = distance * scale / kZeroCrossings;
      const double window =
          std::abs(edge) < 1.0 ? bessel_i0(kBeta * std::sqrt(1.0 - edge * edge)) / normal : 0.0;
      row[k] = window * sinc(kCutoff * scale * distance);
    }
    const double sum =
        std::accumulate(row.begin(), row.end(), 0.0);  // Unity gain at 0 Hz in every phase.
    for (std::size_t k = 0; k < taps; ++k) {
      bank_[static_cast<std::size_t>(phase) * taps + k] = static_cast<float>(row[k] / sum);
    }
  }
  reset();
}

void Resampler::reset() {
  history_.assign(half_taps_, 0.0F);
  history_begin_ = -static_cast<std::int64_t>(half_taps_);
  num_input_ = 0;
  num_output_ = 0;
}

float Resampler::interpolate(std::size_t first, std::int64_t phase) const {
  const std::size_t taps = 2 * half_taps_;
  const std::int64_t scaled = phase * num_phases_;  // Position in the bank, times up_.
  const float* row = bank_.data() + static_cast<std::size_t>(scaled / up_) * taps;
  const float fraction = static_cast<float>(scaled % up_) / static_cast<float>(up_);
  const float* x = history_.data() + first;
  float here = 0.0F;
  for (std::size_t k = 0; k < taps; ++k) here += row[k] * x[k];
  if (fraction == 0.0F) return here;
  const float* next_row = row + taps;
  float next = 0.0F;
  for (std::size_t k = 0; k < taps; ++k) next += next_row[k] * x[k];
  return here + fraction * (next - here);
}

void Resampler::emit(std::vector<float>& output) {
  for (;;) {
    const std::int64_t position = num_output_ * down_;
    const std::int64_t whole = position / up_;
    if (whole + static_cast<std::int64_t>(half_taps_) >= num_input_) break;
    const std::int64_t first = whole - static_cast<std::int64_t>(half_taps_) + 1 - history_begin_;
    output.push_back(interpolate(static_cast<std::size_t>(first), position % up_));
    ++num_output_;
  }
  // Keep what the next output sample needs.
  const std::int64_t keep_from =
      num_output_ * down_ / up_ - static_cast<std::int64_t>(half_taps_) + 1;
  const std::int64_t drop =
      std::clamp<std::int64_t>(keep_from - history_begin_, 0, std::ssize(history_));
  history_.erase(history_.begin(), history_.begin() + drop);
  history_begin_ += drop;
}

void Resampler::process(std::span<const float> input, std::vector<float>& output) {
  if (half_taps_ == 0) {
    output.insert(output.end(), input.begin(), input.end());
    return;
  }
  // In pieces, so that the history stays small whatever comes in.
  constexpr std::size_t kPiece = 4096;
  while (!input.empty()) {
    const auto piece = input.first(std::min(input.size(), kPiece));
    history_.insert(history_.end(), piece.begin(), piece.end());
    num_input_ += std::ssize(piece);
    emit(output);
    input = input.subspan(piece.size());
  }
}

void Resampler::flush(std::vector<float>& output) {
  if (half_taps_ > 0) {
    const std::int64_t total = (num_input_ * up_ + down_ - 1) / down_;
    const std::size_t wanted = output.size() + static_cast<std::size_t>(total - num_output_);
    const std::vector<float> zeros(half_taps_, 0.0F);
    process(zeros, output);
    output.resize(wanted);  // The zeros may have brought a sample that lies after the end.
  }
  reset();
}

std::vector<float> resample(std::span<const float> input, int input_rate_hz, int output_rate_hz) {
  Resampler resampler(input_rate_hz, output_rate_hz);
  std::vector<float> output;
  resampler.process(input, output);
  resampler.flush(output);
  return output;
}

}  // namespace duet::audio
