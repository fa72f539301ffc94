#include "tools/train/duplex_material.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <filesystem>

#include "audio/audio_file.h"
#include "models/weights/safetensors.h"
#include "runtime/core/error.h"
#include "tests/support/temp_dir.h"

using namespace duet;
using namespace duet::train;
using support::TempDir;

namespace {

constexpr int64_t kRateHz = 24000, kFrame = 1920, kMark = 99;

/// Two codes a frame: 1000 times the frame's peak, and one more. The first and last frame are
/// kMark, so that whoever takes silence from an edge is found out. Counts its calls.
class PeakCodec : public codecs::CodecEncoder {
 public:
  at::Tensor forward(const at::Tensor& pcm) const override {
    ++num_calls;
    const int64_t frames = (pcm.size(1) + kFrame - 1) / kFrame;
    const at::Tensor peaks = at::constant_pad_nd(pcm, {0, frames * kFrame - pcm.size(1)})
                                 .view({-1, kFrame})
                                 .abs()
                                 .amax(-1);
    at::Tensor codes = (peaks * 1000.0).round().to(at::kLong);
    codes = at::stack({codes, codes + 1}, 0);
    codes.select(1, 0).fill_(kMark);
    codes.select(1, frames - 1).fill_(kMark);
    return codes.unsqueeze(0);
  }
  at::Tensor latents(const at::Tensor& pcm) const override { return pcm; }
  mutable int num_calls = 0;
};

void write_tone(const TempDir& dir, const std::string& name, double seconds, double amplitude) {
  std::vector<float> samples(static_cast<size_t>(seconds * 16000.0) + 3200, 0.0F);  // 0.1 s around
  for (size_t i = 1600; i + 1600 < samples.size(); ++i)
    samples[i] = static_cast<float>(amplitude * std::sin(0.3 * static_cast<double>(i)));
  audio::write_wav_file(dir.file(name), samples, 16000);
}

std::string line(const std::string& role, const std::string& text, const std::string& file,
                 const std::string& more = "") {
  return R"({"role":")" + role + R"(","text":")" + text + R"(","file":")" + file + "\"" +
         (more.empty() ? "" : "," + more) + "}\n";
}

/// Two users (one held out), two replies, a script of either split.
MaterialConfig write_set(const TempDir& dir) {
  write_tone(dir, "u.wav", 1.0, 0.5);
  write_tone(dir, "a.wav", 1.0, 0.5);
  write_tone(dir, "b.wav", 0.6, 0.25);
  dir.write("m.jsonl", line("user", "How are you?", "u.wav", R"("topic":"chat","reply":"Fine.")") +
                           line("user", "Who are you?", "u.wav", R"("split":"heldout")") +
                           line("agent", "Fine.", "a.wav") + line("agent", "I am duet.", "b.wav"));
  dir.write("s.jsonl", R"({"turns":[{"topic":"t","text":"Hi.","reply":"Hello."}]})"
                       "\n"
                       R"({"split":"heldout","turns":[{"text":"No.","reply":"Yes."}]})"
                       "\n");
  MaterialConfig config;
  config.manifests = {dir.file("m.jsonl")};
  config.scripts = {dir.file("s.jsonl")};
  config.cache_dir = dir.file("cache");
  return config;
}

const models::SentencePieceModel& pieces() {
  static const models::SentencePieceModel model(DUET_SOURCE_DIR
                                                "/tests/data/tokenizer/sentencepiece.model");
  return model;
}

DialogueMaterial load(const MaterialConfig& config, const PeakCodec& codec,
                      const std::string& name = "peak-1") {
  return load_material(config, pieces(), codec, kRateHz, name);
}

Utterance user(const char* text, const char* topic = "", const char* reply = "",
               const char* split = "train") {
  Utterance out;
  out.role = "user";
  out.text = text;
  out.topic = topic;
  out.reply = reply;
  out.split = split;
  return out;
}

}  // namespace

