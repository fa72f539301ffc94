#include "runtime/engine/torch_engine.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <map>
#include <utility>

#include "runtime/core/error.h"

using namespace duet;
using engine::EngineParts;

namespace {

// A model that says what the "user" dictates. Text ids: 0 pad, 1 bos, 2 eos, then words. Of block
// t, sample 0 is the text id of step t, sample 1 whether its codes are control codes, sample 2 the
// CTC class (2: blank), sample 3 the logit of speaking.
constexpr int64_t kWidth = 16, kVocab = 8, kCodebooks = 2, kCodes = 5;
constexpr int64_t kSamples = 1920;

struct ScriptedEncoder : models::SpeechEncoder {
  struct Count : State {
    int64_t blocks = 0;
    at::Tensor waiting;
    std::unique_ptr<State> clone() const override { return std::make_unique<Count>(); }
    int64_t num_bytes() const override { return 0; }
  };
  int64_t chunk = 1;      // frames appear so many at a time
  int64_t fails_at = -1;  // block that throws
  std::unique_ptr<State> initial_state(int64_t) const override { return std::make_unique<Count>(); }
  void reset(State& state) const override {
    static_cast<Count&>(state).blocks = 0;
    static_cast<Count&>(state).waiting = at::Tensor();
  }
  at::Tensor forward(const at::Tensor&) const override { return {}; }
  at::Tensor step(const at::Tensor& pcm, State& state) const override {
    auto& count = static_cast<Count&>(state);
    if (count.blocks == fails_at) throw std::runtime_error("no more");
    at::Tensor frame = at::zeros({1, 1, kWidth});
    const auto dictated = [&](int64_t sample) {
      return static_cast<int64_t>(pcm[0][sample].item<float>());
    };
    frame[0][0][dictated(0)] = 5.0;
    frame[0][0][8 + dictated(1)] = 5.0;
    frame[0][0][10 + dictated(2)] = 5.0;
    frame[0][0][13] = pcm[0][3];
    count.waiting = count.waiting.defined() ? at::cat({count.waiting, frame}, 1) : frame;
    if (++count.blocks % chunk != 0) return at::zeros({1, 0, kWidth});
    return std::exchange(count.waiting, at::Tensor());
  }
  at::Tensor flush(State&) const override { return {}; }
  int64_t width() const override { return kWidth; }
  int64_t lookahead_samples() const override { return 200 + (chunk - 1) * 1280; }
  int64_t num_ctc_classes() const override { return 3; }
  at::Tensor ctc_logits(const at::Tensor& frames) const override {
    return frames.narrow(-1, 10, 3);
  }
  at::Tensor speaking_logit(const at::Tensor& frames) const override {
    return frames.select(-1, 13);
  }
};

// Every sample of frame t is (code of codebook 0) / 10 + t / 1000.
struct CountingCodec : codecs::CodecDecoder {
  struct Count : State {
    int64_t frames = 0;
    std::unique_ptr<State> clone() const override { return std::make_unique<Count>(); }
    int64_t num_bytes() const override { return 0; }
  };
  std::unique_ptr<State> initial_state(int64_t) const override { return std::make_unique<Count>(); }
  void reset(State& state) const override { static_cast<Count&>(state).frames = 0; }
  at::Tensor forward(const at::Tensor&) const override { return {}; }
  at::Tensor step(const at::Tensor& codes, State& state) const override {
    const double value = static_cast<double>(codes[0][0][0].item<int64_t>()) / 10.0 +
                         static_cast<double>(static_cast<Count&>(state).frames++) / 1000.0;
    return at::full({1, kSamples}, value, at::kFloat);
  }
  int64_t sample_rate_hz() const override { return 24000; }
  int64_t samples_per_frame() const override { return kSamples; }
  int64_t num_codebooks() const override { return kCodebooks; }
  int64_t codebook_size() const override { return kCodes; }
  int64_t overlap_samples() const override { return 720; }
};

struct WordTokenizer : models::Tokenizer {
  explicit WordTokenizer(std::vector<std::string> all) : words(std::move(all)) {}
  int64_t vocab_size() const override { return static_cast<int64_t>(words.size()); }
  std::vector<int64_t> encode(std::string_view text) const override {
    std::vector<int64_t> ids;
    std::string rest = ' ' + std::string(text);
    for (size_t id = 0; !rest.empty() && id < words.size(); ++id)
      if (!words[id].empty() && rest.starts_with(words[id])) {
        rest.erase(0, words[id].size());
        ids.push_back(static_cast<int64_t>(id));
        id = 0;
      }
    return ids;
  }
  std::string id_to_piece(int64_t id) const override { return words.at(static_cast<size_t>(id)); }
  std::optional<int64_t> piece_to_id(std::string_view) const override { return {}; }
  std::string bytes_of(int64_t id) const override { return words.at(static_cast<size_t>(id)); }
  bool strips_leading_space() const override { return true; }
  std::vector<std::string> words;
};

// The LM's layers add nothing; its heads read the dictation off the user frame. With `free` the
// layers are alive and what it says depends on all it heard.
struct ScriptedWeights : models::WeightReader {
  bool free = false;
  at::Tensor parameter(const std::string& name, at::IntArrayRef shape, models::Init init) override {
    if (init.kind == models::Init::Kind::kOnes) return at::ones(shape);
    at::Tensor value = at::zeros(shape);
    if (free) {
      const double phase = 0.3 * static_cast<double>(name.size());
      float* data = value.data_ptr<float>();
      for (int64_t i = 0; i < value.numel(); ++i)
        data[i] = static_cast<float>(std::sin(0.7 * static_cast<double>(i * i % 977) + phase));
      return value;
    }
    if (name == "lm_head.weight") value.narrow(1, 0, kVocab).copy_(at::eye(kVocab));
    if (name == "audio_head.weight") {  // codes 3 and 4, or the controls 5 and 6
      value[3][8] = 1.0;
      value[5][9] = 1.0;
      value[8 + 4][8] = 1.0;
      value[8 + 6][9] = 1.0;
    }
    return value;
  }
  at::Tensor buffer(const std::string&, at::IntArrayRef shape,
                    const std::function<at::Tensor()>&) override {
    return at::zeros(shape);
  }
  bool contains(const std::string&) const override { return true; }
  void finish() override {}
};

struct Options {
  bool free = false;
  int64_t chunk = 1, fails_at = -1;
  std::vector<int64_t> silence = {1, 2};
};

EngineParts make_parts(const Options& options = {}) {
  EngineParts parts;
  auto encoder = std::make_unique<ScriptedEncoder>();
  encoder->chunk = options.chunk;
  encoder->fails_at = options.fails_at;
  parts.encoder = std::move(encoder);
  models::DuplexLmConfig config;
  config.llm.hidden = kWidth;
  config.llm.layers = 1;
  config.llm.heads = config.llm.kv_heads = 2;
  config.llm.head_dim = 8;
  config.llm.intermediate = 16;
  config.llm.window = 6;
  config.text_vocab = kVocab;
  config.num_codebooks = kCodebooks;
  config.code_vocab = kCodes + 3;
  ScriptedWeights weights;
  weights.free = options.free;
  parts.lm = std::make_unique<models::DuplexLm>(config, models::WeightScope(weights));
  parts.codec = std::make_unique<CountingCodec>();
  parts.silence_codes = options.silence;
  parts.text_tokenizer = std::make_unique<WordTokenizer>(
      std::vector<std::string>{"<sil>", "<s>", "</s>", " hello", " there", " \xC3", "\xA9", "!"});
  parts.ctc_tokenizer = std::make_unique<WordTokenizer>(std::vector<std::string>{" yes", "ter"});
  parts.model_name = "scripted";
  return parts;
}

std::vector<float> block(int text, int control = 0, int ctc = 2, float speaking = 0.0F) {
  std::vector<float> samples(1280, 0.0F);
  samples[0] = static_cast<float>(text);
  samples[1] = static_cast<float>(control);
  samples[2] = static_cast<float>(ctc);
  samples[3] = speaking;
  return samples;
}

std::vector<runtime::StepOutput> run(runtime::Session& session,
                                     const std::vector<std::vector<float>>& blocks) {
  std::vector<runtime::StepOutput> all;
  for (const auto& one : blocks) session.step(one, all.emplace_back());
  return all;
}

bool same(const std::vector<runtime::StepOutput>& a, const std::vector<runtime::StepOutput>& b) {
  bool equal = a.size() == b.size();
  for (size_t i = 0; equal && i < a.size(); ++i)
    equal = a[i].pcm == b[i].pcm && a[i].codes == b[i].codes &&
            a[i].text_token == b[i].text_token && a[i].agent_text == b[i].agent_text &&
            a[i].user_text == b[i].user_text;
  return equal;
}

runtime::SessionOptions session_options(uint64_t seed, double temperature, bool greet = false) {
  runtime::SessionOptions options;
  options.seed = seed;
  options.temperature = temperature;
  options.greet = greet;
  return options;
}

const std::vector<std::vector<float>> kTurn = {block(0), block(1),    block(3), block(5, 1),
                                               block(6), block(2, 1), block(0), block(1),
                                               block(4), block(2)};

}  // namespace

