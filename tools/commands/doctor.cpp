#include "tools/commands/doctor.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <sstream>

#include "runtime/core/error.h"
#include "runtime/core/version.h"
#include "tools/commands/commands.h"

namespace duet::commands {
namespace fs = std::filesystem;
namespace {

constexpr double kGiB = 1024.0 * 1024.0 * 1024.0;
// The bundled model and its caches stay far below; a build takes up to 1.5 GB for each compiler.
constexpr double kEnoughMemoryGiB = 2.0;

std::string number(double value, int decimals) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", decimals, value);
  return text;
}

std::string join(const std::vector<std::string>& words, const char* separator) {
  std::string all;
  for (const std::string& word : words) all += (all.empty() ? "" : separator) + word;
  return all;
}

/// Matrix products of 512 x 512 on one thread, best of a few.
double measure_gflops() {
  const int threads_before = at::get_num_threads();
  at::set_num_threads(1);
  constexpr int64_t kSize = 512;
  const at::Tensor a = at::ones({kSize, kSize}), b = at::ones({kSize, kSize});
  double best = 0.0;
  for (int repeat = 0; repeat < 4; ++repeat) {
    const auto begin = std::chrono::steady_clock::now();
    const at::Tensor product = at::mm(a, b);
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    best = std::max(best, 2.0 * kSize * kSize * kSize / seconds * 1e-9);
  }
  at::set_num_threads(threads_before);
  return best;
}

std::string read_text(const fs::path& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

Finding find_packages() {
  const fs::path list = fs::path(DUET_SOURCE_DIR) / "tools/scripts/packages.txt";
  std::error_code failed;
  if (!fs::exists(list, failed))
    return {Health::kOk, "packages", "not checked: this is no source tree", ""};
  const auto missing = runtime::missing_packages(runtime::parse_packages(read_text(list), "build"));
  if (!missing) return {Health::kOk, "packages", "not checked: this is no Debian", ""};
  return judge_packages(*missing);
}

Finding find_devices() {
  try {
    return judge_devices(audio::list_audio_devices());
  } catch (const core::DeviceError& error) {
    return {Health::kWarning, "audio devices", error.what(),
            "duet run works on files; live talk needs PortAudio"};
  }
}

int run_doctor() {
  std::printf("%s\n", core::version_text().c_str());
  const double gflops = measure_gflops();  // LibTorch's BLAS is loaded from here on at the latest
  std::vector<Finding> findings{find_packages(), judge_blas(runtime::blas_info(), gflops),
                                judge_cpu(runtime::cpu_info()),
                                judge_memory(runtime::memory_info()), find_devices()};
  for (Finding& finding : judge_models(core::ModelSearch::from_environment()))
    findings.push_back(std::move(finding));
  int problems = 0, warnings = 0;
  for (const Finding& finding : findings) {
    std::fputs(finding_text(finding).c_str(), stdout);
    problems += finding.health == Health::kProblem;
    warnings += finding.health == Health::kWarning;
  }
  if (problems + warnings == 0) {
    std::printf("all is well\n");
  } else {
    std::printf("%d problem%s, %d warning%s\n", problems, problems == 1 ? "" : "s", warnings,
                warnings == 1 ? "" : "s");
  }
  return problems ? 1 : 0;
}

}  // namespace

Finding judge_blas(const runtime::BlasInfo& blas, double gflops) {
  Finding finding{Health::kOk, "BLAS", blas.name, runtime::blas_fix(blas)};
  if (blas.path.empty()) finding.text = "inside LibTorch";
  if (gflops >= 0.0)
    finding.text += ", " + number(gflops, gflops < 10.0 ? 1 : 0) + " GFLOP/s on one core";
  if (!blas.path.empty()) finding.text += " (" + blas.path + ")";
  if (blas.kind == runtime::BlasKind::kReference) {
    finding.health = Health::kWarning;
    finding.text += ": many times slower than OpenBLAS";
  }
  return finding;
}

Finding judge_cpu(const runtime::CpuInfo& cpu) {
  std::vector<std::string> units;
  if (cpu.has_avx2) units.push_back("AVX2");
  if (cpu.has_fma) units.push_back("FMA");
  if (cpu.has_avx512) units.push_back("AVX-512");
  if (cpu.has_avx512_bf16) units.push_back("AVX-512 bf16");
  if (cpu.has_amx_bf16) units.push_back("AMX bf16");
  if (cpu.has_amx_int8) units.push_back("AMX int8");
  Finding finding{Health::kOk, "processor",
                  (cpu.model.empty() ? "unknown model" : cpu.model) + ", " +
                      std::to_string(cpu.num_cores) +
                      (cpu.num_cores == 1 ? " core, " : " cores, ") +
                      (units.empty() ? "no vector units" : join(units, ", ")),
                  ""};
  if (!cpu.has_avx2 || !cpu.has_fma) {
    finding.health = Health::kWarning;
    finding.fix =
        "duet is meant for processors with AVX2 and FMA (2013 and later); here it will be slow";
  }
  return finding;
}

Finding judge_memory(const runtime::MemoryInfo& memory) {
  const double total = static_cast<double>(memory.total_bytes) / kGiB;
  const double available = static_cast<double>(memory.available_bytes) / kGiB;
  Finding finding{Health::kOk, "memory",
                  number(available, 1) + " of " + number(total, 1) + " GiB available", ""};
  if (available < kEnoughMemoryGiB) {
    finding.health = Health::kWarning;
    finding.fix =
        "close something: building takes 1.5 GiB for each compiler (DUET_JOBS=1 runs one)";
  }
  return finding;
}

Finding judge_packages(const std::vector<std::string>& missing) {
  if (missing.empty()) return {Health::kOk, "packages", "all installed", ""};
  return {Health::kProblem, "packages", "missing: " + join(missing, " "),
          "apt-get install --no-install-recommends " + join(missing, " ") +
              ", as root (./duet does it)"};
}

Finding judge_devices(const std::vector<audio::AudioDevice>& devices) {
  const audio::AudioDevice* input = nullptr;
  const audio::AudioDevice* output = nullptr;
  for (const audio::AudioDevice& device : devices) {
    if (device.is_default_input) input = &device;
    if (device.is_default_output) output = &device;
  }
  if (devices.empty())
    return {Health::kOk, "audio devices",
            "none: duet run works on files; live talk needs a sound card", ""};
  std::string text = std::to_string(devices.size()) + "; ";
  text += input ? "microphone " + input->name : std::string("no microphone");
  text += output ? ", speaker " + output->name : std::string(", no speaker");
  if (input && output) return {Health::kOk, "audio devices", text, ""};
  return {Health::kWarning, "audio devices", text, "live talk needs both; duet run works on files"};
}

std::vector<Finding> judge_models(const core::ModelSearch& search) {
  std::vector<Finding> findings;
  bool has_default = false;
  for (const auto& [name, directory] : search.list()) {
    has_default = has_default || name == core::kDefaultModelName;
    std::error_code failed;
    const auto bytes = fs::file_size(directory / "model.safetensors", failed);
    Finding finding{Health::kOk, "model " + name, directory.string(), ""};
    if (failed) {
      finding.health = name == core::kDefaultModelName ? Health::kProblem : Health::kWarning;
      finding.text += " has no model.safetensors";
      finding.fix = "copy the whole model directory; docs/model-format.md lists its files";
    } else if (bytes < 1024) {  // what git leaves in place of a large file it did not fetch
      finding.health = name == core::kDefaultModelName ? Health::kProblem : Health::kWarning;
      finding.text += ": model.safetensors has only " + std::to_string(bytes) + " bytes";
      finding.fix = "fetch the file itself (git lfs pull, or copy it again)";
    } else {
      finding.text += ", " + number(static_cast<double>(bytes) * 1e-6, 1) + " MB";
    }
    findings.push_back(std::move(finding));
  }
  if (!has_default) {
    std::vector<std::string> folders;
    for (const fs::path& folder : search.all_folders()) folders.push_back(folder.string());
    findings.push_back(
        {Health::kProblem, std::string("model ") + core::kDefaultModelName,
         "not found in " + join(folders, ", "),
         "put the model directory into one of these, or set DUET_MODEL_DIR, or give --model DIR"});
  }
  return findings;
}

std::string finding_text(const Finding& finding) {
  const char* mark = finding.health == Health::kOk        ? "ok       "
                     : finding.health == Health::kWarning ? "warning  "
                                                          : "PROBLEM  ";
  std::string text = mark + finding.subject + ": " + finding.text + "\n";
  if (!finding.fix.empty()) text += "         fix: " + finding.fix + "\n";
  return text;
}

void add_doctor(CLI::App& app, Dispatch& dispatch) {
  CLI::App* command = app.add_subcommand(
      "doctor", "Check what this machine needs to run duet, and say how to fix it");
  on_run(*command, dispatch, run_doctor);
}

}  // namespace duet::commands
