#include "codecs/neural/codec.h"

#include <ATen/ATen.h>

#include <vector>

namespace duet::codecs {

at::Tensor CodecDecoder::step_together(const at::Tensor& codes,
                                       std::span<State* const> states) const {
  std::vector<at::Tensor> out;
  for (size_t s = 0; s < states.size(); ++s)
    out.push_back(step(codes.narrow(0, static_cast<int64_t>(s), 1), *states[s]));
  return at::cat(out, 0);
}

}  // namespace duet::codecs
