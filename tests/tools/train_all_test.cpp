#include "tools/train/train_all.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <thread>

#include "runtime/core/cancel.h"
#include "runtime/core/error.h"
#include "tests/support/capture.h"
#include "tests/support/temp_dir.h"
#include "tools/train/child_process.h"

using namespace duet::train;
using Catch::Contains;
using duet::support::TempDir;

namespace {

/// A recipe of three stages: text, a "training" by a stand-in for duet, and a copy of what it made.
struct Tiny {
  TempDir dir;
  Tiny() {
    dir.write("domain.yaml", "hello\n");
    dir.write("recipe.yaml", "out: x\n");
    // Called as `duet train codec RECIPE [--restart]`: counts its runs, writes weights and metrics.
    dir.write("duet.sh",
              "#!/bin/sh\necho \"$@\" >> " + dir.file("calls") +
                  "\necho 'codec 50% [##--] 5/10'\n" + "cp " + dir.file("text") + " " +
                  dir.file("weights") + "\n" +
                  "for i in 1 2 3; do echo "
                  "'{\"kind\":\"train\",\"step\":'$i',\"elapsed_s\":1,\"loss\":0.'$i'}'; done > " +
                  dir.file("metrics.jsonl") + "\n");
    std::filesystem::permissions(dir.file("duet.sh"), std::filesystem::perms::owner_all);
    recipe("");
  }
  void recipe(const std::string& extra) const {
    dir.write(
        "all.yaml",
        "out: " + dir.file("out") + "\nvariables: {here: " + dir.path() + "}\nstages:\n" +
            "  - {name: text, run: 'cp ${here}/domain.yaml ${here}/text; echo x >> ${here}/texts', "
            "inputs: ['${here}/domain.yaml'], outputs: ['${here}/text']}\n" +
            "  - {name: codec, train: codec, recipe: '${here}/recipe.yaml', set: [\"a=it's\"], "
            "inputs: ['${here}/text'], outputs: ['${here}/weights'], metrics: "
            "'${here}/metrics.jsonl'}\n" +
            extra +
            "  - {name: copy, run: 'cp ${here}/weights ${here}/model', inputs: "
            "['${here}/weights'], outputs: ['${here}/model']}\n");
  }
  int run(TrainAllOptions options = {}) {
    options.config = dir.file("all.yaml");
    options.duet = dir.file("duet.sh");
    std::string failure;
    printed = duet::test::capture([&] {
      try {
        return train_all(options);
      } catch (const duet::core::Error& error) {
        failure = error.what();
        return -1;
      }
    });
    told = failure;
    return printed.result;
  }
  std::string calls() const { return TempDir::read(dir.file("calls")); }
  /// Another time of change, whatever the file system's resolution.
  void touch(const std::string& name, const std::string& content) const {
    dir.write(name, content);
    std::filesystem::last_write_time(
        dir.file(name), std::filesystem::file_time_type::clock::now() + std::chrono::seconds(5));
  }

  duet::test::Captured printed;
  std::string told;
};

const std::string kCall = "train codec ";

}  // namespace

TEST_CASE("all stages once, a report, and nothing again", "[unit]") {
  Tiny tiny;
  REQUIRE(tiny.run() == 0);
  CHECK(TempDir::read(tiny.dir.file("model")) == "hello\n");
  const std::string call = kCall + tiny.dir.file("recipe.yaml") + " --set a=it's\n";
  CHECK(tiny.calls() == call);
  CHECK_THAT(tiny.printed.out, Contains("report.html"));
  const std::string page = TempDir::read(tiny.dir.file("out/report.html"));
  CHECK_THAT(page, Contains("codec") && Contains("loss, last 0.3") && Contains("<polyline"));
  REQUIRE(tiny.run() == 0);
  CHECK(tiny.calls() == call);
  CHECK_THAT(tiny.printed.err, Contains("2 of 3: codec  done before"));
}

TEST_CASE("what changed is done anew, and all that was made from it", "[unit]") {
  Tiny tiny;
  REQUIRE(tiny.run() == 0);
  tiny.touch("recipe.yaml", "out: y\n");  // The training's own recipe: a training begins again.
  REQUIRE(tiny.run() == 0);
  CHECK_THAT(tiny.calls(), Contains("--restart"));
  CHECK(TempDir::read(tiny.dir.file("texts")) == "x\n");
  tiny.touch("domain.yaml", "goodbye\n");
  REQUIRE(tiny.run() == 0);
  CHECK(TempDir::read(tiny.dir.file("model")) == "goodbye\n");
  std::filesystem::remove(tiny.dir.file("model"));
  REQUIRE(tiny.run() == 0);
  CHECK(TempDir::read(tiny.dir.file("model")) == "goodbye\n");
}

TEST_CASE("one stage, or all from one on; a plan without doing anything", "[unit]") {
  Tiny tiny;
  REQUIRE(tiny.run({.is_dry_run = true}) == 0);
  CHECK_THAT(tiny.printed.out, Contains("to do") && Contains("copy"));
  CHECK_FALSE(std::filesystem::exists(tiny.dir.file("out")));
  REQUIRE(tiny.run({.only = "text"}) == 0);
  CHECK_FALSE(std::filesystem::exists(tiny.dir.file("calls")));
  REQUIRE(tiny.run({.only = "text"}) == 0);
  CHECK(TempDir::read(tiny.dir.file("texts")) == "x\nx\n");
  REQUIRE(tiny.run() == 0);
  REQUIRE(tiny.run({.from = "codec"}) == 0);
  CHECK(TempDir::read(tiny.dir.file("texts")) == "x\nx\n");
  CHECK_THAT(tiny.calls(), Contains("--restart"));
  CHECK(tiny.run({.only = "nothing"}) == -1);
  CHECK_THAT(tiny.told, Contains("--only: expected a stage (text, codec, copy), found nothing"));
}

