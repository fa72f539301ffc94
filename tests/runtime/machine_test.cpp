#include "runtime/machine.h"

#include <catch2/catch.hpp>

using namespace duet::runtime;

TEST_CASE("processor features come from the flags, as whole words", "[unit]") {
  const CpuInfo info = parse_cpu_info(
      "processor\t: 0\nmodel name\t: Some CPU\nflags\t\t: fpu avx2 fma avx512f avx512bw avx512dq "
      "avx512vl amx_bf16 xamx_int8\n"
      "\nprocessor\t: 1\nmodel name\t: Other\nflags\t\t: avx512_bf16\n");
  CHECK(info.model == "Some CPU");
  CHECK(info.has_avx2);
  CHECK(info.has_fma);
  CHECK(info.has_avx512);
  CHECK(info.has_amx_bf16);
  CHECK_FALSE(info.has_amx_int8);
  CHECK_FALSE(info.has_avx512_bf16);
  CHECK_FALSE(parse_cpu_info("flags : avx512f avx512bw avx512dq\n").has_avx512);
  CHECK_FALSE(parse_cpu_info("").has_avx2);
}

TEST_CASE("this machine has at least one core and some memory", "[unit]") {
  CHECK(cpu_info().num_cores >= 1);
  CHECK(memory_info().total_bytes > 0);
  CHECK(memory_info().available_bytes <= memory_info().total_bytes);
}

TEST_CASE("memory is read in kibibytes", "[unit]") {
  const MemoryInfo info =
      parse_memory_info("MemTotal:  2048 kB\nMemFree: 1 kB\nMemAvailable:   1024 kB\n");
  CHECK(info.total_bytes == 2048 * 1024);
  CHECK(info.available_bytes == 1024 * 1024);
}

TEST_CASE("a BLAS is known by its path; only the reference one is slow and has a fix", "[unit]") {
  const BlasInfo reference = classify_blas("/usr/lib/x86_64-linux-gnu/blas/libblas.so.3.11.0");
  CHECK(reference.kind == BlasKind::kReference);
  CHECK_THAT(blas_fix(reference), Catch::Matchers::Contains("libopenblas0-pthread"));
  for (const char* path :
       {"/usr/lib/x86_64-linux-gnu/openblas-pthread/libblas.so.3", "/opt/mkl/libmkl_rt.so.2",
        "/usr/lib/x86_64-linux-gnu/blis-openmp/libblas.so.3", "/x/torch/lib/libtorch_cpu.so"}) {
    CHECK(classify_blas(path).kind == BlasKind::kFast);
    CHECK(blas_fix(classify_blas(path)).empty());
  }
  CHECK(classify_blas("/x/libother.so").kind == BlasKind::kUnknown);
  CHECK(classify_blas("").kind == BlasKind::kUnknown);
}

TEST_CASE("packages are listed by group", "[unit]") {
  const std::string text =
      "# build: x\nbuild g++  compiler\ntest  catch2 tests\nbuild a;rm  bad name\nbuild flite "
      "speech\n";
  CHECK(parse_packages(text, "build") == std::vector<std::string>{"g++", "flite"});
  CHECK(parse_packages(text, "test") == std::vector<std::string>{"catch2"});
}

TEST_CASE("packages that are not installed are found", "[unit]") {
  const auto missing = missing_packages({"dpkg", "no-such-package-x"});
  if (!missing) return;  // no Debian: nothing to ask
  CHECK(*missing == std::vector<std::string>{"no-such-package-x"});
}
