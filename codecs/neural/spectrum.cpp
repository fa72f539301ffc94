#include "codecs/neural/spectrum.h"

#include <ATen/ATen.h>

#include <cmath>
#include <vector>

#include "runtime/core/error.h"

namespace duet::codecs {
at::Tensor hann_window(int64_t size) {
  const at::Tensor n = at::arange(size, at::kDouble);
  return (0.5 - 0.5 * at::cos(n * (2.0 * M_PI / static_cast<double>(size)))).to(at::kFloat);
}

at::Tensor frame_signal(const at::Tensor& x, int64_t size, int64_t hop) {
  DUET_CHECK(size % hop == 0 && x.size(1) % hop == 0 && x.size(1) >= size);
  const at::Tensor blocks = x.reshape({x.size(0), x.size(1) / hop, hop});
  const int64_t overlap = size / hop, count = blocks.size(1) - overlap + 1;
  std::vector<at::Tensor> parts;
  for (int64_t i = 0; i < overlap; ++i) parts.push_back(blocks.narrow(1, i, count));
  return at::cat(parts, 2);
}

at::Tensor overlap_add(const at::Tensor& frames, int64_t hop) {
  const int64_t overlap = frames.size(2) / hop, count = frames.size(1);
  DUET_CHECK(frames.size(2) % hop == 0);
  at::Tensor sum;
  for (int64_t i = 0; i < overlap; ++i) {
    const at::Tensor part =
        at::constant_pad_nd(frames.narrow(2, i * hop, hop), {0, 0, i, overlap - 1 - i});
    sum = sum.defined() ? sum + part : part;
  }
  return sum.reshape({frames.size(0), (count + overlap - 1) * hop});
}

at::Tensor spectrum(const at::Tensor& x, const at::Tensor& window, int64_t hop) {
  return at::view_as_real(at::fft_rfft(frame_signal(x, window.size(0), hop) * window));
}

}  // namespace duet::codecs
