#include <cstdio>

#include "runtime/core/model_path.h"
#include "runtime/engine/describe.h"
#include "runtime/machine.h"
#include "tools/commands/commands.h"

namespace duet::commands {
namespace {

struct DescribeOptions {
  std::string model = core::kDefaultModelName;
  std::vector<std::string> overrides;
  bool is_json = false;
};

int run_describe(const DescribeOptions& options) {
  const engine::Description description =
      engine::describe_model(core::find_model(options.model).string(), options.overrides);
  const std::string text = options.is_json ? engine::description_json(description)
                                           : engine::description_text(description);
  std::fputs(text.c_str(), stdout);
  const runtime::BlasInfo blas = runtime::blas_info();
  if (blas.kind == runtime::BlasKind::kReference)
    std::fprintf(stderr, "warning: LibTorch uses the slow reference BLAS (%s); fix: %s\n",
                 blas.path.c_str(), runtime::blas_fix(blas).c_str());
  return description.problems.empty() ? 0 : 1;
}

}  // namespace

void add_describe(CLI::App& app, Dispatch& dispatch) {
  auto options = std::make_shared<DescribeOptions>();
  CLI::App* command = app.add_subcommand(
      "describe", "Show a model's architecture, sizes, delays and cost, and validate it");
  command->add_option("model", options->model, "Model directory, or the name of a known model");
  command->add_option("--set", options->overrides, "key.path=value on its config.json");
  command->add_flag("--json", options->is_json, "As JSON");
  on_run(*command, dispatch, [options] { return run_describe(*options); });
}

}  // namespace duet::commands
