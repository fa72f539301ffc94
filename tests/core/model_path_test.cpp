#include "runtime/core/model_path.h"

#include <catch2/catch.hpp>
#include <cstdlib>

#include "runtime/core/error.h"
#include "tests/support/temp_dir.h"

using namespace duet::core;
namespace fs = std::filesystem;
using Catch::Matchers::Contains;

namespace {

struct ModelFolders {
  duet::support::TempDir folder;
  fs::path path() const { return folder.path(); }
  fs::path make_model(const std::string& relative) const {
    fs::create_directories(path() / relative);
    return fs::path(folder.write(relative + "/config.json", "{}")).parent_path();
  }
};

}  // namespace

TEST_CASE("a model name is looked up in the folders, in order", "[unit]") {
  const ModelFolders root;
  const fs::path second = root.make_model("b/tea");
  fs::create_directories(root.path() / "a/tea");  // no config.json: not a model
  const ModelSearch search{"", {root.path() / "a", root.path() / "b"}};
  CHECK(search.find("tea") == second);
  const fs::path first = root.make_model("a/tea");
  CHECK(search.find("tea") == first);
}

TEST_CASE("DUET_MODEL_DIR goes first, as a folder of models or as a model", "[unit]") {
  const ModelFolders root;
  root.make_model("a/coffee-bar");
  const fs::path own = root.make_model("mine/coffee-bar");
  const fs::path single = root.make_model("single");
  CHECK(ModelSearch{(root.path() / "mine").string(), {root.path() / "a"}}.find("coffee-bar") ==
        own);
  const ModelSearch one{single.string() + "/", {root.path() / "a"}};
  CHECK(one.find(kDefaultModelName) == single / "");
  CHECK(one.find("single") == single / "");
}

TEST_CASE("a path is taken as it is and must be a directory", "[unit]") {
  const ModelFolders root;
  const fs::path model = root.make_model("x");
  const ModelSearch search{"", {}};
  CHECK(search.find(model.string()) == model);
  CHECK_THROWS_WITH(search.find((root.path() / "nope").string()),
                    Contains("expected a directory") && Contains("found nothing there"));
  CHECK_THROWS_WITH(search.find((model / "config.json").string()), Contains("found a file"));
}

TEST_CASE("a model that is nowhere: the error lists where it was looked for and the way out",
          "[unit]") {
  CHECK_THROWS_AS((ModelSearch{"", {}}.find("tea")), LoadError);
  CHECK_THROWS_WITH((ModelSearch{"", {"/nowhere/a", "/nowhere/b"}}.find("tea")),
                    Contains("model tea: expected") && Contains("/nowhere/a, /nowhere/b") &&
                        Contains("DUET_MODEL_DIR"));
  CHECK_THROWS_WITH((ModelSearch{"", {}}.find("")), Contains("--model"));
}

TEST_CASE("the list names each model once, as find would give it", "[unit]") {
  const ModelFolders root;
  const fs::path first = root.make_model("a/tea");
  root.make_model("b/tea");
  const fs::path other = root.make_model("b/cocoa");
  const auto models = ModelSearch{"", {root.path() / "a", root.path() / "b", "/nowhere"}}.list();
  REQUIRE(models.size() == 2);
  CHECK(models[0] == std::make_pair(std::string("tea"), first));
  CHECK(models[1] == std::make_pair(std::string("cocoa"), other));
}

TEST_CASE("the environment's folders follow the XDG rules", "[unit]") {
  setenv("XDG_DATA_HOME", "/x/home", 1);
  setenv("XDG_DATA_DIRS", "/x/one::/x/two/", 1);
  const std::vector<fs::path> folders = ModelSearch::from_environment().folders;
  unsetenv("XDG_DATA_HOME");
  unsetenv("XDG_DATA_DIRS");
  REQUIRE(folders.size() >= 4);
  const std::vector<fs::path> tail(folders.end() - 3, folders.end());
  CHECK(tail ==
        std::vector<fs::path>{"/x/home/duet/models", "/x/one/duet/models", "/x/two/duet/models"});
}