TEST_CASE("the engine tells turns, text and codes of the model's own tokens", "[unit]") {
  const auto engine = engine::make_torch_engine(make_parts());
  CHECK(engine->info().output_block_samples == kSamples);
  CHECK(engine->info().codec_latency_samples == 720);
  CHECK(engine->info().has_user_text);
  CHECK(engine->info().has_user_activity);
  const auto session = engine->make_session({});
  const auto out = run(*session, kTurn);
  std::string text;
  std::vector<int> started, ended, tokens;
  for (size_t t = 0; t < out.size(); ++t) {
    text += out[t].agent_text + "|";
    if (out[t].agent_turn_started) started.push_back(static_cast<int>(t));
    if (out[t].agent_turn_ended) ended.push_back(static_cast<int>(t));
    tokens.push_back(out[t].text_token);
  }
  CHECK(text == "||hello| |\xC3\xA9||||there||");  // half a character waits for its other half
  CHECK(started == std::vector<int>{1, 7});
  CHECK(ended == std::vector<int>{5, 9});
  CHECK(tokens == std::vector<int>{0, 1, 3, 5, 6, 2, 0, 1, 4, 2});
  // Control codes are reported and heard back, and silence in the codec.
  CHECK(out[2].codes == std::vector<int>{3, 4});
  CHECK(out[3].codes == std::vector<int>{5, 6});
  CHECK(out[2].pcm[7] == Approx(0.302));
  CHECK(out[3].pcm[7] == Approx(0.103));
}

