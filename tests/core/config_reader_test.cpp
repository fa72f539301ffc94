#include "runtime/core/config_reader.h"

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "runtime/core/error.h"
#include "tests/support/temp_dir.h"

using duet::core::ConfigError;
using duet::core::ConfigReader;
using duet::core::LoadError;
using duet::support::error_of;

namespace {

ConfigReader yaml(const std::string& text) { return ConfigReader::parse(text, "m.yaml"); }
ConfigReader json(const std::string& text) { return ConfigReader::parse(text, "m.json"); }

}  // namespace

TEST_CASE("JSON and YAML give the same tree", "[unit]") {
  for (
      const ConfigReader& config :
      {json(
           R"({"a": {"n": 3, "x": 1e-5, "b": true, "s": "hi", "l": [70, 1], "z": null}, "names": ["p", "q"]})"),
       yaml("a:\n  n: 3\n  x: 1e-5\n  b: true\n  s: hi\n  l: [70, 1]\n  z: ~\nnames: [p, q]\n")}) {
    const ConfigReader a = config.sub("a");
    CHECK(a.get_int("n") == 3);
    CHECK(a.get_double("x") == 1e-5);
    CHECK(a.get_double("n") == 3.0);
    CHECK(a.get_bool("b"));
    CHECK(a.get_string("s") == "hi");
    CHECK(a.get_int_list("l") == std::vector<int64_t>{70, 1});
    CHECK(a.get_int_lists("l") == std::vector<std::vector<int64_t>>{{70, 1}});
    CHECK_FALSE(a.has("z"));
    CHECK(a.get_int("z", 9) == 9);
    CHECK(config.get_string_list("names") == std::vector<std::string>{"p", "q"});
    CHECK(a.keys() == std::vector<std::string>{"n", "x", "b", "s", "l", "z"});
    CHECK_NOTHROW(config.finish());
  }
}

TEST_CASE("defaults apply to absent keys only", "[unit]") {
  const ConfigReader config = json(R"({"n": 1})");
  CHECK(config.get_int("n", 5) == 1);
  CHECK(config.get_int("m", 5) == 5);
  CHECK(config.get_double("d", 0.5) == 0.5);
  CHECK(config.get_bool("f", true));
  CHECK(config.get_string("s", "x") == "x");
  CHECK(config.get_choice("c", "b", {"a", "b"}) == "b");
  CHECK(config.get_int_list("l", {1, 2}) == std::vector<int64_t>{1, 2});
  CHECK(config.sub_or_empty("part").get_int("k", 7) == 7);
  CHECK(config.sub_list("parts").empty());
}

TEST_CASE("errors name file, line, key path, expected and found", "[unit]") {
  const ConfigReader config =
      yaml("lm:\n  layers: 0\n  name: 3.5\n  act: relu\n  widths: [1, x]\n  sub: 4\n");
  const ConfigReader lm = config.sub("lm");
  CHECK(error_of<ConfigError>([&] {
          lm.get_int("layers", duet::core::IntRange{1, 99});
        }) == "lm.layers: expected an integer in [1, 99], found 0 in m.yaml:2");
  CHECK(error_of<ConfigError>([&] { lm.get_int("layers", 5, duet::core::IntRange{.min = 1}); }) ==
        "lm.layers: expected an integer >= 1, found 0 in m.yaml:2");
  CHECK(error_of<ConfigError>([&] { lm.get_int("name"); }) ==
        "lm.name: expected an integer, found 3.5 in m.yaml:3");
  CHECK(lm.get_string("name") == "3.5");
  CHECK(error_of<ConfigError>([&] {
          lm.get_choice("act", {"silu", "gelu"});
        }) == "lm.act: expected silu | gelu, found \"relu\" in m.yaml:4");
  CHECK(error_of<ConfigError>([&] { lm.get_int_list("widths"); }) ==
        "lm.widths.1: expected an integer, found \"x\" in m.yaml");
  CHECK(error_of<ConfigError>([&] { lm.sub("sub"); }) ==
        "lm.sub: expected a map, found 4 in m.yaml:6");
  CHECK(error_of<ConfigError>([&] { lm.get_int("heads"); }) ==
        "lm.heads: expected an integer, found nothing in m.yaml");
  CHECK(error_of<ConfigError>([&] { lm.get_bool("heads"); }) ==
        "lm.heads: expected true or false, found nothing in m.yaml");
  CHECK(error_of<ConfigError>([&] { json(R"({"s": 3})").get_string("s"); }) ==
        "s: expected a string, found 3 in m.json");
  CHECK(error_of<ConfigError>([&] { yaml("x: 1e999").get_double("x"); }) ==
        "x: expected a number, found \"1e999\" in m.yaml:1");
}

