#pragma once
// Framing and short-time spectra for the ConvNeXt codec and its training losses. Everything is
// built from reshapes and real FFTs, so that it has cheap gradients and means the same in every
// LibTorch (at::stft does not).

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace duet::codecs {

/// Periodic Hann window, fp32 [size]: w[n] = 0.5 - 0.5 cos(2 pi n / size). Its squares, hopped by
/// size/4, sum to 1.5.
at::Tensor hann_window(int64_t size);

/// x [B, N] -> overlapping frames [B, N/hop - size/hop + 1, size]; frame t starts at sample t *
/// hop. N and size must be multiples of hop.
at::Tensor frame_signal(const at::Tensor& x, int64_t size, int64_t hop);

/// The adjoint: frames [B, T, size] -> [B, (T - 1) * hop + size], frame t added at sample t * hop.
at::Tensor overlap_add(const at::Tensor& frames, int64_t hop);

/// Windowed real FFT of every frame of x [B, N] -> [B, T, size/2 + 1, 2] (real, imaginary), as
/// frame_signal.
at::Tensor spectrum(const at::Tensor& x, const at::Tensor& window, int64_t hop);

}  // namespace duet::codecs
