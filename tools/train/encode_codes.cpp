#include "tools/train/encode_codes.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include "runtime/core/error.h"

namespace duet::train {
namespace {

constexpr int64_t kMarginFrames =
    8;  // more than the encoder looks to either side in code frames that matter

}  // namespace

models::TensorMap encode_codes(const codecs::CodecEncoder& encoder, int64_t samples_per_frame,
                               const std::vector<Utterance>& utterances,
                               const std::function<void(int64_t, int64_t)>& progress) {
  const c10::NoGradGuard no_grad;
  models::TensorMap codes;
  const at::Tensor silence =
      encoder.forward(at::zeros({1, samples_per_frame * (2 * kMarginFrames + 1)}));
  codes["silence"] = silence[0].select(1, kMarginFrames).to(at::kShort).contiguous();
  int64_t done = 0;
  for (const Utterance& utterance : utterances) {
    const std::vector<float> samples = to_float(utterance.samples);
    const auto length = static_cast<int64_t>(samples.size());
    const int64_t frames = (length + samples_per_frame - 1) / samples_per_frame;
    at::Tensor padded = at::zeros({1, (frames + 2 * kMarginFrames) * samples_per_frame});
    padded.narrow(1, kMarginFrames * samples_per_frame, length)
        .copy_(at::tensor(at::ArrayRef<float>(samples)));
    const at::Tensor found = encoder.forward(padded)[0].narrow(1, kMarginFrames, frames);
    if (!codes.emplace(utterance.id, found.to(at::kShort).contiguous()).second)
      throw core::LoadError(
          {"utterance id", "each id once", utterance.id + " again", utterance.path, {}});
    if (progress) progress(++done, static_cast<int64_t>(utterances.size()));
  }
  return codes;
}

}  // namespace duet::train
