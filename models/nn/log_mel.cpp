#include "models/nn/log_mel.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>

#include "models/nn/mel_filters.h"
#include "runtime/core/error.h"

namespace duet::models::nn {
at::Tensor symmetric_hann(int64_t size) {
  // LibTorch's own, in fp32: its small values near the ends differ from exact ones, and the
  // reference has them.
  at::Tensor window = at::hann_window(size, /*periodic=*/false, at::kFloat);
  // Exact at both ends, so that the look-ahead is what the header says.
  window[0] = 0.0;
  window[size - 1] = 0.0;
  return window;
}

void NemoLogMel::Config::validate() const {
  const auto fail = [](const char* subject, const std::string& expected, const std::string& found) {
    throw core::ConfigError(
        {.subject = subject, .expected = expected, .found = found, .file = {}, .hint = {}});
  };
  if (sample_rate_hz <= 0)
    fail("preprocessor.sample_rate", "a rate > 0", std::to_string(sample_rate_hz));
  if (window_samples < 2 || window_samples % 2 != 0)
    fail("preprocessor.window_size", "an even number of samples >= 2",
         std::to_string(window_samples));
  if (hop_samples < 1 || hop_samples > window_samples)
    fail("preprocessor.window_stride", "1 to window_size samples", std::to_string(hop_samples));
  if (n_fft < window_samples)
    fail("preprocessor.n_fft", ">= window_size samples", std::to_string(n_fft));
  if (num_mels < 1) fail("preprocessor.features", ">= 1", std::to_string(num_mels));
  if (!(low_hz >= 0.0 && low_hz < high_hz && high_hz <= static_cast<double>(sample_rate_hz) / 2.0))
    fail("preprocessor.lowfreq, highfreq", "0 <= lowfreq < highfreq <= sample_rate / 2",
         std::to_string(low_hz) + ", " + std::to_string(high_hz));
  if (!(log_guard > 0.0))
    fail("preprocessor.log_zero_guard_value", "> 0", std::to_string(log_guard));
}

NemoLogMel::State NemoLogMel::State::clone() const {
  State copy;
  copy.previous = previous.clone();
  copy.tail = tail.clone();
  copy.num_tail = num_tail;
  copy.num_samples = num_samples;
  copy.num_frames = num_frames;
  return copy;
}

int64_t NemoLogMel::State::num_bytes() const {
  return static_cast<int64_t>(previous.nbytes() + tail.nbytes());
}

NemoLogMel::NemoLogMel(const Config& config, const WeightScope& weights) : config_(config) {
  config_.validate();
  const WeightScope featurizer = weights.sub("featurizer");
  const bool is_hann = config_.window == "hann";
  window_ = featurizer.buffer(
      "window", {config_.window_samples},
      is_hann ? std::function<at::Tensor()>([&] { return symmetric_hann(config_.window_samples); })
              : nullptr);
  filterbank_ = featurizer.buffer("fb", {1, config_.num_mels, config_.n_fft / 2 + 1}, [&] {
    return slaney_mel_filters(config_.sample_rate_hz, config_.n_fft, config_.num_mels,
                              config_.high_hz, config_.low_hz, config_.has_area_norm)
        .unsqueeze(0);
  });
  window_ = window_.to(at::kFloat);
  filterbank_ = filterbank_.to(at::kFloat);
}

NemoLogMel::State NemoLogMel::initial_state(int64_t batch) const {
  State state;
  state.previous = at::zeros({batch, 1}, window_.options());
  state.tail = at::zeros({batch, config_.window_samples - 1}, window_.options());
  reset(state);
  return state;
}

void NemoLogMel::reset(State& state) const {
  state.previous.zero_();
  state.tail.zero_();
  state.num_tail = config_.window_samples / 2;  // the zeros in front of sample 0
  state.num_samples = state.num_frames = 0;
}

at::Tensor NemoLogMel::emphasise(const at::Tensor& pcm, const at::Tensor& previous) const {
  const at::Tensor before = at::cat({previous, pcm}, 1).narrow(1, 0, pcm.size(1));
  return pcm - config_.preemphasis * before;
}

at::Tensor NemoLogMel::frames(const at::Tensor& samples, int64_t count) const {
  if (count == 0) return at::zeros({samples.size(0), 0, config_.num_mels}, window_.options());
  const int64_t needed = (count - 1) * config_.hop_samples + config_.window_samples;
  const at::Tensor segments =
      samples.narrow(1, 0, needed).unfold(1, config_.window_samples, config_.hop_samples) * window_;
  const at::Tensor parts = at::view_as_real(at::fft_rfft(segments, config_.n_fft));
  // The reference takes the root and raises it again; kept, because it differs from re^2 + im^2 in
  // the last bit.
  const at::Tensor magnitude = parts.pow(2).sum(-1).sqrt();
  const at::Tensor power =
      config_.magnitude_power == 1.0 ? magnitude : magnitude.pow(config_.magnitude_power);
  const at::Tensor mel = at::matmul(power, filterbank_[0].t());
  return config_.is_guard_clamped ? mel.clamp_min(config_.log_guard).log()
                                  : (mel + config_.log_guard).log();
}

at::Tensor NemoLogMel::forward(const at::Tensor& pcm) const {
  const int64_t half = config_.window_samples / 2;
  const at::Tensor wide = pcm.to(at::kFloat);
  const at::Tensor emphasised = emphasise(wide, at::zeros({pcm.size(0), 1}, wide.options()));
  return frames(at::constant_pad_nd(emphasised, {half, half}), pcm.size(1) / config_.hop_samples);
}

at::Tensor NemoLogMel::advance(const at::Tensor& emphasised, int64_t max_frames,
                               State& state) const {
  const at::Tensor joined = at::cat({state.tail.narrow(1, 0, state.num_tail), emphasised}, 1);
  const int64_t total = joined.size(1);
  int64_t count = total < config_.window_samples
                      ? 0
                      : (total - config_.window_samples) / config_.hop_samples + 1;
  count = std::min(count, max_frames);
  const at::Tensor out = frames(joined, count);
  const int64_t used = count * config_.hop_samples;
  state.num_tail = std::min(total - used, state.tail.size(1));
  state.tail.narrow(1, 0, state.num_tail).copy_(joined.narrow(1, used, state.num_tail));
  state.num_frames += count;
  return out;
}

at::Tensor NemoLogMel::step(const at::Tensor& pcm, State& state) const {
  const int64_t count = pcm.size(1);
  if (count == 0) return frames(pcm, 0);
  const at::Tensor wide = pcm.to(at::kFloat);
  const at::Tensor emphasised = emphasise(wide, state.previous);
  state.previous.copy_(wide.narrow(1, count - 1, 1));
  state.num_samples += count;
  return advance(emphasised, std::numeric_limits<int64_t>::max(), state);
}

at::Tensor NemoLogMel::flush(State& state) const {
  const int64_t left = state.num_samples / config_.hop_samples - state.num_frames;
  const at::Tensor zeros =
      at::zeros({state.previous.size(0), config_.window_samples}, window_.options());
  return advance(zeros, left, state);
}

}  // namespace duet::models::nn
