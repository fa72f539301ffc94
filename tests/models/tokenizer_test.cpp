#include "models/tokenizer.h"

#include <catch2/catch.hpp>
#include <functional>
#include <nlohmann/json.hpp>

#include "models/tokenizer_bpe.h"
#include "models/utf8.h"
#include "runtime/core/error.h"
#include "tests/support/temp_dir.h"

using namespace duet::models;
using duet::core::LoadError;
using duet::support::error_of;
using duet::support::TempDir;
using Json = nlohmann::json;

namespace {

const std::string kData = DUET_SOURCE_DIR "/tests/data/tokenizer/";

std::unique_ptr<Tokenizer> load(const std::string& name) {
  return load_tokenizer(kData + name + (name == "sentencepiece" ? ".model" : ".json"));
}

Json golden() { return Json::parse(TempDir::read(kData + "golden.json")); }

// The smallest tokenizer.json: a, b, ab, and what `change` makes of it.
std::string tiny(const std::function<void(Json&)>& change) {
  Json json = Json::parse(
      R"({"model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2,"<unk>":3},"merges":["a b"]},
    "added_tokens":[],"normalizer":null,"pre_tokenizer":null,"decoder":null})");
  change(json);
  return json.dump();
}
std::string refusal(const std::function<void(Json&)>& change) {
  return error_of<LoadError>([&] { make_bpe_tokenizer(tiny(change), "T"); });
}

}  // namespace

TEST_CASE("tokenizers give the ids of the reference libraries", "[golden]") {
  const Json expected = golden();
  for (const char* name : {"llama", "metaspace", "gpt2", "digits", "sentencepiece"}) {
    const auto tokenizer = load(name);
    for (const Json& sample : expected[name]) {
      INFO(name << ": " << sample["text"]);
      CHECK(tokenizer->encode(sample["text"].get<std::string>()) ==
            sample["ids"].get<std::vector<int64_t>>());
    }
  }
}

TEST_CASE("decoding gives the text of the reference libraries, at once and streamed", "[golden]") {
  const Json expected = golden();
  for (const char* name : {"llama", "metaspace", "gpt2", "digits", "sentencepiece"}) {
    const auto tokenizer = load(name);
    StreamingDecoder decoder(*tokenizer);
    for (const Json& sample : expected[name]) {
      INFO(name << ": " << sample["text"]);
      const auto ids = sample["ids"].get<std::vector<int64_t>>();
      CHECK(tokenizer->decode(ids) == sample["decoded"].get<std::string>());
      std::string streamed;
      for (const int64_t id : ids) {
        const std::string part = decoder.push(id);
        CHECK(to_valid_utf8(part) == part);
        streamed += part;
      }
      CHECK(streamed + decoder.finish() == sample["decoded"].get<std::string>());
    }
  }
}

TEST_CASE("unfinished characters are held back, broken ones shown", "[unit]") {
  for (const char* name : {"llama", "sentencepiece"}) {
    const auto tokenizer = load(name);
    const auto byte = [&](const char* piece) { return tokenizer->piece_to_id(piece).value(); };
    StreamingDecoder decoder(*tokenizer);
    CHECK(decoder.push(byte("<0xF0>")).empty());
    CHECK(decoder.push(byte("<0x9F>")).empty());
    CHECK(decoder.push(byte("<0x98>")).empty());
    CHECK(decoder.push(byte("<0x80>")) == "😀");
    CHECK(decoder.push(byte("<0xE2>")).empty());
    CHECK(decoder.push(byte("<0x41>")) ==
          "\xEF\xBF\xBD"
          "A");
    CHECK(decoder.push(byte("<0xFF>")) == "\xEF\xBF\xBD");
    CHECK(decoder.push(byte("<0xC3>")).empty());
    CHECK(decoder.finish() == "\xEF\xBF\xBD");
    CHECK(decoder.push(tokenizer->piece_to_id("\xE2\x96\x81the").value()) == "the");
    CHECK(decoder.push(tokenizer->piece_to_id("\xE2\x96\x81the").value()) == " the");
    CHECK(decoder.push(-1).empty());
    CHECK(decoder.push(1'000'000).empty());
  }
}

TEST_CASE("special tokens have roles and say nothing", "[unit]") {
  const auto spm = load("sentencepiece");
  CHECK(spm->special().unk == 0);
  CHECK(spm->special().bos == 1);
  CHECK(spm->special().eos == 2);
  CHECK(spm->special().pad == -1);
  CHECK(spm->text_pad() == 0);
  CHECK(spm->bytes_of(1).empty());
  CHECK(spm->piece_to_id("<sil>") == 3);
  CHECK(spm->bytes_of(3).empty());
  CHECK_FALSE(spm->piece_to_id("no such piece"));

  const TempDir folder;
  folder.write("tokenizer.json", TempDir::read(kData + "llama.json"));
  folder.write(
      "tokenizer_config.json",
      R"({"bos_token": {"content": "<s>"}, "eos_token": "</s>", "unk_token": "<unk>", "pad_token": null})");
  const auto llama = load_tokenizer(folder.path());
  CHECK(llama->special().bos == 1);
  CHECK(llama->special().eos == 2);
  CHECK(llama->special().unk == 0);
  CHECK(llama->text_pad() == 0);
  CHECK(llama->decode({1, *llama->piece_to_id("\xE2\x96\x81the"), 2}) == "the");
  CHECK(llama->piece_table().at(2).empty());
  folder.write("tokenizer_config.json", R"({"pad_token": "</s>"})");
  CHECK(load_tokenizer(folder.path())->text_pad() == 2);
  folder.write("tokenizer_config.json", R"({"pad_token": "<none>"})");
  CHECK_THAT(
      error_of<LoadError>([&] { load_tokenizer(folder.path()); }),
      Catch::StartsWith("pad_token: expected a piece of the tokenizer, found \"<none>\" in "));
}