TEST_CASE("a stage that fails says so, with its last line and its log; the next call goes on there",
          "[unit]") {
  Tiny tiny;
  tiny.recipe("  - {name: bad, run: 'echo no disk left; exit 3'}\n");
  CHECK(tiny.run() == -1);
  CHECK_THAT(tiny.told, Contains("stage bad: expected exit code 0, found 3: no disk left") &&
                            Contains("out/bad.log"));
  tiny.recipe("");
  REQUIRE(tiny.run() == 0);
  CHECK(TempDir::read(tiny.dir.file("texts")) == "x\n");
  tiny.recipe("  - {name: lazy, run: 'true', outputs: [/no/such/output]}\n");
  CHECK(tiny.run() == -1);
  CHECK_THAT(tiny.told, Contains("stage lazy: expected the output /no/such/output"));
}

TEST_CASE("Ctrl-C reaches the stage, and the same command goes on with it", "[unit]") {
  Tiny tiny;
  // Saves when it is told to stop, as trainings do; the second time it has done enough.
  const std::string saved = tiny.dir.file("saved");
  tiny.recipe("  - {name: slow, run: 'if [ -e " + saved + " ]; then exit 0; fi; trap \"touch " +
              saved + "; exit 130\" INT; touch " + tiny.dir.file("begun") +
              "; while :; do sleep 0.05; done'}\n");
  std::thread stopper([&] {
    for (int i = 0; i < 400 && !std::filesystem::exists(tiny.dir.file("begun")); ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(25));
    duet::core::request_interrupt();
  });
  const int code = tiny.run();
  stopper.join();
  CHECK(code == 130);
  CHECK(std::filesystem::exists(saved));
  CHECK_FALSE(std::filesystem::exists(tiny.dir.file("model")));
  REQUIRE(tiny.run({.is_dry_run = true}) == 0);
  CHECK_THAT(tiny.printed.out, Contains("to resume"));
  REQUIRE(tiny.run() == 0);
  CHECK(TempDir::read(tiny.dir.file("model")) == "hello\n");
}

TEST_CASE("a recipe that cannot work is refused before anything runs", "[unit]") {
  Tiny tiny;
  const auto refusal = [&](const std::string& stages) {
    tiny.dir.write("bad.yaml", "out: " + tiny.dir.file("out") + "\nstages:\n" + stages);
    return duet::support::error_of<duet::core::ConfigError>(
        [&] { read_stage_recipe(tiny.dir.file("bad.yaml"), {}, "duet"); });
  };
  CHECK_THAT(refusal("  - {name: a, run: x, inputs: [/no/file]}\n"),
             Contains("stages.a.inputs") && Contains("/no/file"));
  CHECK_THAT(refusal("  - {name: a, train: codec, recipe: /no/recipe}\n"), Contains("/no/recipe"));
  CHECK_THAT(refusal("  - {name: a}\n"), Contains("either run, a command, or train"));
  CHECK_THAT(refusal("  - {name: a, run: x}\n  - {name: a, run: y}\n"), Contains("\"a\" again"));
  CHECK_THAT(refusal("  - {name: a, run: '${what} x'}\n"),
             Contains("one of the variables duet, found ${what}"));
  CHECK_THAT(refusal("  - {name: a/b, run: x}\n"), Contains("a name that can be a file's"));
  CHECK_THAT(refusal("  - {name: a, run: x, minuts: 3}\n"), Contains("minuts"));
  CHECK_FALSE(std::filesystem::exists(tiny.dir.file("out")));
}

TEST_CASE("the shipped recipes can be read", "[unit]") {
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(DUET_SOURCE_DIR);
  const StageRecipe whole = read_stage_recipe("configs/train/coffee-bar.yaml", {}, "duet");
  const StageRecipe topic = read_stage_recipe(
      "configs/train/new-topic.yaml", {"variables.domain=configs/domain/coffee-bar.yaml"}, "duet");
  std::filesystem::current_path(before);
  CHECK(whole.stages.size() > 10);
  CHECK_FALSE(whole.table.empty());
  const auto duplex = std::find_if(topic.stages.begin(), topic.stages.end(),
                                   [](const Stage& stage) { return stage.name == "duplex"; });
  REQUIRE(duplex != topic.stages.end());
  CHECK_THAT(duplex->command,
             Contains("--set 'dialogue.topics.house=12'") && Contains("--set 'loop.budget=40m'") &&
                 Contains("start_from=configs/models/coffee-bar/model.safetensors"));
}

TEST_CASE("how far a program says it is", "[unit]") {
  CHECK(share_in("train 42% [###--] 420/1000 3:20 left 4:36") == 0.42);
  CHECK(share_in("units: 27/108 files, 0.00 h") == 0.25);
  CHECK(share_in("loading") < 0.0);
  CHECK(share_in("0/0") < 0.0);
  const TempDir dir;
  CHECK(last_line(dir.file("none")).empty());
  CHECK(last_line(dir.write("log", "one\ntwo\r three\r\n")) == " three");
  CHECK(shell_word("it's") == "'it'\\''s'");
}
