#pragma once
// From logits to tokens, and from said codes to codes the codec can decode. No tensors.
// Greedy by default, ties to the lowest index, every id admissible (NeMo
// DuplexS2SModel.offline_inference). The model alone decides when to speak and to stop;
// `interruptibility` and `eagerness` only lean on its own logits.

#include <cstdint>
#include <random>
#include <span>
#include <vector>

namespace duet::models {

struct SamplerConfig {
  double temperature = 0.0;  ///< 0: greedy; else of text and codes.
  uint64_t seed = 0;
  /// Constant added to the end token's logit while a turn is open, and half of it to the pad's:
  /// larger stops sooner, in the middle of the text as well as after it. Outside of turns nothing
  /// is added: reply latency stays as learned.
  double interruptibility = 0.0;
  /// Constant added to the begin token's logit while no turn is open: below 0 the model waits until
  /// it is surer that the user is done (fewer false alarms, later replies), above 0 it begins
  /// sooner.
  double eagerness = 0.0;
  int64_t text_pad = 0, text_bos = 1, text_eos = 2;

  void validate() const;  ///< Throws core::ConfigError.
};

class Sampler {
 public:
  /// Copyable: the whole future of a sampler.
  struct State {
    std::mt19937_64 random;
    bool in_turn = false;  ///< bos was said and eos was not.
  };

  explicit Sampler(const SamplerConfig& config);
  State initial_state() const;

  /// Draws the text token of a step and follows the turn. Throws std::runtime_error when a logit is
  /// NaN or no logit is finite.
  int64_t sample_text(std::span<const float> logits, State& state) const;
  /// Draws the code of one codebook. Throws as above.
  int64_t sample_code(std::span<const float> logits, State& state) const;
  /// Tells the state of a token that was not drawn (a greeting's forced bos).
  void follow(int64_t text_token, State& state) const;

  const SamplerConfig& config() const { return config_; }

 private:
  SamplerConfig config_;
};

/// Replaces control codes (ids >= C: speech BOS, EOS, DELAY) before decoding, per codebook: by the
/// configured silence, or without one by the session's first said frame, as NeMo does (a control
/// code there stays; FSQ decodes it modulo C). What the model hears back is never replaced.
class ControlCodes {
 public:
  struct State {
    std::vector<int64_t> first;  ///< Empty until the first frame.
  };
  /// silence: K codes below num_codes, or empty.
  ControlCodes(int64_t num_codes, std::vector<int64_t> silence = {});
  void replace(std::span<int64_t> codes, State& state) const;

 private:
  int64_t num_codes_;
  std::vector<int64_t> silence_;
};

}  // namespace duet::models
