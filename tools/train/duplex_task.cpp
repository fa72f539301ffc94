#include "tools/train/duplex_task.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>

#include "runtime/core/error.h"
#include "tools/train/autocast.h"
#include "tools/train/duplex_generate.h"
#include "tools/train/encoder_task.h"
#include "tools/train/evaluate_score.h"

namespace duet::train {
namespace {

// One 64-bit number a dialogue from (seed, index): splitmix64's finaliser.
uint64_t dialogue_seed(uint64_t seed, uint64_t index) {
  uint64_t z = seed * 0x9E3779B97F4A7C15ull + index + 0x9E3779B97F4A7C15ull;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
  return z ^ (z >> 31);
}

// The code slots of a step's loss: those of the spoken dialogues, then those of the written ones
// that have their own codes, whose rows follow. Padded as make_batch pads.
void add_written_codes(const std::vector<std::vector<bool>>& own, const DuplexBatch& written,
                       int64_t multiple, DuplexBatch& batch) {
  const at::Tensor kept = batch.code_weight.gt(0);
  std::vector<int64_t> index;
  const int64_t steps = batch.text_in.size(1), first = batch.text_in.numel();
  for (size_t b = 0; b < own.size(); ++b)
    for (int64_t t = 0; t < steps; ++t)
      if (own[b][static_cast<size_t>(t)])
        index.push_back(first + static_cast<int64_t>(b) * steps + t);
  const auto num_written = static_cast<int64_t>(index.size());
  const int64_t total = kept.sum().item<int64_t>() + num_written;
  const int64_t padding = (multiple - total % multiple) % multiple;
  batch.code_index = at::cat({batch.code_index.masked_select(kept), at::tensor(index, at::kLong),
                              at::zeros({padding}, at::kLong)});
  batch.code_weight = at::cat(
      {batch.code_weight.masked_select(kept), at::ones({num_written}), at::zeros({padding})});
  batch.codes_out = at::cat({batch.codes_out, written.codes_out});
}

at::Tensor weighted_mean(const at::Tensor& losses, const at::Tensor& weights) {
  return (losses * weights).sum() / weights.sum().clamp_min(1e-6);
}

}  // namespace

DuplexTask::DuplexTask(const Config& config, ParameterStore& store,
                       std::shared_ptr<const DialogueMixer> mixer, const std::string& pieces,
                       const std::string& ctc_pieces, std::vector<Utterance> questions,
                       std::shared_ptr<const WrittenMixer> written)
    : config_(config),
      pieces_(pieces),
      ctc_pieces_(ctc_pieces),
      mixer_(std::move(mixer)),
      written_(std::move(written)),
      bank_(ctc_pieces_.size()),
      questions_(std::move(questions)) {
  if (config_.written_dialogues > 0 && !(written_ && config_.has_ctc_input))
    throw core::ConfigError({.subject = "written_dialogues",
                             .expected = "data.written and ctc_input, or 0",
                             .found = std::to_string(config_.written_dialogues)});
  config_.encoder.ctc_pieces = ctc_pieces_.size();
  config_.lm.text_vocab = pieces_.size();
  config_.lm.user_width =
      config_.encoder.top_width + (config_.has_ctc_input ? config_.encoder.ctc_pieces + 1 : 0);
  encoder_ = std::make_unique<models::WhisperEncoder>(config_.encoder,
                                                      models::WeightScope(store, "encoder."));
  lm_ = std::make_unique<models::DuplexLm>(config_.lm, models::WeightScope(store, "lm."));
  if (config_.train_encoder == TrainEncoder::kNone) store.freeze("encoder.");
  if (config_.train_encoder == TrainEncoder::kTop)
    for (const char* prefix : {"encoder.conv", "encoder.layers.", "encoder.norm."})
      store.freeze(prefix);
  AdamW::Config optimizer = config_.optimizer;
  optimizer.multipliers["encoder."] = config_.encoder_lr_ratio;
  optimizer_ =
      std::make_unique<AdamW>(optimizer, store, std::vector<std::string>{"encoder.", "lm."});
}

at::Tensor DuplexTask::user_vectors(const models::WhisperEncoder::Output& heard) const {
  const at::Tensor features = heard.features.to(at::kFloat);
  if (!config_.has_ctc_input) return features;
  return at::cat({features, at::softmax(heard.ctc.to(at::kFloat), -1) * config_.ctc_input_scale},
                 -1);
}

at::Tensor DuplexTask::user_vectors(const at::Tensor& pcm) const {
  return user_vectors(encoder_->forward(pcm));
}

at::Tensor DuplexTask::ctc_loss(const models::WhisperEncoder::Output& heard,
                                const std::vector<Dialogue>& dialogues) const {
  std::vector<int64_t> targets, lengths;
  const std::vector<int64_t> frames(dialogues.size(), heard.ctc.size(1));
  for (const Dialogue& dialogue : dialogues) {
    std::vector<std::pair<int64_t, const std::string*>>
        turns;  // backchannels are added out of order
    for (const UserTurn& turn : dialogue.user_turns)
      turns.emplace_back(turn.begin_sample, &turn.text);
    std::sort(turns.begin(), turns.end());
    int64_t length = 0;
    for (const auto& [begin, text] : turns)
      for (int id : ctc_pieces_.encode(normalise_transcript(*text))) {
        targets.push_back(id);
        ++length;
      }
    lengths.push_back(length);
  }
  const at::Tensor log_probs = at::log_softmax(heard.ctc.to(at::kFloat), -1).transpose(0, 1);
  return at::ctc_loss(log_probs, at::tensor(targets, at::kLong), frames, lengths,
                      config_.encoder.ctc_pieces, at::Reduction::Mean, /*zero_infinity=*/true);
}

void DuplexTask::remember_frames(const at::Tensor& user, const std::vector<Dialogue>& dialogues) {
  if (config_.written_dialogues == 0) return;
  std::vector<const std::vector<float>*> speaking;
  for (size_t i = 0; i < static_cast<size_t>(user.size(0)); ++i)
    speaking.push_back(&dialogues[i].speaking);
  remember_frames(user, speaking);
}

void DuplexTask::remember_frames(const at::Tensor& user,
                                 const std::vector<const std::vector<float>*>& speaking) {
  const int64_t classes = config_.encoder.ctc_pieces + 1;
  const at::Tensor posterior =
      user.narrow(2, user.size(2) - classes, classes).to(at::kFloat) / config_.ctc_input_scale;
  bank_.add(user, posterior, speaking);
}

at::Tensor DuplexTask::drop_features(const at::Tensor& user, std::mt19937_64& rng) const {
  if (!config_.has_ctc_input || config_.feature_dropout <= 0.0) return user;
  at::Tensor keep = at::ones({user.size(0), 1, user.size(2)});
  for (int64_t b = 0; b < user.size(0); ++b)
    if (chance(rng, config_.feature_dropout))
      keep[b].narrow(1, 0, config_.encoder.top_width).zero_();
  return user * keep;
}

void DuplexTask::hear_utterances(std::mt19937_64& rng) {
  constexpr int64_t kTailSteps = 8, kMultiple = 12;
  constexpr size_t kLongest = 12 * 16000;
  const std::vector<Utterance>& users = mixer_->material().users;
  const auto at_once = static_cast<size_t>(config_.heard_utterances);
  if (next_heard_ >= hearing_order_.size()) {
    next_heard_ = 0;
    hearing_order_.clear();
    for (size_t i = 0; i < users.size(); ++i)
      if (!users[i].reply.empty() && users[i].samples.size() < kLongest &&
          chance(rng, mixer_->config().engine_share(users[i].engine)))
        hearing_order_.push_back(i);
    if (hearing_order_.empty()) return;
    std::stable_sort(hearing_order_.begin(), hearing_order_.end(), [&](size_t a, size_t b) {
      return users[a].samples.size() < users[b].samples.size();
    });
    std::vector<std::vector<size_t>> groups;
    for (size_t i = 0; i < hearing_order_.size(); i += at_once)
      groups.emplace_back(hearing_order_.begin() + static_cast<int64_t>(i),
                          hearing_order_.begin() +
                              static_cast<int64_t>(std::min(i + at_once, hearing_order_.size())));
    std::shuffle(groups.begin(), groups.end(), rng);
    hearing_order_.clear();
    for (const auto& group : groups)
      hearing_order_.insert(hearing_order_.end(), group.begin(), group.end());
  }
  std::vector<UtteranceSound> sounds;
  std::vector<size_t> which;
  size_t longest = 0;
  for (; sounds.size() < at_once && next_heard_ < hearing_order_.size(); ++next_heard_) {
    which.push_back(hearing_order_[next_heard_]);
    sounds.push_back(place_utterance(users[which.back()], config_.utterance_channel, kTailSteps,
                                     kMultiple, rng));
    longest = std::max(longest, sounds.back().samples.size());
  }
  const auto count = static_cast<int64_t>(sounds.size());
  const at::Tensor pcm = at::zeros({count, static_cast<int64_t>(longest)});
  for (int64_t b = 0; b < count; ++b)
    std::copy(sounds[static_cast<size_t>(b)].samples.begin(),
              sounds[static_cast<size_t>(b)].samples.end(), pcm[b].data_ptr<float>());
  const c10::NoGradGuard no_grad;
  const Autocast autocast(config_.bf16);
  const at::Tensor user =
      user_vectors(encoder_->forward_mel(encoder_->log_mel(pcm),
                                         uniform_index(rng, config_.encoder.positions)))
          .to(at::kBFloat16);
  std::vector<std::vector<float>> speaking;
  for (const UtteranceSound& sound : sounds) {
    speaking.emplace_back(static_cast<size_t>(user.size(1)), 0.0F);
    std::fill(speaking.back().begin() + sound.first_step,
              speaking.back().begin() + sound.last_step + 1, 1.0F);
  }
  std::vector<const std::vector<float>*> which_speaking;
  for (const auto& one : speaking) which_speaking.push_back(&one);
  remember_frames(user, which_speaking);
  for (int64_t b = 0; b < count; ++b) {
    const UtteranceSound& sound = sounds[static_cast<size_t>(b)];
    const int64_t first = std::max<int64_t>(0, sound.first_step - 1);
    const int64_t end = sound.last_step + kTailSteps;
    const size_t utterance = which[static_cast<size_t>(b)];
    heard_.add(users[utterance].text, utterance, user[b].narrow(0, first, end - first).clone(),
               sound.last_step - first);
  }
}

DuplexTask::Written DuplexTask::draw_written(std::mt19937_64& rng) {
  // At the start more at once, or the few would be heard again and again.
  constexpr size_t kFirstTexts = 500;
  constexpr int64_t kFirstPasses = 60;
  WrittenMixer::Find find;
  if (config_.heard_utterances > 0) {
    const int64_t passes = heard_.num_texts() == 0 ? kFirstPasses : 1;
    for (int64_t pass = 0; pass < passes; ++pass) {
      hear_utterances(rng);
      if (heard_.num_texts() >= kFirstTexts) break;
    }
    find = [this](const std::string& text, Random& random) { return heard_.find(text, random); };
  }
  Written out;
  // A dialogue with a piece that no frame is known of is left out; the bank fills within the first
  // batches.
  for (int64_t attempt = 0; attempt < 4 * config_.written_dialogues; ++attempt) {
    if (static_cast<int64_t>(out.dialogues.size()) == config_.written_dialogues) break;
    WrittenDialogue drawn =
        written_->mix(dialogue_seed(config_.data_seed ^ 0x5EEDu, written_index_++), find);
    if (!bank_.covers(drawn.heard)) continue;
    at::Tensor user = bank_.draw(drawn.heard, rng).unsqueeze(0).to(at::kFloat);
    const bool keeps_features =
        drawn.segments.empty() ? config_.written_features : !chance(rng, config_.feature_dropout);
    for (const HeardSegment& segment : drawn.segments) {
      const int64_t count = std::min(segment.num_frames, user.size(1) - segment.first_step);
      user.narrow(1, segment.first_step, count)
          .copy_(heard_.frames(segment.id).narrow(0, 0, count).unsqueeze(0));
    }
    if (!keeps_features) user.narrow(2, 0, config_.encoder.top_width).zero_();
    out.user.push_back(user);
    out.dialogues.push_back(std::move(drawn.dialogue));
    out.turns.push_back(std::move(drawn.turns));
    out.own_codes.push_back(std::move(drawn.has_own_codes));
    out.unknown.push_back(std::move(drawn.is_unknown));
  }
  return out;
}

at::Tensor DuplexTask::text_loss(const at::Tensor& logits, const at::Tensor& target,
                                 at::Tensor weights, at::Tensor& losses) const {
  losses = at::cross_entropy_loss(logits.to(at::kFloat).flatten(0, 1), target.flatten(), {},
                                  at::Reduction::None);
  weights = weights.flatten();
  // By the sum of the plain weights: divided by that of the focused ones, a model that is nearly
  // always right would learn from nothing but what nobody can know (the very step in which a reply
  // begins, a word misheard), the louder the better it is.
  const at::Tensor total = weights.sum().clamp_min(1e-6);
  if (config_.text_focus) weights = weights * (1.02 - at::exp(losses.detach().neg()));
  return (losses * weights).sum() / total;
}

// Words, and inside replies with their own sound also the waiting between them: when to speak is
// learned from sound, where the user's last sample is known.
void DuplexTask::score_written_words(const std::vector<std::vector<bool>>& own,
                                     const std::vector<std::vector<bool>>& unknown,
                                     DuplexBatch& written) const {
  const int64_t steps = written.text_out.size(1);
  written.text_weight = at::zeros(written.text_out.sizes());
  for (size_t b = 0; b < own.size(); ++b) {
    const int64_t* target = written.text_out[static_cast<int64_t>(b)].data_ptr<int64_t>();
    auto* weight = written.text_weight[static_cast<int64_t>(b)].data_ptr<float>();
    for (int64_t t = 0; t + 1 < steps; ++t) {
      const auto slot = static_cast<size_t>(t + 1);
      if (target[t] < 0 || target[t] == mixer_->config().text_bos || unknown[b][slot]) continue;
      const bool is_word =
          target[t] != config_.batch.text_pad && target[t] != mixer_->config().text_eos;
      if (is_word)
        weight[t] = 1.0F;
      else if (own[b][slot])
        weight[t] = static_cast<float>(config_.batch.pad_weight);
    }
  }
}

DuplexTask::Drawn DuplexTask::draw(std::mt19937_64& rng) {
  Drawn out;
  const bool has_pool = config_.fresh_dialogues > 0 && config_.train_encoder == TrainEncoder::kNone;
  const bool filling = has_pool && pool_.size() < 2 * static_cast<size_t>(config_.batch_dialogues);
  const int64_t fresh = has_pool && !filling
                            ? std::min(config_.fresh_dialogues, config_.batch_dialogues)
                            : config_.batch_dialogues;
  for (int64_t i = 0; i < fresh; ++i) out.dialogues.push_back(stream_->next());
  if (!has_pool) return out;
  at::Tensor pcm = make_batch(out.dialogues, config_.batch, rng).pcm;
  std::vector<at::Tensor> users;
  {
    const c10::NoGradGuard no_grad;
    const Autocast autocast(config_.bf16);
    const at::Tensor user = user_vectors(encoder_->forward_mel(
        encoder_->log_mel(pcm), uniform_index(rng, config_.encoder.positions)));
    for (int64_t i = 0; i < fresh; ++i) users.push_back(user.narrow(0, i, 1).to(at::kBFloat16));
    remember_frames(user.to(at::kBFloat16), out.dialogues);
  }
  for (int64_t i = fresh; i < config_.batch_dialogues; ++i) {
    const Pooled& old =
        pool_[static_cast<size_t>(uniform_index(rng, static_cast<int64_t>(pool_.size())))];
    out.dialogues.push_back(old.dialogue);
    users.push_back(old.user);
  }
  for (int64_t i = 0; i < fresh; ++i) {
    Pooled fresh_one{out.dialogues[static_cast<size_t>(i)], users[static_cast<size_t>(i)]};
    if (pool_.size() < static_cast<size_t>(config_.pool_dialogues))
      pool_.push_back(std::move(fresh_one));
    else
      pool_[oldest_++ % pool_.size()] = std::move(fresh_one);
  }
  out.user = at::cat(users, 0).to(at::kFloat);
  return out;
}

Metrics DuplexTask::step(const StepContext& context, std::mt19937_64& rng) {
  const bool has_pool = config_.fresh_dialogues > 0 && config_.train_encoder == TrainEncoder::kNone;
  const auto first = static_cast<uint64_t>(context.step * config_.batch_dialogues);
  if (!stream_ || (!has_pool && stream_->next_index() != first)) {
    stream_.reset();
    stream_ = std::make_unique<DialogueStream>(
        [this](uint64_t index) { return mixer_->mix(dialogue_seed(config_.data_seed, index)); },
        first, config_.ahead);
  }
  const Drawn drawn = draw(rng);
  const std::vector<Dialogue>& dialogues = drawn.dialogues;
  DuplexBatch batch = make_batch(dialogues, config_.batch, rng);
  const bool learns_to_hear = config_.train_encoder != TrainEncoder::kNone;
  const auto num_spoken = static_cast<int64_t>(dialogues.size());
  Written written;
  DuplexBatch written_batch;
  if (config_.written_dialogues > 0) written = draw_written(rng);
  const bool has_written = !written.dialogues.empty();
  if (has_written) {
    written_batch = make_batch(written.dialogues, config_.batch, rng);
    score_written_words(written.own_codes, written.unknown, written_batch);
    add_written_codes(written.own_codes, written_batch, config_.batch.index_multiple, batch);
  }

  at::Tensor text_logits, audio_logits, written_logits;
  models::WhisperEncoder::Output heard;
  {
    const Autocast autocast(config_.bf16);
    if (!drawn.user.defined()) {
      const at::AutoGradMode grad(learns_to_hear);
      heard = encoder_->forward_mel(encoder_->log_mel(batch.pcm),
                                    uniform_index(rng, config_.encoder.positions));
    }
    at::Tensor user = drawn.user.defined() ? drawn.user : user_vectors(heard);
    if (learns_to_hear) remember_frames(user.detach().to(at::kBFloat16), dialogues);
    user = drop_features(user, rng);
    at::Tensor text_in = batch.text_in, codes_in = batch.codes_in;
    if (has_written) {
      user = at::cat({user, at::cat(written.user)});
      text_in = at::cat({text_in, written_batch.text_in});
      codes_in = at::cat({codes_in, written_batch.codes_in});
    }
    const at::Tensor hidden = lm_->hidden(user, text_in, codes_in);
    text_logits = lm_->text_logits(hidden);
    if (has_written)
      written_logits = text_logits.narrow(0, num_spoken, text_logits.size(0) - num_spoken);
    text_logits = text_logits.narrow(0, 0, num_spoken);
    audio_logits =
        lm_->audio_logits(hidden.flatten(0, 1).index_select(0, batch.code_index));  // [M, K, V]
  }
  const at::Tensor text_target = batch.text_out.flatten();
  at::Tensor text_losses, written_losses;
  const at::Tensor spoken_loss =
      text_loss(text_logits, text_target, batch.text_weight, text_losses);
  const at::Tensor code_target =
      batch.codes_out.transpose(1, 2).flatten(0, 1).index_select(0, batch.code_index);  // [M, K]
  const at::Tensor code_losses =
      at::cross_entropy_loss(audio_logits.to(at::kFloat).flatten(0, 1), code_target.flatten(), {},
                             at::Reduction::None)
          .view(code_target.sizes());
  const at::Tensor code_loss = weighted_mean(code_losses.mean(1), batch.code_weight);
  at::Tensor loss = config_.text_weight * spoken_loss + config_.audio_weight * code_loss;
  Metrics metrics;
  if (has_written) {
    const at::Tensor written_loss = text_loss(written_logits, written_batch.text_out,
                                              written_batch.text_weight, written_losses);
    loss = loss + config_.text_weight * config_.written_weight * written_loss;
    metrics["written"] = written_loss.item<double>();
    const at::Tensor scored = written_batch.text_weight.flatten().eq(1.0);
    metrics["written_word"] = written_losses.detach().masked_select(scored).mean().item<double>();
  }
  if (learns_to_hear) {
    const at::Tensor ctc = ctc_loss(heard, dialogues);
    const at::Tensor voice =
        at::binary_cross_entropy_with_logits(heard.speaking.to(at::kFloat), batch.speaking);
    loss = loss + config_.ctc_weight * ctc + config_.speaking_weight * voice;
    metrics["ctc"] = ctc.item<double>();
  }
  optimizer_->zero_grad();
  loss.backward();
  metrics["norm"] = optimizer_->step(context.lr_factor);

  const c10::NoGradGuard no_grad;
  const at::Tensor words = text_target.ne(config_.batch.text_pad).logical_and(text_target.ge(0));
  const at::Tensor right = text_logits.flatten(0, 1).argmax(-1).eq(text_target);
  metrics["loss"] = loss.item<double>();
  metrics["text"] = spoken_loss.item<double>();
  metrics["word"] = text_losses.masked_select(words).mean().item<double>();
  metrics["right"] = right.masked_select(words).to(at::kFloat).mean().item<double>();
  metrics["code"] =
      code_losses.masked_select(batch.code_weight.eq(1.0).unsqueeze(1)).mean().item<double>();
  return metrics;
}

std::string DuplexTask::decode(const std::vector<int64_t>& tokens) const {
  std::string text;
  for (int64_t token : tokens)
    if (pieces_.kind(static_cast<int>(token)) == models::SentencePieceModel::Kind::kNormal)
      text += pieces_.piece(static_cast<int>(token));
  std::string out;
  for (size_t i = 0; i < text.size();) {
    if (text.compare(i, 3, "\xE2\x96\x81") == 0) {  // U+2581 marks the start of a word
      if (!out.empty()) out += ' ';
      i += 3;
    } else {
      out += text[i++];
    }
  }
  return out;
}

Metrics DuplexTask::evaluate_written() {
  constexpr int kRounds = 4;
  const c10::InferenceMode inference;
  std::mt19937_64 rng(1);
  std::map<std::string, std::pair<int64_t, int64_t>> by_topic;  // right, asked
  std::pair<int64_t, int64_t> all{0, 0};
  for (int round = 0; round < kRounds; ++round) {
    const Written written = draw_written(rng);
    if (written.dialogues.empty()) break;
    const DuplexBatch batch = make_batch(written.dialogues, config_.batch, rng);
    at::Tensor best;
    {
      const Autocast autocast(config_.bf16);
      best = lm_->text_logits(lm_->hidden(at::cat(written.user), batch.text_in, batch.codes_in))
                 .argmax(-1)
                 .contiguous();
    }
    for (size_t b = 0; b < written.dialogues.size(); ++b) {
      const int64_t* decided = best[static_cast<int64_t>(b)].data_ptr<int64_t>();
      for (const WrittenTurn& turn : written.turns[b]) {
        bool is_right = true;
        for (int64_t t = turn.bos_slot; t < turn.bos_slot + turn.num_slots; ++t) {
          const int64_t word = written.dialogues[b].text[static_cast<size_t>(t + 1)];
          is_right = is_right && (word == config_.batch.text_pad || decided[t] == word);
        }
        auto& [right, asked] = by_topic[turn.topic];
        right += is_right;
        all.first += is_right;
        ++asked;
        ++all.second;
      }
    }
  }
  if (all.second == 0) return {};
  std::fprintf(stderr, "\n  in writing:");
  for (const auto& [topic, count] : by_topic)
    std::fprintf(stderr, "  %s %lld/%lld", topic.c_str(), static_cast<long long>(count.first),
                 static_cast<long long>(count.second));
  return {{"written_right", static_cast<double>(all.first) / static_cast<double>(all.second)}};
}

Metrics DuplexTask::evaluate() {
  Metrics metrics;
  if (config_.written_dialogues > 0) metrics = evaluate_written();
  if (questions_.empty()) return metrics;
  constexpr int64_t kAtOnce = 16;
  const c10::InferenceMode inference;
  const DialogueConfig& ids = mixer_->config();
  int64_t answered = 0, right = 0, ended = 0, early = 0;
  std::vector<double> onsets;
  for (size_t start = 0; start < questions_.size(); start += kAtOnce) {
    std::vector<const Utterance*> batch;
    for (size_t i = start; i < std::min(questions_.size(), start + kAtOnce); ++i)
      batch.push_back(&questions_[i]);
    std::vector<int64_t> ends;
    const at::Tensor pcm = batch_questions(batch, 0.6, 6.0, -26.0, ends);
    const Generated generated = generate(*lm_, user_vectors(pcm));
    for (size_t b = 0; b < batch.size(); ++b) {
      const auto turns = parse_turns(generated, static_cast<int64_t>(b), ids.text_pad, ids.text_bos,
                                     ids.text_eos, ids.codebook_size, config_.batch.silence);
      const int64_t last_step = (ends[b] - 1) / kStepSamples;
      std::string reply;
      double onset_ms = -1.0;
      for (const GeneratedTurn& turn : turns) {
        if (turn.bos_step < last_step - 1) {
          ++early;
          continue;
        }
        reply = decode(turn.tokens);
        if (turn.first_code_step >= 0)
          onset_ms =
              static_cast<double>((turn.first_code_step + 1) * kStepSamples - ends[b]) / 16.0;
        ended += turn.has_ended || turn.last_code_step + 1 == generated.text.size(1);
        break;
      }
      const bool is_right =
          !reply.empty() &&
          runtime::is_right(reply, read_answer_key(batch[b]->topic, batch[b]->key));
      answered += !reply.empty() && onset_ms >= 0.0;
      right += is_right;
      if (onset_ms >= 0.0) onsets.push_back(onset_ms);
      std::fprintf(stderr, "\n  %s %s -> %s  [%.0f ms]", is_right ? "+" : "-",
                   batch[b]->text.c_str(), reply.c_str(), onset_ms);
    }
  }
  std::fprintf(stderr, "\n");
  std::sort(onsets.begin(), onsets.end());
  const auto share = [&](int64_t count) {
    return static_cast<double>(count) / static_cast<double>(questions_.size());
  };
  metrics["answered"] = share(answered);
  metrics["right"] = share(right);
  metrics["ended"] = share(ended);
  metrics["early"] = share(early);
  metrics["onset_ms"] = onsets.empty() ? -1.0 : onsets[onsets.size() / 2];
  return metrics;
}

}  // namespace duet::train
