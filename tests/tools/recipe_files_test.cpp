// Recipes that name files which are not there say so at once: before data, before anything is
// written.
#include <catch2/catch.hpp>
#include <filesystem>

#include "runtime/core/error.h"
#include "tests/support/capture.h"
#include "tests/support/temp_dir.h"
#include "tests/support/temporary_folder.h"
#include "tools/train/recipe.h"

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
    told = duet::testing::error_of<duet::core::ConfigError>([&] { stage(options); });
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
  const std::string told = duet::testing::error_of<duet::core::ConfigError>([&] {
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
