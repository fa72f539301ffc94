#pragma once
// The seam between the speech encoder families: 16 kHz samples of the user in, one user frame per
// 80 ms out. Implementations: NeMo perception (models/nemo_perception.h: log-mel, FastConformer,
// adapter, projection) and the chunk-causal Whisper encoder (models/whisper_encoder.h).
//
// Contract, checked by tests/support/streaming_laws.h: the frames of any split of a stream into
// `step` calls followed by one `flush` are those of `forward` on the whole stream. Output frame t
// depends on no sample at or after t * kUserFrameSamples + lookahead_samples(). Const methods are
// safe on many threads, each with its own State.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "runtime/core/move_only.h"

namespace duet::models {

constexpr int64_t kUserSampleRateHz = 16000;
constexpr int64_t kUserFrameSamples = 1280;  ///< 80 ms: one step of the LM.

class SpeechEncoder {
 public:
  /// All that changes while a stream runs. Made by initial_state, of fixed capacity from then on.
  struct State : core::MoveOnly {
    State() = default;
    State(State&&) noexcept = default;
    State& operator=(State&&) noexcept = default;
    virtual ~State() = default;
    virtual std::unique_ptr<State> clone() const = 0;  ///< Deep copy.
    virtual int64_t num_bytes() const = 0;  ///< Storage of all tensors; constant over a session.
  };

  virtual ~SpeechEncoder() = default;

  /// Start of a stream for `batch` users.
  virtual std::unique_ptr<State> initial_state(int64_t batch) const = 0;
  /// Back to the start of a stream, in place.
  virtual void reset(State& state) const = 0;

  /// Whole stream: pcm [B, N] fp32 in -1..1, any N -> [B, T, width()]. Safe for autograd.
  virtual at::Tensor forward(const at::Tensor& pcm) const = 0;
  /// The next n >= 0 samples, [B, n] -> the frames they complete, [B, t, width()] with t >= 0.
  /// Inference only.
  virtual at::Tensor step(const at::Tensor& pcm, State& state) const = 0;
  /// One block of kUserFrameSamples for each of several streams, wherever each is: pcm [N,
  /// kUserFrameSamples], state i that of row i, made for one stream -> per stream the frames that
  /// its block completes, [1, t, width()]. Each as step gives it; families that can compute them
  /// together do.
  virtual std::vector<at::Tensor> step_together(const at::Tensor& pcm,
                                                std::span<State* const> states) const;
  /// End of the stream: the remaining frames [B, t, width()]. Afterwards only reset is valid.
  virtual at::Tensor flush(State& state) const = 0;

  /// Width of a user frame: what the LM (or the stateless adapter in front of it) takes.
  virtual int64_t width() const = 0;
  /// Samples of frame t and after it that must have arrived before frame t appears, in the worst
  /// case over t: frame t is out once t * kUserFrameSamples + lookahead_samples() samples are in.
  virtual int64_t lookahead_samples() const = 0;

  /// Size of the CTC alphabet, blank included; 0 for families without a CTC head.
  virtual int64_t num_ctc_classes() const { return 0; }
  /// frames [B, T, width()] as given by forward or step -> logits [B, T, num_ctc_classes()];
  /// undefined without a head.
  virtual at::Tensor ctc_logits(const at::Tensor& /*frames*/) const { return {}; }
  /// frames [B, T, width()] -> logit of "the user is speaking" [B, T]; undefined without such a
  /// head.
  virtual at::Tensor speaking_logit(const at::Tensor& /*frames*/) const { return {}; }
};

}  // namespace duet::models
