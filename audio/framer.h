#pragma once
// Cuts a stream that comes in pieces of any size into blocks of one size.

#include <cstddef>
#include <span>
#include <vector>

namespace duet::audio {

/// First in, first out; no sample is lost, added or changed. One thread.
class Framer {
 public:
  /// `block_samples` > 0. Holds up to `capacity_samples` (0: four blocks) before it allocates.
  explicit Framer(std::size_t block_samples, std::size_t capacity_samples = 0);

  std::size_t block_samples() const noexcept { return block_samples_; }
  void push(std::span<const float> samples);
  /// Takes the next block (`block.size() == block_samples()`); false, and `block` untouched, when
  /// there is none yet.
  bool pop(std::span<float> block);
  /// Samples waiting for their block to fill.
  std::size_t num_pending() const noexcept { return buffer_.size() - begin_; }
  /// End of stream: the rest, zero-padded to a block. Returns how many real samples it has (0:
  /// nothing was pending and `block` is untouched). Call after the last pop.
  std::size_t flush(std::span<float> block);
  void reset() noexcept;

 private:
  std::size_t block_samples_;
  std::vector<float> buffer_;
  std::size_t begin_ = 0;  // Samples before it are gone.
};

}  // namespace duet::audio
