#pragma once

#include <ATen/core/Tensor.h>

namespace duet::models::nn {

/// Triangular mel filter bank on Slaney's scale with area normalisation (librosa.filters.mel, Whisper, NeMo).
/// Computed in double, returned as fp32 [num_mels, n_fft / 2 + 1]. Range 0 Hz .. high_hz (0 = Nyquist).
at::Tensor slaney_mel_filters(int64_t sample_rate_hz, int64_t n_fft, int64_t num_mels, double high_hz = 0.0);

}  // namespace duet::models::nn
