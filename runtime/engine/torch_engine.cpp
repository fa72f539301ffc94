#include "runtime/engine/torch_engine.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <span>
#include <stdexcept>

#include "runtime/core/error.h"

namespace duet::engine {
namespace {

constexpr int64_t kBlock = models::kUserFrameSamples;

/// Settings that LibTorch keeps per thread.
void prepare_thread() {
  thread_local bool is_prepared = false;
  if (is_prepared) return;
  at::set_num_threads(1);
  at::globalContext().setFlushDenormal(true);
  is_prepared = true;
}

std::span<const float> row(const at::Tensor& logits, int64_t index) {
  const auto size = static_cast<size_t>(logits.size(-1));
  return {logits.data_ptr<float>() + static_cast<size_t>(index) * size, size};
}

int64_t argmax(std::span<const float> values) {
  return std::max_element(values.begin(), values.end()) - values.begin();
}

models::SamplerConfig sampler_config(const EngineParts& parts,
                                     const runtime::SessionOptions& options) {
  models::SamplerConfig config = parts.sampler;
  config.temperature = options.temperature;
  config.seed = options.seed;
  if (options.interruptibility) config.interruptibility = *options.interruptibility;
  return config;
}

/// Blocks before the first frame of a stream, beyond the one that every frame waits for.
int64_t delay_blocks(const models::SpeechEncoder& encoder) {
  return std::max<int64_t>(0, (encoder.lookahead_samples() + kBlock - 1) / kBlock - 1);
}

class TorchSession : public runtime::Session {
 public:
  TorchSession(const EngineParts& parts, const runtime::EngineInfo& engine_info,
               const runtime::SessionOptions& options)
      : Session(engine_info),
        parts_(parts),
        greets_(options.greet),
        sampler_(sampler_config(parts, options)),
        control_(parts.lm->config().num_codes(), parts.silence_codes),
        agent_text_(*parts.text_tokenizer) {
    if (parts.ctc_tokenizer) user_text_.emplace(*parts.ctc_tokenizer);
    const c10::InferenceMode inference;
    encoder_state_ = parts.encoder->initial_state(1);
    lm_state_ = parts.lm->initial_state(1);
    codec_state_ = parts.codec->initial_state(1);
    start();
  }

  void begin_turn() override { greeting_due_ = !sampler_state_.in_turn; }

 private:
  void do_step(std::span<const float> block, runtime::StepOutput& out) override {
    prepare_thread();
    const c10::InferenceMode inference;
    const at::Tensor pcm = at::empty({1, kBlock}, at::kFloat);
    std::copy(block.begin(), block.end(), pcm.data_ptr<float>());
    const at::Tensor frames = parts_.encoder->step(pcm, *encoder_state_);
    for (int64_t t = 0; t < frames.size(1); ++t) say(frames.narrow(1, t, 1), out);
    if (frames.size(1) > 0) listen(frames, out);
    give_block(out);
  }

  void do_reset() override {
    const c10::InferenceMode inference;
    parts_.encoder->reset(*encoder_state_);
    parts_.lm->reset(lm_state_);
    parts_.codec->reset(*codec_state_);
    start();
  }

  /// Everything of a conversation that is not one of the modules' states, at its beginning.
  void start() {
    heard_ = parts_.lm->initial_tokens(1);
    sampler_state_ = sampler_.initial_state();
    control_state_ = {};
    agent_text_.finish();
    if (user_text_) user_text_->finish();
    user_has_spoken_ = false;
    greeting_due_ = greets_;
    last_ctc_ = -1;
    speaking_ = 0.0F;
    queue_.assign(static_cast<size_t>(delay_blocks(*parts_.encoder)) *
                      static_cast<size_t>(info().output_block_samples),
                  0.0F);
  }

