// Recipes that name files which are not there say so at once: before data, before anything is
// written.
#include <catch2/catch.hpp>
#include <cmath>
#include <filesystem>

#include "audio/audio_file.h"
#include "runtime/core/error.h"
#include "tests/support/capture.h"
#include "tests/support/temp_dir.h"
#include "tools/train/recipe.h"
#include "tools/train/speech_set.h"

using namespace duet::train;
using Catch::Contains;
using duet::support::TempDir;

namespace {

/// What `stage` complains about; nothing may be printed and no output folder made.
std::string refusal(const TempDir& dir, int (*stage)(const RecipeOptions&), const std::string& yaml,
                    const std::vector<std::string>& overrides = {}) {
  RecipeOptions options;
  options.config = dir.write("recipe.yaml", "out: " + dir.file("out") + "\n" + yaml);
  options.overrides = overrides;
  std::string told;
  const auto printed = duet::test::capture([&] {
    told = duet::support::error_of<duet::core::ConfigError>([&] { stage(options); });
    return 0;
  });
  CHECK(printed.err.empty());
  CHECK_FALSE(std::filesystem::exists(dir.file("out")));
  CHECK_THAT(told, Contains("recipe.yaml"));
  return told;
}

/// A manifest whose one recording is not there: reading it would be another error.
std::string manifests(const TempDir& dir) {
  return "[" + dir.write("m.jsonl", R"({"role":"user","text":"x","file":"none.wav"})") + "]";
}

}  // namespace

TEST_CASE("require_files names every key whose file is missing, and only those", "[unit]") {
  const TempDir dir;
  const auto config = duet::core::ConfigReader::load_file(dir.write("recipe.yaml", "a: 1\n"));
  CHECK_NOTHROW(
      require_files(config, {{"a", ""}, {"b", dir.file("recipe.yaml")}, {"c", dir.path()}}));
  const std::string told = duet::support::error_of<duet::core::ConfigError>([&] {
    require_files(config, {{"a", dir.file("x")}, {"b", dir.path()}, {"c", dir.file("y")}});
  });
  CHECK(told == "a, c: expected a file that is there, found no " + dir.file("x") + ", no " +
                    dir.file("y") + " in " + dir.file("recipe.yaml"));
}

TEST_CASE("duet train duplex: missing files", "[unit]") {
  const TempDir dir;
  const std::string yaml =
      "ctc_pieces: " + dir.file("ctc.model") + "\ndata: {manifests: " + manifests(dir) + "}\n";
  CHECK_THAT(refusal(dir, train_duplex, yaml),
             Contains("ctc_pieces: expected a file") && Contains(dir.file("ctc.model")));
  dir.write("ctc.model", "");
  for (const char* key : {"encoder_weights", "codec_weights", "start_from"})
    CHECK_THAT(refusal(dir, train_duplex, yaml, {key + std::string("=/no/such/file")}),
               Contains(key + std::string(": expected a file")) && Contains("/no/such/file"));
  CHECK_THAT(refusal(dir, train_duplex, yaml, {"data.manifests=[/no/such/m.jsonl]"}),
             Contains("data.manifests: ") && Contains("/no/such/m.jsonl"));
  CHECK_THAT(refusal(dir, train_duplex, yaml, {"data.scripts=[/no/such/s.jsonl]"}),
             Contains("data.scripts: "));
}

