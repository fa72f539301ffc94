#pragma once
// Where model directories are found. Shared by every command that takes --model.

#include <filesystem>
#include <string>
#include <vector>

namespace duet::core {

/// Name of the model that the repository carries (configs/models/coffee-bar).
inline constexpr const char* kDefaultModelName = "coffee-bar";

/// Where to look, from outside: tests give their own, the program its real environment.
struct ModelSearch {
  std::string model_dir_variable;  ///< $DUET_MODEL_DIR: a model directory or a folder of them; may
                                   ///< be empty.
  std::vector<std::filesystem::path> folders;  ///< Folders of model directories, in order.

  /// $DUET_MODEL_DIR; <source>/configs/models; <prefix>/share/duet/models, prefix being the parent
  /// of the binary's folder; $XDG_DATA_HOME (or ~/.local/share) and each of $XDG_DATA_DIRS, with
  /// /duet/models.
  static ModelSearch from_environment();

  /// Every folder that find() looks into, in order.
  std::vector<std::filesystem::path> all_folders() const;

  /// The directory of the model `name`. A path (with a '/', or naming a directory that exists) is
  /// taken as it is; a bare name is looked up in all_folders(). Throws LoadError that lists where
  /// it looked.
  std::filesystem::path find(const std::string& name) const;

  /// Names of the models found, each with the directory find(name) would give.
  std::vector<std::pair<std::string, std::filesystem::path>> list() const;
};

/// ModelSearch::from_environment().find(name).
std::filesystem::path find_model(const std::string& name = kDefaultModelName);

/// A model directory holds a config.json.
bool is_model_directory(const std::filesystem::path& directory);

}  // namespace duet::core
