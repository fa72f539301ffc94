#include "tools/train/duplex_generate.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <cmath>

#include "runtime/core/error.h"
#include "tools/train/augment.h"
#include "tools/train/dialogue.h"

namespace duet::train {

Generated generate(const models::DuplexLm& lm, const at::Tensor& user) {
  const c10::InferenceMode inference;
  const int64_t batch = user.size(0), steps = user.size(1);
  models::DuplexLm::State state = lm.initial_state(batch);
  models::DuplexLm::Tokens heard = lm.initial_tokens(batch);
  std::vector<at::Tensor> text, codes;
  for (int64_t t = 0; t < steps; ++t) {
    const auto logits = lm.step(user.narrow(1, t, 1), heard, state);
    heard = {logits.text.argmax(-1), logits.audio.argmax(-1)};
    text.push_back(heard.text);
    codes.push_back(heard.codes);
  }
  return {at::stack(text, 1), at::stack(codes, 2)};
}

std::vector<GeneratedTurn> parse_turns(const Generated& generated, int64_t b, int64_t text_pad,
                                       int64_t text_bos, int64_t text_eos, int64_t codebook_size,
                                       const std::vector<int64_t>& silence) {
  const at::Tensor text = generated.text[b].contiguous(), codes = generated.codes[b].contiguous();
  const int64_t steps = text.size(0), books = codes.size(0);
  DUET_CHECK(books == static_cast<int64_t>(silence.size()));
  const int64_t* tokens = text.data_ptr<int64_t>();
  const int64_t* code = codes.data_ptr<int64_t>();
  std::vector<GeneratedTurn> turns;
  for (int64_t t = 0; t < steps; ++t) {
    if (tokens[t] == text_bos) {
      turns.emplace_back();
      turns.back().bos_step = t;
    } else if (!turns.empty() && tokens[t] == text_eos) {
      turns.back().has_ended = true;
    } else if (!turns.empty() && tokens[t] != text_pad && !turns.back().has_ended) {
      turns.back().tokens.push_back(tokens[t]);
    }
    bool is_sound = false;  // like the runtime's playback: a control id stands for silence
    for (int64_t k = 0; k < books; ++k) {
      const int64_t value = code[k * steps + t];
      is_sound |= value != silence[static_cast<size_t>(k)] && value < codebook_size;
    }
    if (is_sound && !turns.empty()) {
      if (turns.back().first_code_step < 0) turns.back().first_code_step = t;
      turns.back().last_code_step = t;
    }
  }
  return turns;
}

at::Tensor batch_questions(const std::vector<const Utterance*>& questions, double lead_s,
                           double tail_s, double level_db, std::vector<int64_t>& ends) {
  const auto lead = static_cast<int64_t>(lead_s * 16000.0),
             tail = static_cast<int64_t>(tail_s * 16000.0);
  int64_t longest = 0;
  for (const Utterance* question : questions)
    longest = std::max(longest, static_cast<int64_t>(question->samples.size()));
  const int64_t steps = (lead + longest + tail + kStepSamples - 1) / kStepSamples;
  at::Tensor pcm = at::zeros({static_cast<int64_t>(questions.size()), steps * kStepSamples});
  ends.clear();
  for (size_t b = 0; b < questions.size(); ++b) {
    std::vector<float> samples = to_float(questions[b]->samples);
    const double level = speech_level(samples);
    if (level > 0.0) scale(samples, std::pow(10.0, level_db / 20.0) / level);
    std::copy(samples.begin(), samples.end(),
              pcm[static_cast<int64_t>(b)].data_ptr<float>() + lead);
    ends.push_back(lead + static_cast<int64_t>(samples.size()));
  }
  return pcm;
}

}  // namespace duet::train