TEST_CASE("material: users to train on, replies as tokens and codes, scripts, silence", "[unit]") {
  const TempDir dir;
  const PeakCodec codec;
  std::string told;
  const DialogueMaterial material =
      load_material(write_set(dir), pieces(), codec, kRateHz, "peak-1",
                    [&](const std::string& text) { told += text + "\n"; });
  REQUIRE(material.users.size() == 1);
  CHECK(material.users[0].text == "How are you?");
  // 1 s of sound at 16 kHz, trimmed but for the edges.
  CHECK(static_cast<double>(material.users[0].samples.size()) == Approx(16640).margin(640));
  REQUIRE(material.agents.size() == 2);
  for (const AgentClip& clip : material.agents) {
    INFO(clip.text);
    const bool is_first = clip.text == "Fine.";
    const double seconds = is_first ? 1.0 : 0.6;
    // 30 ms are kept on both sides.
    CHECK(static_cast<double>(clip.samples.size()) ==
          Approx((seconds + 0.06) * 16000.0).margin(640));
    CHECK(clip.num_frames == (is_first ? 14 : 9));  // 13.25 and 8.25 of 80 ms
    REQUIRE(static_cast<int64_t>(clip.codes.size()) == 2 * clip.num_frames);
    CHECK(clip.codes[2] == Approx(is_first ? 500 : 250).margin(10));
    CHECK(clip.codes[static_cast<size_t>(clip.num_frames) + 2] == clip.codes[2] + 1);
    const std::vector<int> ids = pieces().encode(clip.text);
    CHECK(std::equal(clip.tokens.begin(), clip.tokens.end(), ids.begin(), ids.end()));
  }
  REQUIRE(material.scripts.size() == 1);
  CHECK(material.scripts[0].turns.at(0).reply == "Hello.");
  CHECK(material.silence == std::vector<int64_t>{0, 1});
  CHECK_THAT(told,
             Catch::Contains("1 user utterances") && Catch::Contains("2 replies, 2 newly encoded"));
}

TEST_CASE("codes come from the cache until codec or recording change", "[unit]") {
  const TempDir dir;
  const MaterialConfig config = write_set(dir);
  const PeakCodec first, again, other, changed, broken, bare;
  const DialogueMaterial want = load(config, first);
  CHECK(first.num_calls == 3);  // two replies and silence
  const DialogueMaterial got = load(config, again);
  CHECK(again.num_calls == 1);
  REQUIRE(got.agents.size() == 2);
  for (size_t i = 0; i < 2; ++i) {
    CHECK(got.agents[i].codes == want.agents[i].codes);
    CHECK(got.agents[i].num_frames == want.agents[i].num_frames);
    CHECK(got.agents[i].samples == want.agents[i].samples);
  }
  load(config, other, "peak-2");
  CHECK(other.num_calls == 3);

  write_tone(dir, "b.wav", 0.8, 0.75);
  const DialogueMaterial longer = load(config, changed, "peak-2");
  CHECK(changed.num_calls == 2);
  CHECK(longer.agents.at(1).codes.at(2) == Approx(750).margin(15));

  // A file cut short: what is whole is used.
  const std::filesystem::path file = dir.file("cache/agent.codes");
  std::filesystem::resize_file(file, std::filesystem::file_size(file) - 1);
  const DialogueMaterial repaired = load(config, broken, "peak-2");
  CHECK(broken.num_calls == 2);
  CHECK(repaired.agents.at(0).codes == want.agents[0].codes);

  MaterialConfig uncached = config;
  uncached.cache_dir.clear();
  CHECK(load(uncached, bare).agents.size() == 2);
  CHECK(bare.num_calls == 3);
}

TEST_CASE("material without its files says which", "[unit]") {
  const TempDir dir;
  MaterialConfig config = write_set(dir);
  config.scripts = {dir.file("none.jsonl")};
  CHECK_THROWS_WITH(load(config, PeakCodec{}), Catch::Contains("none.jsonl"));
  config.manifests = {dir.file("missing.jsonl")};
  CHECK_THROWS_WITH(load(config, PeakCodec{}), Catch::Contains("missing.jsonl"));
}

TEST_CASE("nothing that is held out is trained on", "[unit]") {
  const TempDir dir;
  dir.write("m.jsonl",
            line("user", "Seven plus five?", "x",
                 R"("split":"heldout","topic":"sum","reply":"Twelve.")") +
                line("user", "Uh-huh.", "x", R"("split":"heldout","topic":"backchannel")") +
                line("user", "A tea.", "x",
                     R"("split":"heldout","topic":"correction","reply":"A small tea.")") +
                line("user", "What is a whale?", "x",
                     R"("split":"heldout","topic":"fact","reply":"An animal.")") +
                line("agent", "Six plus six?", "x", R"("split":"heldout")"));
  const auto kept = without_heldout(
      {
          user("Seven plus five?", "sum", "Other."),         // the text is held out
          user("Six plus six?", "sum", "Twelve."),           // the composed reply is held out
          user("Six and six, please?", "order", "Twelve."),  // in another composed topic too
          user("Uh-huh.", "backchannel"),                    // everybody says it
          user("A small tea!", "order", "A small tea."),  // a correction's reply holds nothing out
          user("Tell me a fact.", "fact", "An animal."),  // facts are not composed
          user("Six and six.", "chat", "Twelve."),        // neither is chat
          user("Five.", "chat", "Six.", "heldout"),       // held out itself
      },
      {dir.file("m.jsonl")});
  std::vector<std::string> texts;
  for (const Utterance& item : kept) texts.push_back(item.text);
  CHECK(texts ==
        std::vector<std::string>{"Uh-huh.", "A small tea!", "Tell me a fact.", "Six and six."});
}