TEST_CASE("the engine reports what the encoder heard", "[unit]") {
  const auto engine = engine::make_torch_engine(make_parts());
  const auto session = engine->make_session({});
  const auto out =
      run(*session, {block(0, 0, 2), block(0, 0, 0, 2.0F), block(0, 0, 0), block(0, 0, 1),
                     block(0, 0, 2), block(0, 0, 0), block(0, 0, 2), block(0, 0, 0)});
  std::string heard;
  for (const auto& step : out) heard += step.user_text + "|";
  CHECK(heard == "| yes||ter|| yes|| yes|");  // repeats count once, unless a blank lies between
  CHECK(out[0].user_speaking == Approx(0.5));
  CHECK(out[1].user_speaking == Approx(1.0 / (1.0 + std::exp(-2.0))));
}

TEST_CASE("an encoder that gives two frames at a time costs one block of silence at the start",
          "[unit]") {
  const auto one = engine::make_torch_engine(make_parts());
  const auto two = engine::make_torch_engine(make_parts({.chunk = 2}));
  const auto a = run(*one->make_session({}), kTurn), b = run(*two->make_session({}), kTurn);
  CHECK(b[0].pcm == std::vector<float>(kSamples, 0.0F));
  for (size_t t = 1; t < b.size(); ++t) CHECK(b[t].pcm == a[t - 1].pcm);
  CHECK(b[1].agent_turn_started);  // both frames of the chunk, 0 and 1, are said in step 1
}

TEST_CASE("sessions: reset equals fresh, interleaved ones do not touch, the seed repeats",
          "[property]") {
  const auto engine = engine::make_torch_engine(make_parts({.free = true}));
  const double temperature = GENERATE(0.0, 1.5);
  const runtime::SessionOptions options = session_options(3, temperature);
  std::vector<std::vector<float>> blocks, other;
  for (int t = 0; t < 20; ++t) {  // past the window of 6
    blocks.push_back(block(t % 8, t % 2, t % 3));
    other.push_back(block((t * 5 + 1) % 8, 1, 2));
  }
  const auto session = engine->make_session(options);
  const auto want = run(*session, blocks);
  std::map<int, int> tokens;
  for (const auto& step : want) ++tokens[step.text_token];
  CHECK(tokens.size() > 1);  // it does say something
  session->reset();
  CHECK(same(run(*session, blocks), want));
  const auto a = engine->make_session(options), b = engine->make_session(options);
  std::vector<runtime::StepOutput> got;
  for (size_t t = 0; t < blocks.size(); ++t) {
    got.push_back(run(*a, {blocks[t]})[0]);
    run(*b, {other[t]});
  }
  CHECK(same(got, want));
  if (temperature > 0.0)
    CHECK_FALSE(same(run(*engine->make_session(session_options(4, temperature)), blocks), want));
}

