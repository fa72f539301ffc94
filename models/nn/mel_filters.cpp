#include "models/nn/mel_filters.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace duet::models::nn {
namespace {

// Slaney: linear below 1 kHz (200/3 Hz per mel), logarithmic above (27 mels per factor 6.4).
constexpr double kLinearHz = 200.0 / 3.0;
const double kLogStep = std::log(6.4) / 27.0;

double hz_to_mel(double hz) {
  return hz < 1000.0 ? hz / kLinearHz : 15.0 + std::log(hz / 1000.0) / kLogStep;
}
double mel_to_hz(double mel) {
  return mel < 15.0 ? mel * kLinearHz : 1000.0 * std::exp((mel - 15.0) * kLogStep);
}

}  // namespace

at::Tensor slaney_mel_filters(int64_t sample_rate_hz, int64_t n_fft, int64_t num_mels,
                              double high_hz, double low_hz, bool has_area_norm) {
  const double top = hz_to_mel(high_hz > 0 ? high_hz : static_cast<double>(sample_rate_hz) / 2.0);
  const double bottom = hz_to_mel(low_hz);
  std::vector<double> edge(static_cast<size_t>(num_mels) + 2);
  for (size_t i = 0; i < edge.size(); ++i)
    edge[i] = mel_to_hz(bottom + (top - bottom) * static_cast<double>(i) /
                                     static_cast<double>(num_mels + 1));
  at::Tensor filters = at::zeros({num_mels, n_fft / 2 + 1});
  auto value = filters.accessor<float, 2>();
  for (int64_t m = 0; m < num_mels; ++m) {
    const double left = edge[static_cast<size_t>(m)], centre = edge[static_cast<size_t>(m) + 1],
                 right = edge[static_cast<size_t>(m) + 2];
    for (int64_t b = 0; b <= n_fft / 2; ++b) {
      const double hz = static_cast<double>(b * sample_rate_hz) / static_cast<double>(n_fft);
      const double weight =
          std::min((hz - left) / (centre - left), (right - hz) / (right - centre));
      value[m][b] =
          static_cast<float>(std::max(0.0, weight) * (has_area_norm ? 2.0 / (right - left) : 1.0));
    }
  }
  return filters;
}

}  // namespace duet::models::nn
