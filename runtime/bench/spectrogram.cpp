#include "runtime/bench/spectrogram.h"

#include <algorithm>
#include <cmath>
#include <complex>
#include <numbers>

#include "audio/fft.h"

namespace duet::runtime::bench {

namespace {

constexpr std::size_t kWindow = 512;  // 21 ms at 24 kHz: harmonics of a voice can be told apart.
constexpr float kRangeDb = 70.0F;

/// Levels [dB] of the window around each column, [width][kWindow / 2].
std::vector<std::vector<float>> levels(std::span<const float> samples, std::size_t width) {
  const audio::Fft fft(kWindow);
  std::vector<std::complex<float>> data(kWindow);
  std::vector<std::vector<float>> columns(width, std::vector<float>(kWindow / 2, -200.0F));
  for (std::size_t column = 0; column < width && !samples.empty(); ++column) {
    const auto middle =
        static_cast<std::ptrdiff_t>((2 * column + 1) * samples.size() / (2 * width));
    for (std::size_t i = 0; i < kWindow; ++i) {
      const std::ptrdiff_t at =
          middle + static_cast<std::ptrdiff_t>(i) - std::ptrdiff_t{kWindow / 2};
      const bool is_inside = at >= 0 && at < std::ssize(samples);
      const double hann =
          0.5 - 0.5 * std::cos(2.0 * std::numbers::pi * static_cast<double>(i) / kWindow);
      data[i] = is_inside ? static_cast<float>(hann) * samples[static_cast<std::size_t>(at)] : 0.0F;
    }
    fft.forward(data);
    for (std::size_t k = 0; k < kWindow / 2; ++k)
      columns[column][k] = 10.0F * std::log10(std::max(1e-20F, std::norm(data[k])));
  }
  return columns;
}

void put(std::vector<std::uint8_t>& bytes, std::uint32_t value, int num_bytes) {
  for (int i = 0; i < num_bytes; ++i) bytes.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
}

/// File header, BITMAPINFOHEADER and a palette of greys, 255 black.
std::vector<std::uint8_t> bmp_head(std::size_t width, std::size_t height, std::size_t row_bytes) {
  constexpr std::uint32_t kHead = 14 + 40 + 256 * 4;
  std::vector<std::uint8_t> bytes = {'B', 'M'};
  put(bytes, kHead + static_cast<std::uint32_t>(row_bytes * height), 4);
  put(bytes, 0, 4);
  put(bytes, kHead, 4);
  put(bytes, 40, 4);
  put(bytes, static_cast<std::uint32_t>(width), 4);
  put(bytes, static_cast<std::uint32_t>(height), 4);
  put(bytes, 1, 2);
  put(bytes, 8, 2);
  for (int i = 0; i < 4; ++i) put(bytes, 0, 4);  // No compression; sizes and resolution unsaid.
  put(bytes, 256, 4);
  put(bytes, 0, 4);
  for (std::uint32_t i = 0; i < 256; ++i) put(bytes, 0x010101U * (255 - i), 4);
  return bytes;
}

}  // namespace

std::vector<std::uint8_t> spectrogram_bmp(std::span<const float> samples, int rate_hz,
                                          const SpectrogramSize& size) {
  const auto columns = levels(samples, size.width);
  float loudest = -100.0F;  // Below it all is silence.
  for (const auto& column : columns)
    loudest = std::max(loudest, *std::max_element(column.begin(), column.end()));
  const std::size_t row_bytes = (size.width + 3) / 4 * 4;
  std::vector<std::uint8_t> bytes = bmp_head(size.width, size.height, row_bytes);
  for (std::size_t row = 0; row < size.height; ++row) {  // A BMP begins at the bottom.
    const double hz =
        size.top_hz * (static_cast<double>(row) + 0.5) / static_cast<double>(size.height);
    const auto bin = static_cast<std::size_t>(hz * kWindow / rate_hz + 0.5);
    for (std::size_t column = 0; column < row_bytes; ++column) {
      const bool is_inside = column < size.width && bin < kWindow / 2;
      const float db = is_inside ? columns[column][bin] - loudest : -kRangeDb;
      const float ink = std::clamp(1.0F + db / kRangeDb, 0.0F, 1.0F);
      bytes.push_back(static_cast<std::uint8_t>(std::lround(255.0F * ink)));
    }
  }
  return bytes;
}

}  // namespace duet::runtime::bench