TEST_CASE("a step equals encoder, LM, argmax and codec by hand", "[unit]") {
  const Options options{.free = true, .silence = {}};
  const EngineParts parts = make_parts(options);
  const auto engine = engine::make_torch_engine(make_parts(options));
  const auto session = engine->make_session({});
  const c10::InferenceMode inference;
  const auto encoder = parts.encoder->initial_state(1);
  auto lm = parts.lm->initial_state(1);
  const auto codec = parts.codec->initial_state(1);
  auto heard = parts.lm->initial_tokens(1);
  at::Tensor first;
  for (int t = 0; t < 15; ++t) {
    const auto samples = block(t % 8, t % 2, t % 3);
    const auto out = run(*session, {samples})[0];
    const at::Tensor frame = parts.encoder->step(at::tensor(samples).unsqueeze(0), *encoder);
    const auto logits = parts.lm->step(frame, heard, lm);
    heard = {logits.text.argmax(-1), logits.audio.argmax(-1)};
    if (t == 0) first = heard.codes;
    const at::Tensor decoded = at::where(heard.codes.ge(kCodes), first, heard.codes);
    const at::Tensor pcm = parts.codec->step(decoded.unsqueeze(2), *codec).clamp(-1, 1);
    CHECK(out.text_token == heard.text.item<int64_t>());
    for (int64_t k = 0; k < kCodebooks; ++k)
      CHECK(out.codes[static_cast<size_t>(k)] == heard.codes[0][k].item<int64_t>());
    CHECK(at::equal(at::tensor(out.pcm), pcm[0]));
  }
}

TEST_CASE("greeting: the agent opens the first turn only when asked", "[unit]") {
  const auto engine = engine::make_torch_engine(make_parts());
  const auto quiet = run(*engine->make_session({}), {block(0), block(0)});
  CHECK_FALSE(quiet[0].agent_turn_started);
  const auto session = engine->make_session(session_options(0, 0.0, true));
  const auto out = run(*session, {block(0), block(3)});
  CHECK(out[0].agent_turn_started);
  CHECK(out[0].text_token == 1);
  CHECK(out[1].agent_text == "hello");
  session->reset();
  CHECK(run(*session, {block(0)})[0].agent_turn_started);
}

TEST_CASE("a turn ends when asked, and given words are said until the model ends or yields",
          "[unit]") {
  const auto engine = engine::make_torch_engine(make_parts());
  CHECK(engine->info().can_say);
  const auto session = engine->make_session({});
  session->end_turn();  // Nothing to end.
  run(*session, {block(1), block(3)});
  session->end_turn();
  const auto ended = run(*session, {block(4), block(0)});
  CHECK(ended[0].text_token == 2);
  CHECK(ended[0].agent_turn_ended);
  CHECK(ended[1].text_token == 0);

  session->say("hello there");
  // The model's own words (3) are not said, not even after the given ones; its end is.
  const auto said = run(*session, {block(0), block(3), block(0), block(3), block(2), block(3)});
  std::vector<int> tokens;
  for (const auto& step : said) tokens.push_back(step.text_token);
  CHECK(tokens == std::vector<int>{1, 3, 4, 0, 2, 3});
  CHECK(said[0].agent_turn_started);
  CHECK(said[4].agent_turn_ended);

  session->reset();
  run(*session, {block(1), block(4)});
  session->say("hello there");  // While it speaks: that turn ends first.
  const auto cut = run(*session, {block(0), block(0), block(2), block(0)});
  CHECK(cut[0].agent_turn_ended);
  CHECK(cut[1].agent_turn_started);
  CHECK(cut[2].agent_turn_ended);  // The model yields: the words are dropped.
  CHECK(cut[3].text_token == 0);
}

TEST_CASE("a failed step poisons its session alone, reset heals", "[unit]") {
  const auto engine = engine::make_torch_engine(make_parts({.fails_at = 2}));
  const auto session = engine->make_session({}), other = engine->make_session({});
  const auto want = run(*session, {block(1), block(3)});
  runtime::StepOutput out;
  CHECK_THROWS_WITH(session->step(block(0), out), "step 2: no more");
  CHECK(session->poisoned());
  CHECK_THROWS_AS(session->step(block(0), out), runtime::StepError);
  CHECK(same(run(*other, {block(1), block(3)}), want));
  session->reset();
  CHECK(same(run(*session, {block(1), block(3)}), want));
}

