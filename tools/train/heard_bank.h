#pragma once
// Encoder frames kept by what they were recognised as: written dialogues (written.h) are heard
// through them, so that the LM's input in writing is made of the same vectors as its input in
// speech.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "tools/train/augment.h"
#include "tools/train/written.h"

namespace duet::train {

class HeardBank {
 public:
  /// Keeps the last `per_piece` frames of each of `num_pieces` word pieces, and 40 times as many of
  /// blanks and silence.
  HeardBank(int64_t num_pieces, int64_t per_piece = 24);

  /// user [B, T, U]; posterior [B, T, num_pieces + 1], the blank last; speaking[b][t] in [0, 1]. A
  /// frame counts as a piece when that has most of the posterior and more than half of it, as
  /// silence when nobody spoke for 4 steps.
  void add(const at::Tensor& user, const at::Tensor& posterior,
           const std::vector<const std::vector<float>*>& speaking);

  /// Can every one of `heard` be drawn?
  bool covers(const std::vector<int64_t>& heard) const;
  /// Random frames, one for each step: [T, U], the dtype they came in. `covers` must hold.
  at::Tensor draw(const std::vector<int64_t>& heard, Random& random) const;
  /// Pieces of which there is at least one frame.
  int64_t num_covered() const;

 private:
  struct Shelf {
    std::vector<at::Tensor> frames;  // [U] each
    size_t oldest = 0;
  };
  size_t shelf_of(int64_t heard) const;

  int64_t num_pieces_, per_piece_;
  std::vector<Shelf> shelves_;  // pieces, then silence, then blank
};

}  // namespace duet::train
