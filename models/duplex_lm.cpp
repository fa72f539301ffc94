#include "models/duplex_lm.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "runtime/core/error.h"

namespace duet::models {
namespace {

const DuplexLmConfig& validated(const DuplexLmConfig& config) {
  config.validate();
  return config;
}

void require(bool good, const char* subject, const char* expected, int64_t found) {
  if (!good)
    throw core::ConfigError({.subject = subject,
                             .expected = expected,
                             .found = std::to_string(found),
                             .file = {},
                             .hint = {}});
}

}  // namespace

void DuplexLmConfig::validate() const {
  llm.validate();
  require(text_vocab > 0, "lm.text_vocab", "> 0", text_vocab);
  require(num_codebooks > 0, "lm.num_codebooks", "> 0", num_codebooks);
  require(code_vocab > 3, "lm.code_vocab", "codes + 3 control codes", code_vocab);
  require(user_width >= 0, "lm.user_width", ">= 0", user_width);
  require(text_pad >= 0 && text_pad < text_vocab, "lm.text_pad", "an id below lm.text_vocab",
          text_pad);
}

DuplexLm::DuplexLm(const DuplexLmConfig& config, const WeightScope& weights)
    : config_(validated(config)), llm_(config.llm, weights.sub("llm")) {
  const int64_t width = config.llm.hidden;
  // The K + 2 vectors of a step are summed and should start alike in size; heads start near
  // uniform.
  const Init table = Init::normal(0.05), head = Init::normal(0.02);
  text_table_ = weights.parameter("embed_tokens.weight", {config.text_vocab, width}, table);
  for (int64_t k = 0; k < config.num_codebooks; ++k)
    audio_tables_.push_back(weights.sub("embed_audio_tokens", k)
                                .parameter("weight", {config.code_vocab, width}, table));
  text_head_ = nn::Matrix(
      config.tie_text ? text_table_
                      : weights.parameter("lm_head.weight", {config.text_vocab, width}, head));
  const int64_t rows = config.num_codebooks * config.code_vocab;
  if (config.tie_audio)
    for (const at::Tensor& tied : audio_tables_) audio_heads_.emplace_back(tied);
  else
    audio_heads_.emplace_back(weights.parameter("audio_head.weight", {rows, width}, head));
  audio_bias_ = weights.parameter("audio_head.bias", {rows}, Init::zeros());
  if (config.user_width > 0) {
    const WeightScope adapter = weights.sub("adapter");
    adapter_in_.emplace(config.user_width, width, adapter.sub("0"));
    adapter_out_.emplace(width, width, adapter.sub("2"), true, Init::fan_in(0.2));
  }
}

DuplexLm::Tokens DuplexLm::initial_tokens(int64_t batch) const {
  const auto options = at::TensorOptions().dtype(at::kLong);
  return {at::full({batch}, config_.text_pad, options),
          at::full({batch, config_.num_codebooks}, config_.speech_delay(), options)};
}

// NeMo's inference adds (((w u + E) + A_0) + ...) from the second step on but w u + ((E + A_0) +
// ...) at the first; sums differ in the last bit (all of bf16's rounding), so both orders are kept
// (spec 6.2).
at::Tensor DuplexLm::embed(const at::Tensor& user, const at::Tensor& text, const at::Tensor& codes,
                           bool first_alone) const {
  at::Tensor u = user;
  if (adapter_in_) u = adapter_out_->forward(at::gelu(adapter_in_->forward(u)));
  if (config_.user_channel_weight != 1.0) u = u * config_.user_channel_weight;
  at::Tensor x = at::embedding(text_table_, text);
  if (!first_alone) x = u + x;
  for (size_t k = 0; k < audio_tables_.size(); ++k)
    x = x + at::embedding(audio_tables_[k], codes.select(1, static_cast<int64_t>(k)));
  return first_alone ? u + x : x;
}

at::Tensor DuplexLm::hidden(const at::Tensor& user, const at::Tensor& text_in,
                            const at::Tensor& codes_in) const {
  return llm_.forward(embed(user, text_in, codes_in, /*first_alone=*/false));
}

at::Tensor DuplexLm::text_logits(const at::Tensor& hidden) const {
  return text_head_.multiply(hidden);
}

at::Tensor DuplexLm::audio_logits(const at::Tensor& hidden) const {
  const int64_t num = config_.num_codebooks, vocab = config_.code_vocab;
  if (!config_.tie_audio) {
    const at::Tensor flat = audio_heads_.front().multiply(hidden, audio_bias_);
    std::vector<int64_t> shape(hidden.sizes().begin(), hidden.sizes().end() - 1);
    shape.insert(shape.end(), {num, vocab});
    return flat.view(shape);
  }
  std::vector<at::Tensor> parts;
  for (int64_t k = 0; k < num; ++k)
    parts.push_back(audio_heads_[static_cast<size_t>(k)].multiply(
        hidden, audio_bias_.narrow(0, k * vocab, vocab)));
  return at::stack(parts, -2);
}

DuplexLm::Logits DuplexLm::forward(const at::Tensor& user, const at::Tensor& text_in,
                                   const at::Tensor& codes_in) const {
  const at::Tensor h = hidden(user, text_in, codes_in);
  return {text_logits(h), audio_logits(h)};
}

DuplexLm::Logits DuplexLm::step(const at::Tensor& user, const Tokens& heard, State& state) const {
  State* const one = &state;
  return step_together(user, heard, {&one, 1});
}

DuplexLm::Logits DuplexLm::step_together(const at::Tensor& user, const Tokens& heard,
                                         std::span<State* const> states) const {
  const int64_t batch = user.size(0) / static_cast<int64_t>(states.size());
  const at::Tensor text = heard.text.unsqueeze(1), codes = heard.codes.unsqueeze(2);
  const auto is_first = [](const State* state) { return state->position == 0; };
  at::Tensor x;
  if (std::none_of(states.begin(), states.end(), is_first)) {
    x = embed(user, text, codes, /*first_alone=*/false);
  } else {
    std::vector<at::Tensor> parts;
    for (size_t s = 0; s < states.size(); ++s) {
      const int64_t first = static_cast<int64_t>(s) * batch;
      parts.push_back(embed(user.narrow(0, first, batch), text.narrow(0, first, batch),
                            codes.narrow(0, first, batch), is_first(states[s])));
    }
    x = at::cat(parts, 0);
  }
  const at::Tensor h = llm_.step_together(x, states).select(1, 0);
  return {text_logits(h), audio_logits(h)};
}

}  // namespace duet::models
