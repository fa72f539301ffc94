#include "codecs/wire/moshi_query.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

using namespace duet::wire;

namespace {
std::string error_of(const std::string& query) {
  try {
    parse_moshi_query(query);
  } catch (const WireError& error) {
    return error.what();
  }
  return "no error";
}
}  // namespace

TEST_CASE("the web client's query is understood", "[unit]") {
  const MoshiQuery query = parse_moshi_query(
      "text_temperature=0.7&text_topk=25&audio_temperature=.5&audio_topk=100&pad_mult=0&"
      "text_seed=271342&audio_seed=18446744073709551615&repetition_penalty_context=64&"
      "repetition_penalty=1.0&worker_auth_id=a%20b&image_resolution=448&email=x%40y.org&"
      "text_prompt=You+are+kind.%0A%C3%BC&voice_prompt=NATF2.pt&max_steps=100");
  CHECK(query.text_temperature == 0.7);
  CHECK(query.text_topk == 25);
  CHECK(query.audio_temperature == 0.5);
  CHECK(query.text_seed == 271342u);
  CHECK(query.audio_seed == UINT64_MAX);
  CHECK_FALSE(query.seed);
  CHECK(query.auth_id == "a b");
  CHECK(query.text_prompt == "You are kind.\n\u00fc");
  CHECK(query.voice_prompt == "NATF2.pt");
  CHECK(query.max_steps == 100);
  CHECK(parse_moshi_query("").text_topk == 250);
  CHECK(parse_moshi_query("&&flag&=&").max_steps == 4500);
}

TEST_CASE("wrong parameters are named", "[unit]") {
  CHECK(error_of("text_topk=0") ==
        "text_topk: expected a number from 1 to 1000000, found \"0\" in query of the URL");
  CHECK(error_of("text_topk=2x").find("text_topk: expected a number") == 0);
  CHECK(error_of("text_temperature=nan") ==
        "text_temperature: expected a number from 0.0 to 10.0, found \"nan\" in query of the URL");
  CHECK(error_of("text_temperature=").find("text_temperature: expected a number") == 0);
  CHECK(error_of("max_steps=99999999999").find("max_steps: expected a number from 1 to 4500") == 0);
  CHECK(error_of("text_seed=-1").find("text_seed: expected a number from 0 to") == 0);
  CHECK(error_of("seed=1&seed=2") == "seed: expected one value, found two in query of the URL");
  CHECK(error_of("email=%4") ==
        "email: expected two hexadecimal digits after %, found something else in query of the URL");
  CHECK(error_of("email=%-1").find("email: expected two hexadecimal digits") == 0);
  CHECK(error_of("email=%ff") == "email: expected UTF-8, found other bytes in query of the URL");
  CHECK(error_of(std::string(70000, 'a')).find("query: expected at most 65536 bytes") == 0);
}

TEST_CASE("metadata has every key of the web client's schema", "[unit]") {
  const auto json = nlohmann::json::parse(
      moshi_metadata_json(parse_moshi_query("text_topk=3"),
                          {"coffee-bar", "fsq", "one", "0.1.0", "abc", "2026-01-01"}));
  for (const char* key : {"text_temperature", "text_topk", "audio_temperature", "audio_topk",
                          "pad_mult", "repetition_penalty_context", "repetition_penalty"})
    CHECK(json.at(key).is_number());
  for (const char* key : {"lm_model_file", "mimi_model_file", "instance_name"})
    CHECK(json.at(key).is_string());
  for (const char* key :
       {"build_timestamp", "build_date", "git_branch", "git_timestamp", "git_date", "git_hash",
        "git_describe", "rustc_host_triple", "rustc_version", "cargo_target_triple"})
    CHECK(json.at("build_info").at(key).is_string());
  CHECK(json["text_topk"] == 3);
}
