#pragma once
// Free-running generation for evaluation: a batch of recordings, each heard from the start of a
// conversation, greedily.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "models/duplex_lm.h"
#include "tools/train/speech_set.h"

namespace duet::train {

struct Generated {
  at::Tensor text;   ///< [B, T] int64: decided at step t (slot t + 1).
  at::Tensor codes;  ///< [B, K, T] int64: decided at step t (slot t).
};

/// user [B, T, U] as DuplexLm takes it. Greedy, lowest index on ties; the model hears what it said.
Generated generate(const models::DuplexLm& lm, const at::Tensor& user);

/// One turn of the agent in generated tokens.
struct GeneratedTurn {
  int64_t bos_step = 0;  ///< Step that decided bos.
  int64_t first_code_step =
      -1;  ///< First step with codes that are neither silence nor control; -1 when none came.
  int64_t last_code_step = -1;
  bool has_ended = false;       ///< An eos came.
  std::vector<int64_t> tokens;  ///< Text between bos and eos, pads left out.
};

/// Turns of row b. Codes count for the turn until the next bos. `silence`: K codes.
std::vector<GeneratedTurn> parse_turns(const Generated& generated, int64_t b, int64_t text_pad,
                                       int64_t text_bos, int64_t text_eos, int64_t codebook_size,
                                       const std::vector<int64_t>& silence);

/// Recordings side by side: each after `lead_s` of (nearly) silence, at a speech level of
/// `level_db`, followed by silence up to a common whole number of steps. Returns [B, T * 1280];
/// ends[b] = one past the last sample of recording b.
at::Tensor batch_questions(const std::vector<const Utterance*>& questions, double lead_s,
                           double tail_s, double level_db, std::vector<int64_t>& ends);

}  // namespace duet::train