  /// LM, sampler, text and codec for one user frame [1, 1, U].
  void say(const at::Tensor& frame, runtime::StepOutput& out) {
    const models::DuplexLm::Logits logits = parts_.lm->step(frame, heard_, lm_state_);
    const at::Tensor text = logits.text.to(at::kFloat).contiguous(),
                     audio = logits.audio.to(at::kFloat).contiguous();
    const bool was_in_turn = sampler_state_.in_turn;
    int64_t token = sampler_.sample_text(row(text, 0), sampler_state_);
    if (greeting_due_) {
      token = sampler_.config().text_bos;
      sampler_.follow(token, sampler_state_);
      greeting_due_ = false;
    }
    const int64_t num = parts_.lm->config().num_codebooks;
    std::vector<int64_t> codes(static_cast<size_t>(num));
    for (int64_t k = 0; k < num; ++k)
      codes[static_cast<size_t>(k)] = sampler_.sample_code(row(audio, k), sampler_state_);
    heard_ = {at::full({1}, token, at::kLong), at::tensor(codes, at::kLong).view({1, num})};
    tell(token, was_in_turn, out);
    out.text_token = static_cast<int>(token);
    out.codes.assign(codes.begin(), codes.end());
    control_.replace(codes, control_state_);
    const at::Tensor pcm =
        parts_.codec->step(at::tensor(codes, at::kLong).view({1, num, 1}), *codec_state_)
            .to(at::kFloat)
            .contiguous();
    queue_.insert(queue_.end(), pcm.data_ptr<float>(), pcm.data_ptr<float>() + pcm.numel());
  }

  /// Text and turn events of one token.
  void tell(int64_t token, bool was_in_turn, runtime::StepOutput& out) {
    const models::SamplerConfig& ids = sampler_.config();
    if (token == ids.text_bos && !was_in_turn) {
      out.agent_turn_started = true;
    } else if (token == ids.text_eos && was_in_turn) {
      out.agent_text += agent_text_.finish();
      out.agent_turn_ended = true;
    } else if (token != ids.text_pad && token != ids.text_bos && token != ids.text_eos) {
      out.agent_text += agent_text_.push(token);
    }
  }

  /// What the encoder's own heads say about the user. Events only.
  void listen(const at::Tensor& frames, runtime::StepOutput& out) {
    if (const at::Tensor logit = parts_.encoder->speaking_logit(frames); logit.defined())
      speaking_ = at::sigmoid(logit.to(at::kFloat)).select(1, logit.size(1) - 1).item<float>();
    if (!user_text_) return;
    const at::Tensor logits =
        parts_.encoder->ctc_logits(frames).to(at::kFloat).contiguous();  // [1, t, classes]
    for (int64_t t = 0; t < logits.size(1); ++t) {
      const int64_t best = argmax(row(logits, t));
      const bool is_blank = best == logits.size(2) - 1;
      if (!is_blank && best != last_ctc_) hear_piece(best, out);
      last_ctc_ = best;
    }
  }

  /// The decoder drops the space before a text's first word; every word heard comes with one.
  void hear_piece(int64_t id, runtime::StepOutput& out) {
    const std::string text = user_text_->push(id);
    if (!user_has_spoken_ && !text.empty() && text.front() != ' ') out.user_text += ' ';
    user_has_spoken_ = user_has_spoken_ || !text.empty();
    out.user_text += text;
  }

  void give_block(runtime::StepOutput& out) {
    const auto size = static_cast<size_t>(info().output_block_samples);
    if (queue_.size() < size)
      throw std::runtime_error("the encoder gave fewer frames than its declared latency allows");
    out.pcm.resize(size);
    for (size_t i = 0; i < size; ++i)  // NaN passes: the caller reports it.
      out.pcm[i] = std::isnan(queue_[i]) ? queue_[i] : std::clamp(queue_[i], -1.0F, 1.0F);
    queue_.erase(queue_.begin(), queue_.begin() + static_cast<std::ptrdiff_t>(size));
    out.user_speaking = speaking_;
  }

