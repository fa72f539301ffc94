#include "runtime/machine.h"

#include <dlfcn.h>
#include <sched.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <fstream>
#include <memory>
#include <set>
#include <sstream>

namespace duet::runtime {
namespace {

std::string read_text(const char* path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

/// The value of the first line "key : value"; empty without such a line.
std::string field(const std::string& text, const std::string& key) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const size_t colon = line.find(':');
    if (colon == std::string::npos || !line.starts_with(key)) continue;
    if (line.find_first_not_of(" \t", key.size()) != colon) continue;
    const size_t value = line.find_first_not_of(" \t", colon + 1);
    return value == std::string::npos ? "" : line.substr(value);
  }
  return "";
}

int usable_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 0;
}

bool is_package_name(const std::string& text) {
  return !text.empty() &&
         text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789+.-") == std::string::npos;
}

}  // namespace

CpuInfo parse_cpu_info(const std::string& proc_cpuinfo) {
  CpuInfo info;
  info.model = field(proc_cpuinfo, "model name");
  std::istringstream words(field(proc_cpuinfo, "flags"));
  std::set<std::string> flags;
  for (std::string word; words >> word;) flags.insert(word);
  const auto has = [&flags](const char* flag) { return flags.count(flag) != 0; };
  info.has_avx2 = has("avx2");
  info.has_fma = has("fma");
  info.has_avx512 = has("avx512f") && has("avx512bw") && has("avx512dq") && has("avx512vl");
  info.has_avx512_bf16 = has("avx512_bf16");
  info.has_amx_bf16 = has("amx_bf16");
  info.has_amx_int8 = has("amx_int8");
  return info;
}

CpuInfo cpu_info() {
  CpuInfo info = parse_cpu_info(read_text("/proc/cpuinfo"));
  info.num_cores = usable_cores();
  return info;
}

MemoryInfo parse_memory_info(const std::string& proc_meminfo) {
  const auto bytes = [&proc_meminfo](const char* key) {
    std::int64_t kibibytes = 0;
    std::istringstream(field(proc_meminfo, key)) >> kibibytes;
    return kibibytes * 1024;
  };
  return {bytes("MemTotal"), bytes("MemAvailable")};
}

MemoryInfo memory_info() { return parse_memory_info(read_text("/proc/meminfo")); }

BlasInfo classify_blas(const std::filesystem::path& library) {
  const std::string path = library.string();
  const auto contains = [&path](const char* part) { return path.find(part) != std::string::npos; };
  if (path.empty()) return {};
  if (contains("openblas")) return {BlasKind::kFast, "OpenBLAS", path};
  if (contains("mkl")) return {BlasKind::kFast, "MKL", path};
  if (contains("blis")) return {BlasKind::kFast, "BLIS", path};
  if (contains("atlas")) return {BlasKind::kFast, "ATLAS", path};
  if (contains("libtorch")) return {BlasKind::kFast, "built into LibTorch", path};
  // Debian: /usr/lib/<arch>/blas/libblas.so.3.*; others install Netlib's straight into a library
  // folder.
  if (contains("libblas.so")) return {BlasKind::kReference, "Netlib's reference BLAS", path};
  return {BlasKind::kUnknown, library.filename().string(), path};
}

BlasInfo blas_info() {
  void* symbol = dlsym(RTLD_DEFAULT, "sgemm_");
  Dl_info where{};
  if (symbol == nullptr || dladdr(symbol, &where) == 0 || where.dli_fname == nullptr) return {};
  std::error_code failed;
  const std::filesystem::path path = std::filesystem::canonical(where.dli_fname, failed);
  return classify_blas(failed ? std::filesystem::path(where.dli_fname) : path);
}

std::string blas_fix(const BlasInfo& blas) {
  if (blas.kind != BlasKind::kReference) return "";
  return "apt-get install libopenblas0-pthread, as root; if it is installed, "
         "update-alternatives --config libblas.so.3-$(uname -m)-linux-gnu";
}

std::vector<std::string> parse_packages(const std::string& packages_txt, const std::string& group) {
  std::vector<std::string> names;
  std::istringstream lines(packages_txt);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string first, name;
    if (words >> first >> name && first == group && is_package_name(name)) names.push_back(name);
  }
  return names;
}

std::optional<std::vector<std::string>> missing_packages(const std::vector<std::string>& packages) {
  std::error_code failed;
  if (!std::filesystem::exists("/var/lib/dpkg/status", failed)) return std::nullopt;
  std::string command = "dpkg-query -W -f '${db:Status-Abbrev} ${Package}\\n'";
  for (const std::string& name : packages)
    if (is_package_name(name)) command += " " + name;  // nothing else reaches the shell
  command += " 2>/dev/null";
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> pipe(popen(command.c_str(), "r"), pclose);
  if (!pipe) return std::nullopt;
  std::string text;
  std::array<char, 4096> block{};
  while (const size_t count = std::fread(block.data(), 1, block.size(), pipe.get()))
    text.append(block.data(), count);
  std::set<std::string> installed;
  std::istringstream lines(text);
  for (std::string status, name; lines >> status >> name;)
    if (status == "ii") installed.insert(name);
  std::vector<std::string> missing;
  for (const std::string& name : packages)
    if (installed.count(name) == 0) missing.push_back(name);
  return missing;
}

}  // namespace duet::runtime
