#include <cstdio>
#include <fstream>
#include <memory>
#include <string>

#include "models/weights/safetensors.h"
#include "runtime/core/error.h"
#include "runtime/engine/nemo_bundle.h"
#include "runtime/engine/parity.h"
#include "tools/commands/commands.h"

namespace duet::commands {
namespace {

struct ParityCommand {
  std::string model, reference, json;
  engine::ParityOptions limits;
  bool has_codec_of_nemo_file = false;
};

int run_parity(const ParityCommand& options) {
  if (!engine::is_nemo_bundle(options.model))
    throw core::LoadError({.subject = options.model,
                           .expected = "a NeMo bundle (config.json with `perception`)",
                           .found = "another folder or none",
                           .file = {},
                           .hint = "docs/model-format.md section 2"});
  const engine::NemoBundle bundle = engine::load_nemo_bundle(
      options.model, {.context = {}, .has_codec_of_nemo_file = options.has_codec_of_nemo_file});
  const engine::ParityReport report = engine::compare_with_reference(
      {bundle.perception.get(), bundle.lm.get(), bundle.codec.get(), {}},
      models::load_safetensors(options.reference), options.reference, options.limits);
  std::fputs(report.to_table().c_str(), stdout);
  if (!options.json.empty()) {
    std::ofstream out(options.json);
    out << report.to_json() << '\n';
    if (!out.flush())
      throw core::Error({.subject = "--json",
                         .expected = "a file that can be written",
                         .found = "an error",
                         .file = options.json,
                         .hint = {}});
  }
  return report.is_within() ? 0 : 1;
}

}  // namespace

void add_parity(CLI::App& app, Dispatch& dispatch) {
  auto options = std::make_shared<ParityCommand>();
  CLI::App* command =
      app.add_subcommand("parity", "Compare a NeMo model with a reference's run, stage by stage");
  command->add_option("model", options->model, "Folder of a NeMo bundle")->required();
  command
      ->add_option("reference", options->reference,
                   "Dump of the reference (.safetensors), see docs/parity.md")
      ->required();
  command->add_option("--absolute", options->limits.absolute, "Limit of a difference")
      ->check(CLI::NonNegativeNumber);
  command
      ->add_option("--relative", options->limits.relative,
                   "... plus this times the reference's value")
      ->check(CLI::NonNegativeNumber);
  command->add_option("--json", options->json, "Also write the figures to this file");
  command->add_flag("--codec-of-nemo-file", options->has_codec_of_nemo_file,
                    "Use codec.nemo instead of the codec in model.safetensors");
  on_run(*command, dispatch, [options] { return run_parity(*options); });
}

}  // namespace duet::commands
