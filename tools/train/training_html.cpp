#include <algorithm>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "runtime/bench/html.h"
#include "runtime/bench/svg.h"
#include "runtime/core/progress_bar.h"
#include "tools/train/train_all.h"

namespace duet::train {
namespace {

using Curve = std::vector<std::pair<double, double>>;

/// Each metric over the steps, "eval: " before those of evaluations. A training that was begun anew
/// wrote to the same file: only the last one is shown.
std::map<std::string, Curve> read_curves(const std::string& path) {
  std::map<std::string, Curve> curves;
  std::ifstream stream(path);
  double last_step = 0.0;
  for (std::string text; std::getline(stream, text);) {
    const nlohmann::json line = nlohmann::json::parse(text, nullptr, false);
    if (!line.is_object()) continue;
    const double step = line.value("step", 0.0);
    if (step < last_step) curves.clear();
    last_step = step;
    const std::string prefix = line.value("kind", "") == "eval" ? "eval: " : "";
    for (const auto& [key, value] : line.items()) {
      if (value.is_number() && key != "step" && key != "elapsed_s" && key != "lr_factor")
        curves[prefix + key].emplace_back(step, value.get<double>());
    }
  }
  return curves;
}

}  // namespace

std::string training_html(const StageRecipe& recipe) {
  std::string table =
      "<h2>Training</h2><table><tr><th>stage</th><th>took</th><th>command</th></tr>";
  std::string plots;
  double total_s = 0.0;
  for (const Stage& stage : recipe.stages) {
    const StageState state = read_state(recipe.out_dir, stage);
    total_s += state.seconds;
    table += "<tr>" + runtime::bench::html_cell(stage.name) +
             runtime::bench::html_cell(core::format_duration(state.seconds), "n") +
             runtime::bench::html_cell(stage.command) + "</tr>";
    std::string curves;
    if (!stage.metrics.empty())
      for (const auto& [name, points] : read_curves(stage.metrics))
        curves += runtime::bench::svg_curve(points, name, "step");
    if (!curves.empty())
      plots += "<h3>" + runtime::bench::escape_html(stage.name) + "</h3><div class=\"plots\">" +
               curves + "</div>";
  }
  return table + "<tr>" + runtime::bench::html_cell("all") +
         runtime::bench::html_cell(core::format_duration(total_s), "n") + "<td></td></tr></table>" +
         plots;
}

}  // namespace duet::train
