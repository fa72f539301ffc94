#include "tools/commands/doctor.h"

#include <catch2/catch.hpp>

#include "tests/support/capture.h"
#include "tests/support/temp_dir.h"
#include "tools/commands/commands.h"

using namespace duet;
using namespace duet::commands;
using Catch::Matchers::Contains;

TEST_CASE("the slow BLAS is a warning with its fix; a fast one is ok", "[unit]") {
  const Finding slow =
      judge_blas(runtime::classify_blas("/usr/lib/x86_64-linux-gnu/blas/libblas.so.3.11.0"), 1.26);
  CHECK(slow.health == Health::kWarning);
  CHECK_THAT(slow.text, Contains("1.3 GFLOP/s") && Contains("slower"));
  CHECK_THAT(slow.fix, Contains("libopenblas0-pthread"));
  const Finding fast = judge_blas(runtime::classify_blas("/x/openblas-pthread/libblas.so.3"), -1.0);
  CHECK(finding_text(fast) == "ok       BLAS: OpenBLAS (/x/openblas-pthread/libblas.so.3)\n");
}

TEST_CASE("processors without AVX2 and machines short of memory get a warning", "[unit]") {
  runtime::CpuInfo cpu{.model = "Old", .num_cores = 1};
  CHECK(judge_cpu(cpu).health == Health::kWarning);
  cpu.has_avx2 = cpu.has_fma = true;
  CHECK(judge_cpu(cpu).health == Health::kOk);
  CHECK(judge_cpu(cpu).text == "Old, 1 core, AVX2, FMA");
  CHECK(judge_memory({8LL << 30, 1LL << 30}).health == Health::kWarning);
  CHECK(judge_memory({8LL << 30, 4LL << 30}).health == Health::kOk);
}

TEST_CASE("missing packages are a problem whose fix names them", "[unit]") {
  CHECK(judge_packages({}).health == Health::kOk);
  const Finding finding = judge_packages({"libtorch-dev", "flite"});
  CHECK(finding.health == Health::kProblem);
  CHECK_THAT(finding.fix, Contains("apt-get install") && Contains("libtorch-dev flite"));
}

TEST_CASE("no sound card is fine and said; half a sound card is a warning", "[unit]") {
  CHECK(judge_devices({}).health == Health::kOk);
  CHECK_THAT(judge_devices({}).text, Contains("none"));
  std::vector<audio::AudioDevice> devices(1);
  devices[0].name = "Mic";
  devices[0].is_default_input = true;
  CHECK(judge_devices(devices).health == Health::kWarning);
  devices[0].is_default_output = true;
  CHECK(judge_devices(devices).health == Health::kOk);
}

TEST_CASE("models: the default one must be there, whole", "[unit]") {
  const support::TempDir root;
  const core::ModelSearch search{"", {root.path()}};
  std::vector<Finding> findings = judge_models(search);
  REQUIRE(findings.size() == 1);
  CHECK(findings[0].health == Health::kProblem);
  CHECK_THAT(findings[0].text, Contains("not found in " + root.path()));

  std::filesystem::create_directories(root.file("coffee-bar"));
  root.write("coffee-bar/config.json", "{}");
  findings = judge_models(search);
  REQUIRE(findings.size() == 1);
  CHECK(findings[0].health == Health::kProblem);
  CHECK_THAT(findings[0].text, Contains("no model.safetensors"));

  root.write("coffee-bar/model.safetensors", "version https://git-lfs.github.com/spec/v1");
  CHECK(judge_models(search)[0].health == Health::kProblem);
  root.write("coffee-bar/model.safetensors", std::string(2'000'000, 'x'));
  CHECK(judge_models(search)[0].health == Health::kOk);
  CHECK_THAT(judge_models(search)[0].text, Contains("2.0 MB"));
}

TEST_CASE("duet doctor prints a line for each subject and a verdict", "[unit]") {
  const char* args[] = {"duet", "doctor"};
  const test::Captured got = test::capture([&args] { return run_main(2, args); });
  for (const char* subject :
       {"packages: ", "BLAS: ", "processor: ", "memory: ", "audio devices: ", "model coffee-bar: "})
    CHECK_THAT(got.out, Contains(subject));
  CHECK_THAT(got.out, Contains("GFLOP/s"));
  CHECK((got.result == 0) == (got.out.find("PROBLEM") == std::string::npos));
}
