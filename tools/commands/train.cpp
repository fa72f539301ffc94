#include <memory>

#include "tools/commands/commands.h"
#include "tools/train/recipe.h"
#include "tools/train/train_all.h"

namespace duet::commands {
namespace {

void add_stage(CLI::App& parent, Dispatch& dispatch, const char* name, const char* what,
               int (*stage)(const train::RecipeOptions&)) {
  auto options = std::make_shared<train::RecipeOptions>();
  CLI::App* command = parent.add_subcommand(name, what);
  command->add_option("config", options->config, "YAML file, see configs/train/")
      ->required()
      ->check(CLI::ExistingFile);
  command->add_option("--set", options->overrides,
                      "key.path=value, overrides the file; may be given again");
  command->add_option("--out", options->out_dir,
                      "Folder for checkpoints and metrics, overrides the file's `out`");
  command->add_option("--budget", options->budget,
                      "Time to train, e.g. 90s, 150m, 2h; the schedule fits itself to it");
  command->add_flag("--restart", options->restart,
                    "Start anew even if there is a checkpoint to resume");
  on_run(*command, dispatch, [options, stage] { return stage(*options); });
}

void add_all_stages(CLI::App& parent, Dispatch& dispatch) {
  auto options = std::make_shared<train::TrainAllOptions>();
  CLI::App* command = parent.add_subcommand(
      "all", "Every stage of a recipe, speech to report; what is done is not done again");
  command->add_option("config", options->config, "YAML file, see configs/train/coffee-bar.yaml")
      ->required()
      ->check(CLI::ExistingFile);
  command->add_option("--set", options->overrides,
                      "key.path=value, overrides the file; may be given again");
  CLI::Option* only = command->add_option("--only", options->only, "This stage only, anew");
  command->add_option("--from", options->from, "This stage and all after it, anew")->excludes(only);
  command->add_flag("--dry-run", options->is_dry_run, "Say what would be done");
  on_run(*command, dispatch, [options] { return train::train_all(*options); });
}

}  // namespace

void add_train(CLI::App& app, Dispatch& dispatch) {
  CLI::App* command = app.add_subcommand(
      "train", "Train a part of a model; resumes where it stopped, Ctrl-C saves");
  command->require_subcommand(1);
  add_all_stages(*command, dispatch);
  add_stage(*command, dispatch, "encoder", "Speech encoder, by CTC on transcribed speech",
            train::train_encoder);
  add_stage(*command, dispatch, "duplex",
            "Language model that listens, decides and speaks, on mixed dialogues",
            train::train_duplex);
  add_stage(*command, dispatch, "codec", "Speech codec, by spectral distances and discriminators",
            train::train_codec);
  add_stage(
      *command, dispatch, "codec-samples",
      "data.heldout through the codec `initial` and back, as WAV files for tools/judge (--out)",
      train::write_codec_samples);
  add_stage(*command, dispatch, "codes",
            "Encode the agent's utterances with a trained codec (--out FILE.safetensors)",
            train::encode_code_set);
  add_stage(*command, dispatch, "export", "Pack the trained parts into a model directory (int8)",
            train::train_export);
}

}  // namespace duet::commands
