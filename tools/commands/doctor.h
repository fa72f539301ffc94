#pragma once
// What `duet doctor` finds. The judgements take plain data, so that tests can show them machines
// they do not run on.

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "audio/device_list.h"
#include "runtime/core/model_path.h"
#include "runtime/machine.h"

namespace duet::commands {

enum class Health { kOk, kWarning, kProblem };

struct Finding {
  Health health = Health::kOk;
  std::string subject;  ///< "BLAS"
  std::string text;     ///< What was found.
  std::string fix;      ///< What to do about it; empty for kOk.
};

/// gflops < 0: not measured.
Finding judge_blas(const runtime::BlasInfo& blas, double gflops);
Finding judge_cpu(const runtime::CpuInfo& cpu);
Finding judge_memory(const runtime::MemoryInfo& memory);
Finding judge_packages(const std::vector<std::string>& missing);
Finding judge_devices(const std::vector<audio::AudioDevice>& devices);

/// One finding for each model found, or one that says that there is none; a problem only if the
/// default one is missing.
std::vector<Finding> judge_models(const core::ModelSearch& search);

/// "ok       BLAS: OpenBLAS ..." with the fix on a line of its own.
std::string finding_text(const Finding& finding);

}  // namespace duet::commands
