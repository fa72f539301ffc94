#include "runtime/engine/torch_engine.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>
#include <dlfcn.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <optional>
#include <span>
#include <stdexcept>
#include <utility>

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

/// OpenBLAS has threads of its own, which LibTorch's setting does not reach: steps on several
/// threads would wait for each other in its pool. Of the whole process; other libraries have no
/// such symbol.
void use_one_blas_thread() {
  if (void* set = dlsym(RTLD_DEFAULT, "openblas_set_num_threads"))
    reinterpret_cast<void (*)(int)>(set)(1);
}

std::span<const float> row(const at::Tensor& logits, int64_t index) {
  const auto size = static_cast<size_t>(logits.size(-1));
  return {logits.data_ptr<float>() + static_cast<size_t>(index) * size, size};
}

/// Row i of a batch's logits: text [1, Vt], audio [K, V], fp32.
models::DuplexLm::Logits row_of(const models::DuplexLm::Logits& logits, int64_t i) {
  return {logits.text.narrow(0, i, 1).to(at::kFloat).contiguous(),
          logits.audio.select(0, i).to(at::kFloat).contiguous()};
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
  void end_turn() override {
    forced_.clear();
    if (sampler_state_.in_turn) forced_.push_back(sampler_.config().text_eos);
  }
  void say(std::string_view text) override {
    end_turn();
    greeting_due_ = false;
    forced_.push_back(sampler_.config().text_bos);
    for (const int64_t id : parts_.text_tokenizer->encode(text)) forced_.push_back(id);
    is_reciting_ = true;
  }

 private:
  friend class TogetherStep;

  void do_step(std::span<const float> block, runtime::StepOutput& out) override;

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
    forced_.clear();
    is_reciting_ = false;
    last_ctc_ = -1;
    speaking_ = 0.0F;
    queue_.assign(static_cast<size_t>(delay_blocks(*parts_.encoder)) *
                      static_cast<size_t>(info().output_block_samples),
                  0.0F);
  }

  at::Tensor codes_tensor(const std::vector<int64_t>& codes) const {
    return at::tensor(codes, at::kLong).view({1, static_cast<int64_t>(codes.size()), 1});
  }

  /// Sampler and text for one LM step: text [Vt], audio [K, V] fp32. Returns the codes to decode.
  std::vector<int64_t> decide(const models::DuplexLm::Logits& logits, runtime::StepOutput& out) {
    const bool was_in_turn = sampler_state_.in_turn;
    int64_t token = sampler_.sample_text(row(logits.text, 0), sampler_state_);
    if (const int64_t other = replaced(token, was_in_turn); other != token) {
      token = other;
      sampler_state_.in_turn = was_in_turn;
      sampler_.follow(token, sampler_state_);
    }
    const int64_t num = parts_.lm->config().num_codebooks;
    std::vector<int64_t> codes(static_cast<size_t>(num));
    for (int64_t k = 0; k < num; ++k)
      codes[static_cast<size_t>(k)] = sampler_.sample_code(row(logits.audio, k), sampler_state_);
    heard_ = {at::full({1}, token, at::kLong), at::tensor(codes, at::kLong).view({1, num})};
    tell(token, was_in_turn, out);
    out.text_token = static_cast<int>(token);
    out.codes.assign(codes.begin(), codes.end());
    control_.replace(codes, control_state_);
    return codes;
  }

  /// pcm [samples of a slot]
  void speak(const at::Tensor& slot) {
    const at::Tensor pcm = slot.to(at::kFloat).contiguous();
    queue_.insert(queue_.end(), pcm.data_ptr<float>(), pcm.data_ptr<float>() + pcm.numel());
  }

  /// What is said in place of the model's `token`: a greeting, an end or words that were asked for.
  int64_t replaced(int64_t token, bool in_turn) {
    const models::SamplerConfig& ids = sampler_.config();
    if (std::exchange(greeting_due_, false)) return ids.text_bos;
    if (!forced_.empty()) {
      const int64_t next = forced_.front();
      if (in_turn && token == ids.text_eos && next != ids.text_eos) {  // It yields to the user.
        forced_.clear();
        is_reciting_ = false;
        return token;
      }
      forced_.pop_front();
      return next;
    }
    // After given words the voice catches up; the model says when it has, and adds none.
    if (!is_reciting_) return token;
    is_reciting_ = token != ids.text_eos;
    return is_reciting_ ? ids.text_pad : token;
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

  /// What the encoder's own heads say about the user, [1, t, classes] and [1, t], either undefined.
  /// Events only.
  void listen(const at::Tensor& frames, const at::Tensor& ctc, const at::Tensor& speaking,
              runtime::StepOutput& out) {
    if (speaking.defined())
      speaking_ = at::sigmoid(speaking.to(at::kFloat)).select(1, frames.size(1) - 1).item<float>();
    if (!user_text_) return;
    const at::Tensor logits = ctc.to(at::kFloat).contiguous();
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
  std::deque<int64_t> forced_;  // Text tokens of the next steps, whatever the model draws.
  bool is_reciting_ = false;    // From say() to the end of that turn.
  int64_t last_ctc_ = -1;
  float speaking_ = 0.0F;
  std::vector<float> queue_;  // Output samples not yet given; at most delay_blocks + 1 blocks.
};

/// One step of several sessions of one engine, stage by stage. A session that fails leaves; the
/// others go on.
class TogetherStep {
 public:
  TogetherStep(const EngineParts& parts, std::span<runtime::StepJob* const> jobs) : parts_(parts) {
    for (runtime::StepJob* job : jobs)
      items_.push_back({job, static_cast<TorchSession*>(job->session), {}, {}});
  }

  void run() {
    encode();
    for (bool more = true; more;) more = say_next();
    for (Item& item : items_) guard(item, [&] { item.session->give_block(*item.job->out); });
  }

 private:
  struct Item {
    runtime::StepJob* job;
    TorchSession* session;
    at::Tensor frames;  // [1, t, U] not yet said
    std::vector<int64_t> codes;
  };

  template <class Work>
  static void guard(Item& item, Work work) {
    if (!item.job->error.empty()) return;
    try {
      work();
    } catch (const std::exception& error) {
      item.job->error = error.what();
      if (item.job->error.empty()) item.job->error = "failed";
    }
  }

  void encode() {
    const auto count = static_cast<int64_t>(items_.size());
    const at::Tensor pcm = at::empty({count, kBlock}, at::kFloat);
    std::vector<models::SpeechEncoder::State*> states;
    float* next = pcm.data_ptr<float>();
    for (const Item& item : items_) {
      next = std::copy(item.job->block.begin(), item.job->block.end(), next);
      states.push_back(item.session->encoder_state_.get());
    }
    const std::vector<at::Tensor> frames = parts_.encoder->step_together(pcm, states);
    for (size_t i = 0; i < items_.size(); ++i) {
      Item& item = items_[i];
      item.frames = frames[i];
      if (frames[i].size(1) == 0) continue;
      guard(item, [&] {
        item.session->listen(frames[i], parts_.encoder->ctc_logits(frames[i]),
                             parts_.encoder->speaking_logit(frames[i]), *item.job->out);
      });
    }
  }

  /// LM and codec for the next frame of all that still have one.
  bool say_next() {
    std::vector<Item*> active;
    for (Item& item : items_)
      if (item.job->error.empty() && item.frames.size(1) > 0) active.push_back(&item);
    if (active.empty()) return false;
    std::vector<at::Tensor> user, text, codes;
    std::vector<models::DuplexLm::State*> states;
    for (Item* item : active) {
      user.push_back(item->frames.narrow(1, 0, 1));
      item->frames = item->frames.narrow(1, 1, item->frames.size(1) - 1);
      text.push_back(item->session->heard_.text);
      codes.push_back(item->session->heard_.codes);
      states.push_back(&item->session->lm_state_);
    }
    const models::DuplexLm::Logits logits =
        parts_.lm->step_together(at::cat(user, 0), {at::cat(text, 0), at::cat(codes, 0)}, states);
    for (size_t i = 0; i < active.size(); ++i)
      guard(*active[i], [&] {
        active[i]->codes = active[i]->session->decide(row_of(logits, static_cast<int64_t>(i)),
                                                      *active[i]->job->out);
      });
    decode(active);
    return true;
  }

  void decode(const std::vector<Item*>& active) {
    std::vector<Item*> sound;
    std::vector<at::Tensor> codes;
    std::vector<codecs::CodecDecoder::State*> states;
    for (Item* item : active) {
      if (!item->job->error.empty()) continue;
      sound.push_back(item);
      codes.push_back(item->session->codes_tensor(item->codes));
      states.push_back(item->session->codec_state_.get());
    }
    if (sound.empty()) return;
    const at::Tensor pcm = parts_.codec->step_together(at::cat(codes, 0), states);
    for (size_t i = 0; i < sound.size(); ++i)
      guard(*sound[i], [&] { sound[i]->session->speak(pcm[static_cast<int64_t>(i)]); });
  }

  const EngineParts& parts_;
  std::vector<Item> items_;
};

/// Alone is together with nobody.
void TorchSession::do_step(std::span<const float> block, runtime::StepOutput& out) {
  prepare_thread();
  const c10::InferenceMode inference;
  runtime::StepJob job{.session = this, .block = block, .out = &out, .error = {}};
  runtime::StepJob* const jobs[] = {&job};
  TogetherStep(parts_, jobs).run();
  if (!job.error.empty()) throw std::runtime_error(job.error);
}

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
    use_one_blas_thread();
    info_.input_rate_hz = static_cast<int>(models::kUserSampleRateHz);
    info_.output_rate_hz = static_cast<int>(parts_.codec->sample_rate_hz());
    info_.block_samples = static_cast<int>(kBlock);
    info_.output_block_samples = static_cast<int>(parts_.codec->samples_per_frame());
    info_.step_seconds =
        static_cast<double>(kBlock) / static_cast<double>(models::kUserSampleRateHz);
    info_.encoder_lookahead_samples = static_cast<int>(parts_.encoder_lookahead_samples);
    info_.codec_latency_samples = static_cast<int>(parts_.codec->overlap_samples());
    info_.num_codebooks = static_cast<int>(parts_.codec->num_codebooks());
    info_.can_say = true;
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
  void do_step_together(std::span<runtime::StepJob* const> jobs) const override {
    prepare_thread();
    const c10::InferenceMode inference;
    try {
      TogetherStep(parts_, jobs).run();
    } catch (const std::exception& error) {  // not of one session: states may be half a step on
      for (runtime::StepJob* job : jobs) job->error = error.what();
    }
  }

  EngineParts parts_;
  runtime::EngineInfo info_;
};

}  // namespace

std::unique_ptr<runtime::Engine> make_torch_engine(EngineParts parts) {
  return std::make_unique<TorchEngine>(std::move(parts));
}

}  // namespace duet::engine