TEST_CASE("finish lists every unknown key with the nearest known one", "[unit]") {
  const ConfigReader config =
      json(R"({"layres": 2, "sub": {"hedas": 1, "ok": 1}, "zzz": {"a": 1}, "list": [{"q": 1}]})");
  config.get_int("layers", 1);
  const ConfigReader sub = config.sub("sub");
  sub.get_int("heads", 1);
  sub.get_int("ok");
  config.sub_list("list").at(0).get_int("w", 3);
  CHECK(error_of<ConfigError>([&] { config.finish(); }) ==
        "unknown keys: found layres (did you mean layers?), sub.hedas (did you mean heads?), zzz, "
        "list.0.q (did you mean w?) in m.json");
  config.ignore({"layres", "zzz"});
  sub.ignore_rest();
  config.sub_list("list").at(0).ignore_rest();
  CHECK_NOTHROW(config.finish());
}

TEST_CASE("overrides set, create and index", "[unit]") {
  ConfigReader config = yaml("a: {n: 1}\nl: [1, 2]\n");
  config.override_with("a.n=5");
  config.override_with("a.text=with = sign");
  config.override_with("new.deep.x=[3, 4]");
  config.override_with("l.1=7");
  config.override_with("gone=null");
  CHECK(config.sub("a").get_int("n") == 5);
  CHECK(config.sub("a").get_string("text") == "with = sign");
  CHECK(config.sub("new").sub("deep").get_int_list("x") == std::vector<int64_t>{3, 4});
  CHECK(config.get_int_list("l") == std::vector<int64_t>{1, 7});
  CHECK_FALSE(config.has("gone"));
  CHECK(config.to_json(-1) ==
        R"({"a":{"n":5,"text":"with = sign"},"l":[1,7],"new":{"deep":{"x":[3,4]}},"gone":null})");
  CHECK(error_of<ConfigError>([&] { config.override_with("a.n"); }) ==
        "--set a.n: expected key.path=value, found \"a.n\" in m.yaml");
  CHECK(error_of<ConfigError>([&] { config.override_with("l.2=1"); }) ==
        "--set l.2=1: expected an index below 2, found 2 in m.yaml");
  CHECK(error_of<ConfigError>([&] { config.override_with("a.n.q=1"); }) ==
        "--set a.n.q=1: expected a map above q, found 5 in m.yaml");
}

TEST_CASE("unreadable files are refused in one line", "[unit]") {
  CHECK(error_of<LoadError>([] { ConfigReader::load_file("no/such.yaml"); }) ==
        "configuration: expected a readable file, found none in no/such.yaml");
  CHECK(error_of<LoadError>([] { json("[1]"); }) ==
        "configuration: expected a map at the top, found a list in m.json");
  CHECK(error_of<LoadError>([] { json(R"({"a": 1, "a": 2})"); }) ==
        "configuration: expected JSON or YAML, found key \"a\" twice in one object in m.json");
  CHECK(error_of<LoadError>([] { yaml("a: 1\na: 2\n"); }) ==
        "configuration: expected JSON or YAML, found key \"a\" twice in one map in m.yaml:2");
  CHECK_THAT(error_of<LoadError>([] { json(R"({"a": )"); }),
             Catch::Contains("parse error at line 1"));
  CHECK_THAT(error_of<LoadError>([] { yaml("a: [1\nb: 2"); }), Catch::Contains("m.yaml:"));
  CHECK_THROWS_AS(yaml(std::string(200, '[')), LoadError);
  CHECK_NOTHROW(yaml("").finish());
}

TEST_CASE("a file is read with its overrides", "[unit]") {
  const std::string path =
      (std::filesystem::temp_directory_path() / "duet_config_reader_test.yaml").string();
  std::ofstream(path) << "rate: 16000\n";
  const ConfigReader config = ConfigReader::load_file(path, {"rate=8000"});
  std::filesystem::remove(path);
  CHECK(config.get_int("rate") == 8000);
  CHECK(config.file() == path);
}