TEST_CASE("parts that do not fit together are refused by name", "[unit]") {
  EngineParts parts = make_parts({.silence = {1}});
  CHECK_THROWS_WITH(engine::make_torch_engine(std::move(parts)),
                    "silence_codes: expected 2 (one per codebook), found 1");
  parts = make_parts();
  parts.ctc_tokenizer = std::make_unique<WordTokenizer>(std::vector<std::string>{"a"});
  CHECK_THROWS_WITH(
      engine::make_torch_engine(std::move(parts)),
      "ctc_tokenizer pieces: expected 2 (CTC classes of the encoder but the blank), found 1");
  parts = make_parts();
  parts.sampler.text_eos = 8;
  CHECK_THROWS_AS(engine::make_torch_engine(std::move(parts)), core::ConfigError);
  const auto engine = engine::make_torch_engine(make_parts());
  CHECK_THROWS_AS(engine->make_session(session_options(0, 3.0)), core::ConfigError);
}

TEST_CASE("sessions stepped together are each what they are alone", "[engine]") {
  const int64_t chunk = GENERATE(1, 2);
  const auto engine = engine::make_torch_engine(make_parts({.free = true, .chunk = chunk}));
  constexpr size_t kCount = 3;
  std::vector<std::vector<runtime::StepOutput>> alone, together(kCount);
  std::vector<std::unique_ptr<runtime::Session>> sessions;
  const auto blocks_of = [](size_t i) {
    std::vector<std::vector<float>> blocks;
    for (int t = 0; t < 16; ++t)
      blocks.push_back(
          block((t + static_cast<int>(i)) % 8, 0, t % 3, 0.1F * static_cast<float>(i)));
    return blocks;
  };
  for (size_t i = 0; i < kCount; ++i) {
    alone.push_back(run(*engine->make_session(session_options(i, 0.8)), blocks_of(i)));
    sessions.push_back(engine->make_session(session_options(i, 0.8)));
    for (size_t t = 0; t < 2 * i; ++t)  // each at another place
      sessions[i]->step(blocks_of(i)[t], together[i].emplace_back());
  }
  for (size_t t = 0; t < 12; ++t) {
    std::vector<std::vector<float>> blocks;
    std::vector<runtime::StepOutput> out(kCount);
    std::vector<runtime::StepJob> jobs;
    for (size_t i = 0; i < kCount; ++i) blocks.push_back(blocks_of(i)[t + 2 * i]);
    for (size_t i = 0; i < kCount; ++i) jobs.push_back({sessions[i].get(), blocks[i], &out[i], {}});
    engine->step_together(jobs);
    for (size_t i = 0; i < kCount; ++i) {
      CHECK(jobs[i].error.empty());
      together[i].push_back(out[i]);
    }
  }
  for (size_t i = 0; i < kCount; ++i) {
    alone[i].resize(together[i].size());
    CHECK(same(alone[i], together[i]));
    CHECK(sessions[i]->num_steps() == static_cast<int64_t>(together[i].size()));
  }
}

TEST_CASE("a session that cannot be stepped harms none beside it", "[engine]") {
  const auto engine = engine::make_torch_engine(make_parts());
  const auto good = engine->make_session({}), bad = engine->make_session({}),
             short_block = engine->make_session({});
  const std::vector<float> fine = block(1), few(7, 0.0F);
  std::vector<float> poison = block(1);
  poison[900] = std::nanf("");
  std::vector<runtime::StepOutput> out(3);
  std::vector<runtime::StepJob> jobs = {{bad.get(), poison, &out[0], {}},
                                        {good.get(), fine, &out[1], {}},
                                        {short_block.get(), few, &out[2], {}}};
  engine->step_together(jobs);
  CHECK(jobs[0].error == "step 0: a sample of the input block is not finite");
  CHECK(jobs[1].error.empty());
  CHECK(out[1].agent_turn_started);
  CHECK(jobs[2].error == "step 0: expected a block of 1280 samples, found 7");
  CHECK(bad->poisoned());
  CHECK_FALSE(good->poisoned());
  engine->step_together(jobs);
  CHECK(jobs[0].error == "step 0: the session is poisoned by an earlier failure; reset it first");
}

TEST_CASE("what fails in a shared stage fails for all in it, by name", "[engine]") {
  const auto engine = engine::make_torch_engine(make_parts({.fails_at = 0}));
  const auto one = engine->make_session({});
  const std::vector<float> fine = block(1);
  runtime::StepOutput out;
  std::vector<runtime::StepJob> jobs = {{one.get(), fine, &out, {}}};
  engine->step_together(jobs);
  CHECK(jobs[0].error == "step 0: no more");
  CHECK(one->poisoned());
}
