#include "models/speech_encoder.h"

#include <ATen/ATen.h>

namespace duet::models {

std::vector<at::Tensor> SpeechEncoder::step_together(const at::Tensor& pcm,
                                                     std::span<State* const> states) const {
  std::vector<at::Tensor> out;
  for (size_t s = 0; s < states.size(); ++s)
    out.push_back(step(pcm.narrow(0, static_cast<int64_t>(s), 1), *states[s]));
  return out;
}

}  // namespace duet::models
