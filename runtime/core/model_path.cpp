#include "runtime/core/model_path.h"

#include <algorithm>
#include <cstdlib>
#include <sstream>
#include <system_error>

#include "runtime/core/error.h"

namespace duet::core {
namespace fs = std::filesystem;
namespace {

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

bool is_directory(const fs::path& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored);
}

void add_unique(std::vector<fs::path>& folders, const fs::path& folder) {
  const fs::path clean = folder.lexically_normal();
  if (std::find(folders.begin(), folders.end(), clean) == folders.end()) folders.push_back(clean);
}

}  // namespace

bool is_model_directory(const fs::path& directory) {
  std::error_code ignored;
  return fs::is_regular_file(directory / "config.json", ignored);
}

ModelSearch ModelSearch::from_environment() {
  ModelSearch search;
  search.model_dir_variable = variable("DUET_MODEL_DIR");
  if (is_directory(DUET_SOURCE_DIR "/configs"))
    add_unique(search.folders, DUET_SOURCE_DIR "/configs/models");
  std::error_code failed;
  const fs::path binary = fs::read_symlink("/proc/self/exe", failed);
  if (!failed) add_unique(search.folders, binary.parent_path().parent_path() / "share/duet/models");
  const std::string data_home = variable("XDG_DATA_HOME"), home = variable("HOME");
  if (!data_home.empty()) {
    add_unique(search.folders, fs::path(data_home) / "duet/models");
  } else if (!home.empty()) {
    add_unique(search.folders, fs::path(home) / ".local/share/duet/models");
  }
  std::string data_dirs = variable("XDG_DATA_DIRS");
  if (data_dirs.empty())
    data_dirs = "/usr/local/share:/usr/share";  // the XDG specification's default
  std::istringstream parts(data_dirs);
  for (std::string part; std::getline(parts, part, ':');)
    if (!part.empty()) add_unique(search.folders, fs::path(part) / "duet/models");
  return search;
}

std::vector<fs::path> ModelSearch::all_folders() const {
  std::vector<fs::path> all;
  if (!model_dir_variable.empty()) add_unique(all, model_dir_variable);
  for (const fs::path& folder : folders) add_unique(all, folder);
  return all;
}

fs::path ModelSearch::find(const std::string& name) const {
  if (name.empty())
    throw LoadError({.subject = "--model",
                     .expected = "a name or a directory",
                     .found = "nothing",
                     .file = {},
                     .hint = {}});
  if (name.find('/') != std::string::npos || is_model_directory(name)) {
    if (!is_directory(name))
      throw LoadError({.subject = "model " + name,
                       .expected = "a directory",
                       .found = fs::exists(name) ? "a file" : "nothing there",
                       .file = {},
                       .hint = {}});
    return name;
  }
  // The variable may name one model directory: that is then the default model, or the one of its
  // own name.
  if (is_model_directory(model_dir_variable)) {
    const fs::path directory = fs::path(model_dir_variable).lexically_normal();
    const fs::path own_name =
        directory.has_filename() ? directory.filename() : directory.parent_path().filename();
    if (name == kDefaultModelName || name == own_name) return directory;
  }
  std::string looked;
  for (const fs::path& folder : all_folders()) {
    if (is_model_directory(folder / name)) return folder / name;
    looked += (looked.empty() ? "" : ", ") + folder.string();
  }
  throw LoadError({.subject = "model " + name,
                   .expected = "a directory of that name with a config.json",
                   .found = looked.empty() ? "no folder to look in" : "none in " + looked,
                   .file = {},
                   .hint = "give its path with --model, or set DUET_MODEL_DIR"});
}

std::vector<std::pair<std::string, fs::path>> ModelSearch::list() const {
  std::vector<std::pair<std::string, fs::path>> models;
  const auto add = [&models](const std::string& name, const fs::path& directory) {
    for (const auto& [known, path] : models)
      if (known == name) return;
    models.emplace_back(name, directory);
  };
  if (is_model_directory(model_dir_variable)) add(kDefaultModelName, model_dir_variable);
  for (const fs::path& folder : all_folders()) {
    std::error_code failed;
    std::vector<fs::path> found;
    for (const auto& entry : fs::directory_iterator(folder, failed))
      if (is_model_directory(entry.path())) found.push_back(entry.path());
    std::sort(found.begin(), found.end());
    for (const fs::path& directory : found) add(directory.filename(), directory);
  }
  return models;
}

fs::path find_model(const std::string& name) { return ModelSearch::from_environment().find(name); }

}  // namespace duet::core
