#include <filesystem>
#include <set>

#include "runtime/bench/dialog_files.h"
#include "runtime/bench/html.h"
#include "runtime/bench/svg.h"
#include "runtime/bench/table.h"
#include "runtime/core/progress_bar.h"

namespace duet::runtime::bench {

namespace {

namespace fs = std::filesystem;

std::string row_html(const MeasuredRow& row) {
  std::string html = "<tr>" + html_cell(row.row.label);
  if (!row.missing.empty()) {
    html += "<td colspan=\"4\">not measured: " + escape_html(row.missing) + "</td>";
  } else {
    html += html_cell(show(row.estimate.value, row.unit), "n") +
            html_cell(show(row.estimate.low, row.unit) + " to " + show(row.estimate.high, row.unit),
                      "n") +
            html_cell(std::to_string(row.estimate.n), "n") + html_cell(target_text(row));
  }
  html += row.is_met
              ? std::string("<td class=\"") + (*row.is_met ? "ok\">met" : "bad\">missed") + "</td>"
              : html_cell("");
  return html + html_cell(row.row.reference) + "</tr>";
}

std::string parts_html(const Table& table) {
  std::string html = "<h2>How long it took</h2><table>";
  for (const PartResult& part : table.parts)
    html += "<tr>" + html_cell(part.id) +
            html_cell(part.missing.empty() ? core::format_duration(part.seconds) : "-", "n") +
            "</tr>";
  return html + "</table>";
}

/// The first conversations of a part that is a suite.
std::string samples_html(const std::string& folder, const std::string& id, std::size_t count) {
  std::set<std::string> names;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error))
    if (entry.path().extension() == ".json") names.insert(entry.path().stem().string());
  std::string html;
  for (const std::string& name : names) {
    const auto dialog = count > 0 ? read_dialog_file(folder, name, std::nullopt) : std::nullopt;
    if (!dialog) continue;
    html += html_dialog(*dialog, {.folder = folder, .has_audio = true, .has_spectrogram = true});
    --count;
  }
  return html.empty() ? "" : "<h2>Listen: " + escape_html(id) + "</h2>" + html;
}

}  // namespace

std::string to_html(const Table& table, const TableHtml& options) {
  std::string html =
      "<p>" + escape_html(table.machine) +
      "</p><p>Intervals: 95 %, bootstrap; of differences by resampling pairs. A target "
      "is met or missed by the value.</p><table><tr><th>measure</th><th>value</th>"
      "<th>95 % interval</th><th>n</th><th>target</th><th></th><th>elsewhere</th></tr>";
  for (const MeasuredRow& row : table.rows) html += row_html(row);
  html += "</table>" + options.more;
  for (const PartResult& part : table.parts)
    html += samples_html((fs::path(options.work) / part.id).string(), part.id, options.num_samples);
  return html_page(table.name + ": " + table.system, html + parts_html(table));
}

}  // namespace duet::runtime::bench