  const EngineParts& parts_;
  const bool greets_;
  const models::Sampler sampler_;
  const models::ControlCodes control_;
  std::unique_ptr<models::SpeechEncoder::State> encoder_state_;
  models::DuplexLm::State lm_state_;
  std::unique_ptr<codecs::CodecDecoder::State> codec_state_;
  models::DuplexLm::Tokens heard_;
  models::Sampler::State sampler_state_;
  models::ControlCodes::State control_state_;
  models::StreamingDecoder agent_text_;
  std::optional<models::StreamingDecoder> user_text_;
  bool user_has_spoken_ = false;
  bool greeting_due_ = false;
  int64_t last_ctc_ = -1;
  float speaking_ = 0.0F;
  std::vector<float> queue_;  // Output samples not yet given; at most delay_blocks + 1 blocks.
};

void require_equal(const char* subject, const std::string& expected_by, int64_t expected,
                   int64_t found) {
  if (expected == found) return;
  throw core::ConfigError({.subject = subject,
                           .expected = std::to_string(expected) + " (" + expected_by + ")",
                           .found = std::to_string(found),
                           .file = {},
                           .hint = {}});
}

void check_parts(const EngineParts& parts) {
  DUET_CHECK(parts.encoder && parts.lm && parts.codec && parts.text_tokenizer);
  const models::DuplexLmConfig& lm = parts.lm->config();
  require_equal("lm input width", "width of the encoder's frames", parts.encoder->width(),
                lm.user_width > 0 ? lm.user_width : lm.llm.hidden);
  require_equal("lm.num_codebooks", "codebooks of the codec", parts.codec->num_codebooks(),
                lm.num_codebooks);
  require_equal("lm.code_vocab", "codes of the codec + 3", parts.codec->codebook_size() + 3,
                lm.code_vocab);
  // A step is 80 ms on both sides: samples per frame * 16000 = 1280 * output rate.
  require_equal("codec samples per frame", "80 ms at the codec's rate",
                kBlock * parts.codec->sample_rate_hz() / models::kUserSampleRateHz,
                parts.codec->samples_per_frame());
  if (!parts.silence_codes.empty())
    require_equal("silence_codes", "one per codebook", lm.num_codebooks,
                  static_cast<int64_t>(parts.silence_codes.size()));
  for (const int64_t id : {parts.sampler.text_pad, parts.sampler.text_bos, parts.sampler.text_eos})
    if (id < 0 || id >= lm.text_vocab)
      throw core::ConfigError(
          {.subject = "text ids",
           .expected = "ids below lm.text_vocab (" + std::to_string(lm.text_vocab) + ")",
           .found = std::to_string(id),
           .file = {},
           .hint = {}});
  require_equal("text pad", "lm.text_pad", lm.text_pad, parts.sampler.text_pad);
  if (parts.ctc_tokenizer)
    require_equal("ctc_tokenizer pieces", "CTC classes of the encoder but the blank",
                  parts.encoder->num_ctc_classes() - 1, parts.ctc_tokenizer->vocab_size());
}

class TorchEngine : public runtime::Engine {
 public:
  explicit TorchEngine(EngineParts parts) : parts_(std::move(parts)) {
    check_parts(parts_);
    info_.input_rate_hz = static_cast<int>(models::kUserSampleRateHz);
    info_.output_rate_hz = static_cast<int>(parts_.codec->sample_rate_hz());
    info_.block_samples = static_cast<int>(kBlock);
    info_.output_block_samples = static_cast<int>(parts_.codec->samples_per_frame());
    info_.step_seconds =
        static_cast<double>(kBlock) / static_cast<double>(models::kUserSampleRateHz);
    info_.encoder_lookahead_samples = static_cast<int>(parts_.encoder_lookahead_samples);
    info_.codec_latency_samples = static_cast<int>(parts_.codec->overlap_samples());
    info_.num_codebooks = static_cast<int>(parts_.codec->num_codebooks());
    info_.has_user_text = parts_.ctc_tokenizer != nullptr;
    const c10::InferenceMode inference;
    info_.has_user_activity =
        parts_.encoder->speaking_logit(at::zeros({1, 1, parts_.encoder->width()})).defined();
    info_.model_name = parts_.model_name;
    info_.model_version = parts_.model_version;
    info_.model_path = parts_.model_path;
    info_.dtype = parts_.dtype;
  }

  const runtime::EngineInfo& info() const noexcept override { return info_; }

  std::unique_ptr<runtime::Session> make_session(
      const runtime::SessionOptions& options) const override {
    runtime::validate(options);
    return std::make_unique<TorchSession>(parts_, info_, options);
  }

 private:
  EngineParts parts_;
  runtime::EngineInfo info_;
};

}  // namespace

std::unique_ptr<runtime::Engine> make_torch_engine(EngineParts parts) {
  return std::make_unique<TorchEngine>(std::move(parts));
}

}  // namespace duet::engine
