#include "tools/train/stages.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "runtime/core/atomic_file.h"
#include "runtime/core/config_reader.h"
#include "tools/train/child_process.h"
#include "tools/train/recipe.h"

namespace duet::train {
namespace {

namespace fs = std::filesystem;
using core::ConfigReader;
using Variables = std::map<std::string, std::string>;

std::string read_file(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

std::string fill_in(const ConfigReader& config, const std::string& key, std::string text,
                    const Variables& variables) {
  for (std::size_t begin = 0; (begin = text.find("${", begin)) != std::string::npos;) {
    const std::size_t end = text.find('}', begin);
    const std::string name = text.substr(begin + 2, end - begin - 2);
    const auto found = variables.find(name);
    if (end == std::string::npos || found == variables.end()) {
      std::string known;
      for (const auto& [variable, value] : variables)
        known += (known.empty() ? "" : ", ") + variable;
      config.fail(key, "one of the variables " + known, "${" + name + "}");
    }
    text.replace(begin, end - begin + 1, found->second);
    begin += found->second.size();
  }
  return text;
}

std::vector<std::string> read_paths(const ConfigReader& config, const char* key,
                                    const Variables& variables) {
  std::vector<std::string> paths = config.get_string_list(key, {});
  for (std::string& path : paths) path = fill_in(config, key, path, variables);
  return paths;
}

Stage read_stage(const ConfigReader& config, const Variables& variables) {
  Stage stage;
  stage.name = config.get_string("name");
  if (stage.name.empty() || stage.name.find_first_of("/ ") != std::string::npos)
    config.fail("name", "a name that can be a file's", "\"" + stage.name + "\"");
  stage.minutes = config.get_double("minutes", stage.minutes, core::DoubleRange{0.001, 1e5});
  stage.inputs = read_paths(config, "inputs", variables);
  stage.outputs = read_paths(config, "outputs", variables);
  stage.metrics = fill_in(config, "metrics", config.get_string("metrics", ""), variables);
  if (config.has("run") == config.has("train"))
    config.fail("run", "either run, a command, or train, a kind of training", "both or neither");
  if (config.has("run")) {
    stage.command = fill_in(config, "run", config.get_string("run"), variables);
    return stage;
  }
  const std::string kind = config.get_choice(
      "train", {"encoder", "codec", "duplex", "codes", "codec-samples", "export"});
  stage.is_training = kind == "encoder" || kind == "codec" || kind == "duplex";
  stage.recipe = fill_in(config, "recipe", config.get_string("recipe"), variables);
  stage.command =
      shell_word(variables.at("duet")) + " train " + kind + " " + shell_word(stage.recipe);
  for (const std::string& setting : config.get_string_list("set", {}))
    stage.command += " --set " + shell_word(fill_in(config, "set", setting, variables));
  return stage;
}

void check_files(const ConfigReader& config, const std::vector<Stage>& stages) {
  std::set<std::string> made;
  std::vector<NamedFile> needed;
  for (const Stage& stage : stages) {
    for (const std::string& path : stage.inputs)
      if (made.count(path) == 0) needed.push_back({"stages." + stage.name + ".inputs", path});
    if (!stage.recipe.empty()) needed.push_back({"stages." + stage.name + ".recipe", stage.recipe});
    made.insert(stage.outputs.begin(), stage.outputs.end());
  }
  require_files(config, needed);
}

std::string state_path(const std::string& out_dir, const Stage& stage) {
  return (fs::path(out_dir) / (stage.name + ".json")).string();
}

/// FNV-1a: the same on every machine.
std::string hash_of(const std::string& text) {
  std::uint64_t hash = 14695981039346656037ULL;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ULL;
  char out[20];
  std::snprintf(out, sizeof out, "%016llx", static_cast<unsigned long long>(hash));
  return out;
}

}  // namespace

StageRecipe read_stage_recipe(const std::string& path, const std::vector<std::string>& overrides,
                              const std::string& duet) {
  const ConfigReader config = ConfigReader::load_file(path, overrides);
  Variables variables{{"duet", duet}};
  const ConfigReader given = config.sub_or_empty("variables");
  for (const std::string& name : given.keys()) variables[name] = given.get_string(name);
  StageRecipe recipe;
  recipe.out_dir = config.get_string("out");
  std::set<std::string> names;
  for (const ConfigReader& stage : config.sub_list("stages")) {
    recipe.stages.push_back(read_stage(stage, variables));
    if (!names.insert(recipe.stages.back().name).second)
      stage.fail("name", "a name of its own", "\"" + recipe.stages.back().name + "\" again");
  }
  if (recipe.stages.empty()) config.fail("stages", "at least one", "none");
  const ConfigReader report = config.sub_or_empty("report");
  recipe.table = report.get_string("table", "");
  recipe.work = report.get_string("work", "");
  recipe.page = report.get_string("page", recipe.out_dir + "/report.html");
  config.finish();
  check_files(config, recipe.stages);
  return recipe;
}

StageState read_state(const std::string& out_dir, const Stage& stage) {
  using nlohmann::json;
  const json saved = json::parse(read_file(state_path(out_dir, stage)), nullptr, false);
  if (!saved.is_object()) return {};
  const std::string kind = saved.value("state", "");
  return {kind == "done"      ? StageState::Kind::kDone
          : kind == "started" ? StageState::Kind::kStarted
                              : StageState::Kind::kNew,
          saved.value("fingerprint", ""), saved.value("seconds", 0.0)};
}

void write_state(const std::string& out_dir, const Stage& stage, const StageState& state) {
  const nlohmann::ordered_json saved = {
      {"state", state.kind == StageState::Kind::kDone ? "done" : "started"},
      {"fingerprint", state.fingerprint},
      {"seconds", state.seconds},
      {"command", stage.command}};
  core::write_file_atomically(state_path(out_dir, stage), saved.dump(1) + "\n");
}

std::string fingerprint(const Stage& stage) {
  std::string text = stage.command + "\n" + (stage.recipe.empty() ? "" : read_file(stage.recipe));
  std::error_code error;
  for (const std::string& path : stage.inputs)
    text += "\n" + path + " " + std::to_string(fs::file_size(path, error)) + " " +
            std::to_string(fs::last_write_time(path, error).time_since_epoch().count());
  return hash_of(text);
}

StageNeed need_of(const Stage& stage, const StageState& state) {
  if (state.kind == StageState::Kind::kNew) return StageNeed::kStart;
  if (state.fingerprint != fingerprint(stage)) return StageNeed::kRestart;
  if (state.kind == StageState::Kind::kStarted) return StageNeed::kResume;
  const bool is_whole = std::all_of(stage.outputs.begin(), stage.outputs.end(),
                                    [](const std::string& path) { return fs::exists(path); });
  return is_whole ? StageNeed::kDone : StageNeed::kRestart;
}

const char* name_of(StageNeed need) {
  switch (need) {
    case StageNeed::kDone: return "done";
    case StageNeed::kStart: return "to do";
    case StageNeed::kResume: return "to resume";
    case StageNeed::kRestart: break;
  }
  return "to do anew";
}

}  // namespace duet::train
