#include "audio/playout_path.h"

#include <algorithm>
#include <cmath>

namespace duet::audio {

namespace {

constexpr double kFadeMs = 5.0;
/// A queue within this of the cushion is left alone.
constexpr double kToleranceMs = 6.0;

bool is_silent(std::span<const float> pcm, double dbfs) {
  double energy = 0.0;
  for (const float x : pcm) energy += static_cast<double>(x) * static_cast<double>(x);
  return energy <= static_cast<double>(pcm.size()) * std::pow(10.0, dbfs / 10.0);
}

}  // namespace

PlayoutPath::PlayoutPath(const Config& config, DuplexStream& stream)
    : config_(config), stream_(stream), resampler_(config.model_rate_hz, stream.rate_hz()) {
  recent_ms_.reserve(kHistory);
}

double PlayoutPath::latency_ms() const noexcept {
  return 1e3 * static_cast<double>(resampler_.lookahead_samples()) / config_.model_rate_hz;
}

/// The least that waited at the last pushes: what the device never needed.
double PlayoutPath::usual_ms() const {
  return recent_ms_.size() < kHistory ? 0.0
                                      : *std::min_element(recent_ms_.begin(), recent_ms_.end());
}

void PlayoutPath::push(std::span<const float> pcm) {
  const double per_ms = stream_.rate_hz() * 1e-3;
  const auto samples_in = [per_ms](double ms) {
    return static_cast<std::size_t>(std::lround(std::max(ms, 0.0) * per_ms));
  };
  samples_.clear();
  if (is_first_) samples_.assign(samples_in(config_.cushion_ms), 0.0F);
  is_first_ = false;
  waiting_ms_ = static_cast<double>(stream_.num_queued()) / per_ms;
  if (recent_ms_.size() == kHistory) recent_ms_.erase(recent_ms_.begin());
  recent_ms_.push_back(waiting_ms_);
  resampler_.process(pcm, samples_);

  double cut_ms = waiting_ms_ - config_.max_ms;  // Must go, sound or not.
  const double spare_ms = usual_ms() - config_.cushion_ms;
  const bool is_quiet = is_silent(pcm, config_.silence_dbfs);
  if (is_quiet && spare_ms > kToleranceMs) cut_ms = std::max(cut_ms, spare_ms);
  const std::size_t cut = std::min(samples_in(cut_ms), samples_.size());
  samples_.resize(samples_.size() - cut);
  const std::size_t fade = std::min(samples_in(kFadeMs), samples_.size());
  if (was_cut_)
    for (std::size_t i = 0; i < fade; ++i)
      samples_[i] *= static_cast<float>(i) / static_cast<float>(fade);
  if (cut > 0) {
    for (std::size_t i = 0; i < fade; ++i)
      samples_[samples_.size() - 1 - i] *= static_cast<float>(i) / static_cast<float>(fade);
    recent_ms_.clear();
  }
  was_cut_ = cut > 0 && !is_quiet;
  const std::size_t taken = stream_.write(samples_);
  (is_quiet ? dropped_silence_ms_ : dropped_voice_ms_) +=
      static_cast<double>(cut + samples_.size() - taken) / per_ms;
}

}  // namespace duet::audio