TEST_CASE("merging takes the lowest rank, leftmost first", "[unit]") {
  const auto bpe = make_bpe_tokenizer(
      R"({"model":{"type":"BPE","vocab":{"a":0,"b":1,"aa":2,"ab":3,"aab":4,"u":5},
    "merges":[["a","a"],["a","b"],["a","ab"]],"unk_token":"u","fuse_unk":true}})",
      "T");
  CHECK(bpe->encode("aaa") == std::vector<int64_t>{2, 0});
  CHECK(bpe->encode("aab") == std::vector<int64_t>{2, 1});
  CHECK(bpe->encode("bab") == std::vector<int64_t>{1, 3});
  CHECK(bpe->encode("axyza") == std::vector<int64_t>{0, 5, 0});
  CHECK(bpe->special().unk == 5);
}

TEST_CASE("a long text without spaces is encoded in reasonable time", "[unit]") {
  CHECK(load("llama")->encode(std::string(200'000, 'e')).size() > 1000);
}

TEST_CASE("what a tokenizer.json may not ask for is refused by name", "[unit]") {
  CHECK(refusal([](Json&) {}) == "no error");
  CHECK(refusal([](Json& j) { j["model"]["type"] = "Unigram"; }) ==
        "tokenizer: model type: expected BPE, found \"Unigram\" in T");
  CHECK(refusal([](Json& j) {
          j["normalizer"] = {{"type", "NFKC"}};
        }) ==
        "tokenizer: normalizer: expected Prepend, Replace of a string, or a Sequence of them, "
        "found NFKC in T");
  CHECK(refusal([](Json& j) {
          j["pre_tokenizer"] = {{"type", "Whitespace"}};
        }) ==
        "tokenizer: pre_tokenizer: expected ByteLevel, Metaspace, or Digits before ByteLevel, "
        "found Whitespace in T");
  CHECK(refusal([](Json& j) {
          j["decoder"] = {{"type", "CTC"}};
        }) ==
        "tokenizer: decoder: expected ByteLevel, Metaspace, or Replace, ByteFallback, Fuse, Strip, "
        "found CTC in T");
  CHECK(refusal([](Json& j) { j["model"]["dropout"] = 0.1; }) ==
        "tokenizer: dropout: expected null, found 0.1 in T");
  CHECK(refusal([](Json& j) { j["model"]["merges"] = {"a c"}; }) ==
        "tokenizer: merges.0: expected two pieces that form a third, found \"a c\" in T");
  CHECK(refusal([](Json& j) { j["model"]["vocab"]["a"] = "x"; }) ==
        "tokenizer: vocab.a: expected an id, found \"x\" in T");
  CHECK(refusal([](Json& j) { j["model"]["vocab"]["a"] = -4; }) ==
        "tokenizer: a: expected an id from 0 to 10^7, found -4 in T");
  CHECK(refusal([](Json& j) {
          j["added_tokens"] = {{{"id", 4}, {"content", "c"}, {"single_word", true}}};
        }) == "tokenizer: added token c: expected single_word false, found true in T");
  CHECK(refusal([](Json& j) { j.erase("model"); }) ==
        "tokenizer: model: expected an entry, found nothing in T");
  CHECK_THAT(error_of<LoadError>([] { make_bpe_tokenizer("{", "T"); }),
             Catch::StartsWith("tokenizer: expected a tokenizer.json"));
  CHECK_THAT(error_of<LoadError>([] { load_tokenizer("/no/such.json"); }),
             Catch::Contains("expected a readable file"));
  const TempDir folder;
  CHECK_THAT(
      error_of<LoadError>([&] { load_tokenizer(folder.path()); }),
      Catch::StartsWith("tokenizer: expected tokenizer.json or tokenizer.model, found neither"));
}

TEST_CASE("UTF-8: invalid sequences become one replacement each", "[unit]") {
  CHECK(to_valid_utf8("a\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80") == "aä€😀");
  CHECK(to_valid_utf8("\xE2\x82") == "\xEF\xBF\xBD");
  CHECK(to_valid_utf8("\xE2\x41") ==
        "\xEF\xBF\xBD"
        "A");
  CHECK(to_valid_utf8("\xC0\x80") == "\xEF\xBF\xBD\xEF\xBF\xBD");
  CHECK(to_valid_utf8("\xED\xA0\x80") == "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
  for (const char32_t point : {0x24U, 0x7ffU, 0x800U, 0xffffU, 0x10000U, 0x10ffffU})
    CHECK(next_utf8(utf8_of(point)).point == point);
  CHECK(is_letter(U'ß'));
  CHECK(is_letter(U'日'));
  CHECK_FALSE(is_letter(U'1'));
  CHECK(is_number(U'½'));
  CHECK(is_number(U'9'));
  CHECK_FALSE(is_number(U':'));
  CHECK(is_white_space(U'\u3000'));
}
