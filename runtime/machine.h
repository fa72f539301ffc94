#pragma once
// What this machine offers: processor, memory, the BLAS behind LibTorch, packages. For `duet
// doctor`, `duet describe` and benchmarks. Linux on x86-64; elsewhere the processor's features read
// as absent.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace duet::runtime {

struct CpuInfo {
  std::string model;  ///< "AMD EPYC 7B13"; empty when unknown.
  int num_cores = 0;  ///< Logical cores this process may use.
  bool has_avx2 = false;
  bool has_fma = false;
  bool has_avx512 = false;  ///< F, BW, DQ and VL.
  bool has_avx512_bf16 = false;
  bool has_amx_bf16 = false;
  bool has_amx_int8 = false;
};

/// From the text of /proc/cpuinfo (its first processor).
CpuInfo parse_cpu_info(const std::string& proc_cpuinfo);
CpuInfo cpu_info();

struct MemoryInfo {
  std::int64_t total_bytes = 0;
  std::int64_t available_bytes = 0;
};

/// From the text of /proc/meminfo.
MemoryInfo parse_memory_info(const std::string& proc_meminfo);
MemoryInfo memory_info();

enum class BlasKind {
  kFast,       ///< OpenBLAS, MKL, BLIS, ATLAS, or built into LibTorch.
  kReference,  ///< Netlib's: right, and many times slower.
  kUnknown,
};

struct BlasInfo {
  BlasKind kind = BlasKind::kUnknown;
  std::string name;  ///< "OpenBLAS"
  std::string path;  ///< The library that sgemm_ comes from, links resolved.
};

/// Judges a library by its path.
BlasInfo classify_blas(const std::filesystem::path& library);

/// The library that this process takes sgemm_ from; kUnknown with an empty path when none exports
/// it.
BlasInfo blas_info();

/// The fix for the slow one, as a line to type; empty when `blas` needs none.
std::string blas_fix(const BlasInfo& blas);

/// Names in the group `group` of tools/scripts/packages.txt.
std::vector<std::string> parse_packages(const std::string& packages_txt, const std::string& group);

/// Those of `packages` that dpkg has not installed; nothing where there is no dpkg.
std::optional<std::vector<std::string>> missing_packages(const std::vector<std::string>& packages);

}  // namespace duet::runtime
