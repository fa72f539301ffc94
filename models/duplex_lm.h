#pragma once
// The language model of SALM-Duplex (NeMo DuplexS2SModel): a Llama-family decoder that at every 80
// ms step takes the user's encoder vector, its own previous text token and its own previous K audio
// codes, and predicts the next text token and K codes at once. One class for NeMo's checkpoints and
// for the bundled model. Checkpoint names (NeMo state dict): llm.* (nn/llama.h),
// embed_tokens.weight [Vt, H], embed_audio_tokens.{k}.weight [V, H], lm_head.weight [Vt, H] (absent
// when tie_text), audio_head.weight [K V, H] (absent when tie_audio: codebook k's rows are then
// embed_audio_tokens.{k}) and audio_head.bias [K V], row k V + v. Not NeMo's:
// adapter.{0,2}.{weight,bias}, two linear layers with a GELU between, when user_width > 0.

#include <ATen/core/Tensor.h>

#include <optional>
#include <span>
#include <vector>

#include "models/nn/llama.h"

namespace duet::models {

struct DuplexLmConfig {
  nn::LlamaConfig llm;
  int64_t text_vocab = 1000;
  int64_t num_codebooks = 4;  ///< K
  int64_t code_vocab = 4035;  ///< V = C + 3: C codes, then speech BOS, EOS, DELAY.
  int64_t user_width =
      0;  ///< 0: user vectors have LM width already; > 0: width of the adapter's input.
  double user_channel_weight = 1.0;  ///< NeMo duplex_user_channel_weight.
  bool tie_text = false;             ///< lm_head = embed_tokens.
  bool tie_audio = false;            ///< audio_head = embed_audio_tokens.
  int64_t text_pad = 0;              ///< The silent text token, also fed before the first step.

  int64_t num_codes() const { return code_vocab - 3; }
  int64_t speech_bos() const { return code_vocab - 3; }
  int64_t speech_eos() const { return code_vocab - 2; }
  int64_t speech_delay() const { return code_vocab - 1; }
  void validate() const;  ///< Throws core::ConfigError.
};

/// Latency 0: the token and codes of a step depend on that step's user vector.
/// Text logits lead: with text slot s and code slot s of a training sequence, step t sees text t
/// and codes t - 1 and predicts text t + 1 and codes t (NeMo's one-step delay of the audio
/// channel). Thread: const methods are safe on many threads as long as each has its own State.
class DuplexLm {
 public:
  struct Logits {
    at::Tensor text;   ///< forward: [B, T, Vt]; step: [B, Vt]
    at::Tensor audio;  ///< forward: [B, T, K, V]; step: [B, K, V]
  };
  /// What the model said at a step and hears back at the next.
  struct Tokens {
    at::Tensor text;   ///< [B] int64
    at::Tensor codes;  ///< [B, K] int64
  };
  using State = nn::Llama::State;

  DuplexLm(const DuplexLmConfig& config, const WeightScope& weights);

  State initial_state(int64_t batch) const { return llm_.initial_state(batch); }
  void reset(State& state) const { llm_.reset(state); }
  /// Text pad and DELAY: the feedback of the first step.
  Tokens initial_tokens(int64_t batch) const;

  /// Teacher-forced. user [B, T, U], text_in [B, T], codes_in [B, K, T] int64, where element t is
  /// what the model hears back at step t (initial_tokens at 0). Safe for autograd and for CPU
  /// autocast to bf16.
  Logits forward(const at::Tensor& user, const at::Tensor& text_in,
                 const at::Tensor& codes_in) const;
  /// The same without the heads: [B, T, H]. The code heads are as wide as three layers: apply them
  /// where they count.
  at::Tensor hidden(const at::Tensor& user, const at::Tensor& text_in,
                    const at::Tensor& codes_in) const;
  at::Tensor text_logits(const at::Tensor& hidden) const;   ///< [..., H] -> [..., Vt]
  at::Tensor audio_logits(const at::Tensor& hidden) const;  ///< [..., H] -> [..., K, V]

  /// The next step. user [B, 1, U]; `heard` is what the last step said, initial_tokens at the
  /// start. Assumes InferenceMode or NoGradMode. Constant time and memory when the config has a
  /// window.
  Logits step(const at::Tensor& user, const Tokens& heard, State& state) const;
  /// One step of each of several streams, wherever each is: user [N, 1, U], heard of N rows, state
  /// i that of row i, made for one stream. Each row as step gives it.
  Logits step_together(const at::Tensor& user, const Tokens& heard,
                       std::span<State* const> states) const;

  const DuplexLmConfig& config() const { return config_; }

 private:
  at::Tensor embed(const at::Tensor& user, const at::Tensor& text, const at::Tensor& codes,
                   bool first_alone) const;

  DuplexLmConfig config_;
  nn::Llama llm_;
  at::Tensor text_table_;                 // [Vt, H]
  std::vector<at::Tensor> audio_tables_;  // K of [V, H]
  nn::Matrix text_head_;                  // [Vt, H]; the table itself when tied
  std::vector<nn::Matrix> audio_heads_;   // one of [K V, H], or the K tables when tied
  at::Tensor audio_bias_;                 // [K V]
  std::optional<nn::Linear> adapter_in_, adapter_out_;
};

}  // namespace duet::models