TEST_CASE("the agent's tokenizer sees its texts, replies to train on, letters, digits", "[unit]") {
  const TempDir dir;
  dir.write("m.jsonl", line("agent", "I am duet.", "x") + line("agent", "I am duet.", "y") +
                           line("user", "Who?", "x", R"("reply":"Me.")") +
                           line("user", "When?", "x", R"("split":"heldout","reply":"Never.")"));
  const std::vector<std::string> texts = agent_tokenizer_texts({dir.file("m.jsonl")});
  const auto count = [&](const char* text) { return std::count(texts.begin(), texts.end(), text); };
  CHECK(count("I am duet.") == 1);
  CHECK(count("Me.") == 1);
  CHECK(count("Who?") == 0);
  CHECK(count("Never.") == 0);
  for (const char* text : {"A", "Z,", "z.", "0", "9"}) CHECK(count(text) == 1);
  CHECK(texts.size() == 2 + 6 * 26 + 10);
}

TEST_CASE("a codec's weights come from the codec trainer or from a model directory", "[unit]") {
  const TempDir folder;
  const auto write = [&](const char* name, const duet::models::TensorMap& tensors) {
    const std::string path = folder.file(name);
    duet::models::save_safetensors(path, tensors);
    return path;
  };
  const at::Tensor codec = at::full({2}, 1.5), speech = at::full({2}, 2.5);
  const auto trained = read_codec_weights(
      write("codec.safetensors",
            {{"encoder.a", codec}, {"decoder.b", codec}, {"optimizer.m.encoder.a", speech}}));
  CHECK(trained.size() == 2);
  CHECK(trained.at("encoder.a").equal(codec));
  // The speech encoder of a model directory has the codec's name elsewhere.
  const auto bundled = read_codec_weights(write("model.safetensors", {{"codec.encoder.a", codec},
                                                                      {"codec.decoder.b", codec},
                                                                      {"encoder.a", speech},
                                                                      {"lm.c", speech}}));
  CHECK(bundled.size() == 2);
  CHECK(bundled.at("encoder.a").equal(codec));
  CHECK(bundled.count("decoder.b") == 1);
}

TEST_CASE("composed replies: units in context, in the place of recordings of the same words",
          "[unit]") {
  const TempDir dir;
  MaterialConfig config = write_set(dir);
  const auto write_unit = [&](const std::string& name, float amplitude, int64_t frames) {
    std::vector<float> samples(static_cast<size_t>(frames * kFrame));
    for (size_t i = 0; i < samples.size(); ++i)
      samples[i] = amplitude * std::sin(0.3F * static_cast<float>(i));
    audio::write_wav_file(dir.file(name), samples, static_cast<int>(kRateHz));
  };
  write_unit("x.wav", 0.5F, 3);
  write_unit("y.wav", 0.25F, 2);
  const auto unit = [](const std::string& id, const std::string& text, const std::string& file) {
    return line("unit", text, file, R"("id":")" + id + "\"");
  };
  dir.write("units.jsonl", unit("x", "I am", "x.wav") + unit("y", "duet.", "y.wav"));
  dir.write("composed.jsonl", R"({"text":"I am duet.","units":["x","y"]})"
                              "\n"
                              R"({"text":"duet. I am","units":["y","x"]})"
                              "\n");
  config.units = {dir.file("units.jsonl")};
  config.composed = {dir.file("composed.jsonl")};
  const PeakCodec codec;
  const DialogueMaterial material = load(config, codec);
  REQUIRE(material.units.size() == 2);
  REQUIRE(material.agents.size() == 3);  // "Fine." and two composed ones; no recording of the first
  const AgentClip& clip = material.agents[1];
  CHECK(clip.text == "I am duet.");
  CHECK(clip.num_frames == 5);
  CHECK(clip.units == std::vector<uint32_t>{0, 1});
  const std::vector<int> ids = pieces().encode("I am duet.");
  CHECK(std::equal(clip.tokens.begin(), clip.tokens.end(), ids.begin(), ids.end()));
  // The codec marks the edges of what it is given: those of the reply only, not of its units.
  const std::vector<int> want = {kMark, 500, 500, 250, kMark};
  for (size_t i = 0; i < want.size(); ++i) CHECK(clip.codes[i] == Approx(want[i]).margin(10));
  const std::vector<int> other = {kMark, 250, 500, 500, kMark};
  for (size_t i = 0; i < other.size(); ++i)
    CHECK(material.agents[2].codes[i] == Approx(other[i]).margin(10));

  dir.write("composed.jsonl", R"({"text":"I","units":["x","z"]})"
                              "\n");
  CHECK_THROWS_WITH(load(config, codec),
                    Catch::Contains("composed.jsonl:1") && Catch::Contains("\"z\""));
}
