#pragma once
// NeMo's waveform front end: 16 kHz samples -> log-mel frames every 10 ms, streaming and offline.
// Source: NeMo AudioToMelSpectrogramPreprocessor / FilterbankFeatures (features.py) in eval mode:
// no dither, zero-padded centred STFT, fp32 throughout. Checkpoint prefix:
// perception.preprocessor.featurizer. (window, fb). Not supported, rejected by Config::validate:
// per-utterance normalisation (needs the whole utterance), frame splicing, padding to a multiple of
// frames.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

#include "models/weights/weight_reader.h"
#include "runtime/core/move_only.h"

namespace duet::models::nn {

/// 0.5 - 0.5 cos(2 pi n / (size - 1)): symmetric, both ends 0. Returns [size] fp32.
at::Tensor symmetric_hann(int64_t size);

class NemoLogMel {
 public:
  struct Config {
    int64_t sample_rate_hz = 16000;
    int64_t window_samples = 400;  ///< 25 ms; even.
    int64_t hop_samples = 160;     ///< 10 ms.
    int64_t n_fft = 512;           ///< >= window_samples.
    int64_t num_mels = 80;
    double low_hz = 0.0;
    double high_hz = 8000.0;
    double preemphasis = 0.97;  ///< 0 turns it off.
    double magnitude_power = 2.0;
    double log_guard = 5.9604644775390625e-08;  ///< 2^-24.
    bool is_guard_clamped = false;              ///< true: ln(max(v, guard)), false: ln(v + guard).
    std::string window = "hann";                ///< Any other window must be in the checkpoint.
    bool has_area_norm = true;                  ///< mel_norm "slaney".
    void validate() const;                      ///< Throws core::ConfigError.
  };
  struct State : core::MoveOnly {
    at::Tensor previous;  ///< [B, 1] last raw sample.
    at::Tensor tail;  ///< [B, window - 1] emphasised samples not yet consumed; the first num_tail
                      ///< are valid.
    int64_t num_tail = 0;
    int64_t num_samples = 0;  ///< Samples seen.
    int64_t num_frames = 0;   ///< Frames given out.
    State clone() const;
    int64_t num_bytes() const;
  };

  /// Uses the checkpoint's `window` and `fb` (they may have been rounded to bf16); computes them
  /// when absent.
  NemoLogMel(const Config& config, const WeightScope& weights);

  State initial_state(int64_t batch) const;
  void reset(State& state) const;
  /// pcm [B, N] -> [B, N / hop, M]. (The reference's masked last column is not a frame.)
  at::Tensor forward(const at::Tensor& pcm) const;
  /// Frame m appears once hop * m + window / 2 samples are in. pcm [B, n], n >= 0 -> [B, t, M].
  at::Tensor step(const at::Tensor& pcm, State& state) const;
  /// The at most one frame whose window reaches past the end: [B, 0 or 1, M].
  at::Tensor flush(State& state) const;

  const Config& config() const { return config_; }
  const at::Tensor& filterbank() const { return filterbank_; }
  const at::Tensor& window() const { return window_; }

 private:
  at::Tensor emphasise(const at::Tensor& pcm, const at::Tensor& previous) const;
  at::Tensor frames(const at::Tensor& samples, int64_t count) const;
  at::Tensor advance(const at::Tensor& emphasised, int64_t max_frames, State& state) const;

  Config config_;
  at::Tensor window_;      // [window_samples]
  at::Tensor filterbank_;  // [1, M, n_fft/2 + 1]
};

}  // namespace duet::models::nn
