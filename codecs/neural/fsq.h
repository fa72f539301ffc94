#pragma once
// Finite scalar quantisation in groups, one group per codebook.
// Source: NeMo `GroupFiniteScalarQuantizer` (audio_codec_modules.py); Mentzer et al. 2023,
// section 3.1. The upstream squashing shifts by tan(offset / scale), not by atanh: kept, since
// codes depend on it.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace duet::codecs {

/// Latents [B, G * D, T] of G groups of D dimensions <-> codes [B, G, T] int64. Immutable,
/// thread-safe.
class Fsq {
 public:
  /// `levels` of the D dimensions of each group, every one >= 2. Throws core::ConfigError.
  Fsq(int64_t num_groups, std::vector<int64_t> levels);

  /// Nearest code of a raw (unbounded) latent. Any float dtype; computed in fp32.
  at::Tensor encode(const at::Tensor& latents) const;
  /// Latents in -1..1 that a code stands for. Ids are taken modulo codebook_size(), as upstream.
  at::Tensor decode(const at::Tensor& codes) const;
  /// decode(encode(latents)) with the straight-through gradient of the squashed, scaled latent.
  /// fp32.
  at::Tensor quantize(const at::Tensor& latents) const;

  int64_t num_groups() const { return num_groups_; }
  int64_t latent_width() const { return num_groups_ * static_cast<int64_t>(levels_.size()); }
  int64_t codebook_size() const { return codebook_size_; }
  const std::vector<int64_t>& levels() const { return levels_; }
  /// Weight of dimension d in a code: b_0 = 1, b_{d+1} = b_d * L_d.
  const std::vector<int64_t>& bases() const { return bases_; }

 private:
  at::Tensor bounded(const at::Tensor& latents) const;  // [B, G, D, T], before rounding

  int64_t num_groups_;
  std::vector<int64_t> levels_, bases_;
  int64_t codebook_size_;
  at::Tensor scale_, offset_, shift_;           // fp32 [1, 1, D, 1]
  at::Tensor level_, base_, half_, half_real_;  // int64 (half_real_ fp32) [1, 1, D, 1]
};

}  // namespace duet::codecs
