#pragma once
// Dialogues as tensors: the shifts between what a step hears and what it decides, the weights of
// the loss, and the noise on the fed-back codes. And a background thread that mixes dialogues ahead
// of the trainer, in a fixed order.

#include <ATen/core/Tensor.h>

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "tools/train/dialogue.h"

namespace duet::train {

struct BatchConfig {
  int64_t codebook_size = 4032;  ///< C; speech DELAY is C + 2.
  int64_t text_pad = 0;
  std::vector<int64_t> silence;  ///< K codes.
  double pad_weight = 0.3;       ///< Of a text pad in the loss.
  double silence_weight = 0.15;  ///< Of the codes of a silent slot.
  double silence_share =
      0.25;  ///< Share of silent slots whose codes are scored at all (weighted up accordingly).
  double code_noise = 0.05;  ///< Share of the heard codes that is replaced.
  int64_t index_multiple =
      512;  ///< The number of scored positions is padded to a multiple of this.
};

struct DuplexBatch {
  at::Tensor pcm;          ///< [B, T * 1280] fp32; undefined without sound
  at::Tensor text_in;      ///< [B, T] int64: text slot t
  at::Tensor codes_in;     ///< [B, K, T] int64: code slot t - 1, DELAY at 0; with noise
  at::Tensor text_out;     ///< [B, T] int64: text slot t + 1; -100 (ignored) at the last step
  at::Tensor text_weight;  ///< [B, T] fp32
  at::Tensor codes_out;    ///< [B, K, T] int64: code slot t
  at::Tensor
      code_index;  ///< [M] int64: flat positions b * T + t whose codes are scored; 0 as padding
  at::Tensor code_weight;  ///< [M] fp32; 0 for padding
  at::Tensor speaking;     ///< [B, T] fp32
};

/// All dialogues must have the same length, and all or none of them sound (`user`). `random` draws
/// the code noise and the scored silent slots.
DuplexBatch make_batch(const std::vector<Dialogue>& dialogues, const BatchConfig& config,
                       Random& random);

/// Dialogues 0, 1, 2, ... of a seed, mixed up to `ahead` in advance on one thread. next() gives
/// them in order; start at any index, so a resumed run goes on where it stopped. One consumer.
class DialogueStream {
 public:
  using Make = std::function<Dialogue(uint64_t index)>;
  DialogueStream(Make make, uint64_t first_index, size_t ahead);
  ~DialogueStream();
  DialogueStream(const DialogueStream&) = delete;
  DialogueStream& operator=(const DialogueStream&) = delete;

  /// Waits for the next dialogue. Rethrows what `make` threw.
  Dialogue next();
  uint64_t next_index() const { return consumed_; }

 private:
  void run();

  const Make make_;
  const size_t ahead_;
  uint64_t consumed_;
  std::mutex mutex_;  // guards queue_, error_, stopping_
  std::condition_variable has_room_, has_item_;
  std::deque<Dialogue> queue_;
  std::exception_ptr error_;
  bool stopping_ = false;
  uint64_t produced_;  // thread_ only
  std::thread thread_;
};

}  // namespace duet::train
