#pragma once
// The seam between the codec families: K codes per codec frame on one side, mono samples on the
// other. Implementations: ConvNextDecoder/ConvNextEncoder (convnext_codec.h) and
// NanoDecoder/NanoEncoder (nano_codec.h).
//
// Contract, checked by tests: the samples of any split of the codes into `step` calls are those of
// `forward`; nothing before sample t * samples_per_frame() depends on frame t. Const methods are
// safe on many threads, each with its own State. A decoder is causal by construction: families that
// need future codes are rejected when they are loaded.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <span>

#include "runtime/core/move_only.h"

namespace duet::codecs {

class CodecDecoder {
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

  virtual ~CodecDecoder() = default;

  virtual std::unique_ptr<State> initial_state(int64_t batch) const = 0;
  /// Back to the start of a stream, in place.
  virtual void reset(State& state) const = 0;

  /// Whole stream: codes [B, K, T] int64 -> pcm [B, T * samples_per_frame()] fp32, nominally in
  /// -1..1.
  virtual at::Tensor forward(const at::Tensor& codes) const = 0;
  /// The next t >= 1 frames of the stream, codes [B, K, t] -> pcm [B, t * samples_per_frame()].
  /// Inference only.
  virtual at::Tensor step(const at::Tensor& codes, State& state) const = 0;
  /// The next frame of each of several streams: codes [N, K, 1], state i that of row i, made for
  /// one stream -> pcm [N, samples_per_frame()]. Each row as step gives it; families that can
  /// compute them together do.
  virtual at::Tensor step_together(const at::Tensor& codes, std::span<State* const> states) const;

  virtual int64_t sample_rate_hz() const = 0;
  virtual int64_t samples_per_frame() const = 0;
  virtual int64_t num_codebooks() const = 0;
  /// Number of codes of one codebook, C: valid codes are 0..C-1.
  virtual int64_t codebook_size() const = 0;
  /// Samples after the end of frame t's slot [t, t+1) * samples_per_frame() until which frame t is
  /// still heard, where that is by design (an overlapping synthesis window); never a delay: step(t)
  /// returns the samples of slot t.
  virtual int64_t overlap_samples() const = 0;
};

class CodecEncoder {
 public:
  virtual ~CodecEncoder() = default;

  /// pcm [B, N] fp32 at sample_rate_hz -> codes [B, K, T] int64, T = ceil(N / samples_per_frame);
  /// zeros are appended.
  virtual at::Tensor forward(const at::Tensor& pcm) const = 0;
  /// The same before quantisation: [B, latent width, T], safe for autograd.
  virtual at::Tensor latents(const at::Tensor& pcm) const = 0;
};

}  // namespace duet::codecs