TEST_CASE("duet train encoder, codec, codes, export: missing files", "[unit]") {
  const TempDir dir;
  const std::string part = "[{manifests: " + manifests(dir) + "}]";
  const std::string data =
      "data: {train: " + part + ", heldout: " + part + ", encode: " + part + "}\n";
  const std::string no_heldout =
      "data: {train: " + part + ", heldout: [{manifests: [/no/h.jsonl]}]}\n";
  const std::string no_encode = "data: {encode: [{manifests: [/no/e.jsonl]}]}\n";
  const std::string training = "data: {train: " + part + ", heldout: " + part + "}\n";
  CHECK_THAT(refusal(dir, train_encoder, training + "whisper: /no/whisper\n"),
             Contains("whisper: expected a file") && Contains("/no/whisper"));
  CHECK_THAT(refusal(dir, train_encoder, no_heldout),
             Contains("data.heldout") && Contains("/no/h.jsonl"));
  CHECK_THAT(refusal(dir, train_codec, data + "initial: /no/codec\n"),
             Contains("initial: ") && Contains("/no/codec"));
  CHECK_THAT(refusal(dir, train_codec, no_heldout),
             Contains("data.heldout") && Contains("/no/h.jsonl"));
  CHECK_THAT(refusal(dir, encode_code_set, data + "initial: /no/codec\n"),
             Contains("initial: ") && Contains("/no/codec"));
  CHECK_THAT(refusal(dir, encode_code_set, no_encode + "initial: " + dir.file("m.jsonl")),
             Contains("data.encode") && Contains("/no/e.jsonl"));
  CHECK_THAT(refusal(dir, train_export,
                     "duplex: /no/d\ncodec: /no/c\ntokenizer: /no/t\nctc_pieces: /no/p\n"
                     "recipe: /no/r\nname: x\n"),
             Contains("duplex, codec, tokenizer, ctc_pieces, recipe: expected a file that is "
                      "there, found no /no/d, no /no/c, no /no/t, no /no/p, no /no/r"));
}

TEST_CASE("the shipped codec recipe: a step on recordings and composed replies, then samples",
          "[unit]") {
  const TempDir dir;
  constexpr int kRate = 24000, kFrame = 1920;
  std::vector<float> tone(4 * kFrame);
  for (size_t i = 0; i < tone.size(); ++i) tone[i] = 0.5F * std::sin(0.1F * static_cast<float>(i));
  duet::audio::write_wav_file(dir.file("a.wav"), tone, kRate);
  dir.write("m.jsonl", R"({"id":"a","role":"agent","text":"A tone.","file":"a.wav"})"
                       "\n");
  dir.write("units.jsonl", R"({"id":"u","role":"unit","text":"A tone","file":"a.wav"})"
                           "\n");
  dir.write("composed.jsonl", R"({"text":"A tone A tone","units":["u","u"]})"
                              "\n");
  const std::string composed = "{manifests: [" + dir.file("units.jsonl") +
                               "], composed: " + dir.file("composed.jsonl") + ", per_unit: 2}";
  RecipeOptions options;
  options.config = DUET_SOURCE_DIR "/configs/train/codec.yaml";
  options.out_dir = dir.file("out");
  // The sizes of segments are the recipe's own; the network and the batch are small for speed.
  options.overrides = {
      "data.train=[{manifests: [" + dir.file("m.jsonl") + "]}, " + composed + "]",
      "data.heldout=[" + composed + "]",
      "codec={encoder_width: 16, encoder_blocks: 1, decoder_width: 16, decoder_frame_blocks: 1, "
      "decoder_hop_blocks: 1}",
      "batch_size=1",
      "adversarial_from=0",
      "discriminator_channels=4",
      "loop.max_steps=1"};
  const auto quietly = [&](int (*stage)(const RecipeOptions&)) {
    int code = -1;
    duet::test::capture([&] { return code = stage(options); });
    return code;
  };
  REQUIRE(quietly(train_codec) == 0);
  options.overrides.push_back("initial=" + dir.file("out/codec.safetensors"));
  options.out_dir = dir.file("samples");
  REQUIRE(quietly(write_codec_samples) == 0);
  CHECK(TempDir::read(dir.file("samples/samples.jsonl")) ==
        "{\"decoded\":\"0-decoded.wav\",\"original\":\"0-original.wav\",\"text\":\"A tone A "
        "tone\"}\n");
  const auto original = read_audio_mono(dir.file("samples/0-original.wav"), kRate),
             decoded = read_audio_mono(dir.file("samples/0-decoded.wav"), kRate);
  REQUIRE(original.size() == kRate + 2 * tone.size());
  CHECK(original[kRate / 2 + 100] == Approx(tone[100]).margin(1e-4));
  CHECK(original[kRate / 2 + tone.size() + 100] == Approx(tone[100]).margin(1e-4));
  CHECK(decoded.size() >= original.size());
}
