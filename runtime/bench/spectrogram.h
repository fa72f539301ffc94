#pragma once
// A spectrogram as a picture that any browser shows without help.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace duet::runtime::bench {

struct SpectrogramSize {
  std::size_t width = 800, height = 96;  ///< Pixels.
  double top_hz = 8000.0;                ///< Of the upper edge; linear from 0.
};

/// BMP, 8 bits a pixel: white where it is 70 dB and more under the loudest, the darker the louder.
/// Silence and nothing at all are white.
std::vector<std::uint8_t> spectrogram_bmp(std::span<const float> samples, int rate_hz,
                                          const SpectrogramSize& size = {});

}  // namespace duet::runtime::bench
