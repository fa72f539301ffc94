#pragma once

#include <ATen/core/Tensor.h>

namespace duet::models::nn {

/// Triangular mel filter bank on Slaney's scale with area normalisation (librosa.filters.mel,
/// Whisper, NeMo). Computed in double, returned as fp32 [num_mels, n_fft / 2 + 1]. Range low_hz ..
/// high_hz (0 = Nyquist). Without area normalisation every triangle has height 1.
at::Tensor slaney_mel_filters(int64_t sample_rate_hz, int64_t n_fft, int64_t num_mels,
                              double high_hz = 0.0, double low_hz = 0.0, bool has_area_norm = true);

}  // namespace duet::models::nn
