#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numeric>

#include "runtime/bench/html.h"
#include "runtime/bench/metrics.h"
#include "runtime/bench/report.h"
#include "runtime/bench/svg.h"
#include "runtime/core/version.h"
#include "runtime/machine.h"

namespace duet::runtime::bench {

namespace {

std::string summary(const SuiteResult& result) {
  std::string html =
      "<h2>Summary</h2><table><tr><th>figure</th><th>value</th><th>95 % interval</th>"
      "<th>n</th><th>elsewhere (other recordings: not the same test)</th></tr>";
  for (const Metric& metric : compute_metrics(result)) {
    const Unit unit = metric.definition->unit;
    const Estimate& estimate = metric.estimate;
    std::string others;
    for (const Reference& reference : references()) {
      if (std::string(reference.metric) != metric.definition->id) continue;
      others += (others.empty() ? "" : "; ") + std::string(reference.system) + " " +
                show(reference.value, unit) + " (" + reference.source + ")";
    }
    html += "<tr>" + html_cell(metric.definition->label) +
            html_cell(show(estimate.value, unit), "n") +
            html_cell(show(estimate.low, unit) + " to " + show(estimate.high, unit), "n") +
            html_cell(std::to_string(estimate.n), "n") + html_cell(others) + "</tr>";
  }
  return html + "</table><p>Events that count: " + escape_html(counted_text(result)) + "</p>";
}

std::string distributions(const SuiteResult& result) {
  std::string plots;
  std::vector<double> stops, replies;
  for (const DialogResult& dialog : result.dialogs) {
    for (const EventResult& event : dialog.events) {
      if (event.stop && event.stop->is_counted) stops.push_back(event.stop->latency_s);
      if (event.reply && event.reply->is_counted) replies.push_back(event.reply->latency_s);
    }
  }
  if (!stops.empty()) plots += svg_distribution(stops, "Stop latency [s]");
  if (!replies.empty()) plots += svg_distribution(replies, "Reply latency [s]");
  if (plots.empty()) return "";
  return "<h2>Distributions</h2><p>Bars: events in 100 ms; line: share so far; red: later than 3 s "
         "or never.</p><div class=\"plots\">" +
         plots + "</div>";
}

std::string dialogs(const SuiteResult& result, const HtmlOptions& options) {
  std::vector<std::size_t> order(result.dialogs.size());
  std::iota(order.begin(), order.end(), 0U);
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return badness(result.dialogs[a]) > badness(result.dialogs[b]);
  });
  const std::size_t shown = std::min(order.size(), options.max_dialogs);
  std::string html =
      "<h2>Conversations, worst first</h2><p>Above the user, below the agent, on the "
      "listener's clock. Shaded: events and the agent's activity; red line: where it "
      "stopped. " +
      std::to_string(shown) + " of " + std::to_string(order.size()) +
      " are shown; the JSON report has all.</p>";
  for (std::size_t i = 0; i < shown; ++i)
    html += html_dialog(result.dialogs[order[i]],
                        {.folder = options.folder, .has_audio = i < options.max_audio});
  return html;
}

std::string facts(const SuiteResult& result) {
  const CpuInfo cpu = cpu_info();
  char text[400];
  std::snprintf(text, sizeof text, "%.0f s of audio stepped in %.0f s of computing (RTF %.3f)",
                result.audio_s, result.compute_s,
                result.audio_s > 0.0 ? result.compute_s / result.audio_s : 0.0);
  return "<h2>Machine</h2><p>" + escape_html(cpu.model) + ", " + std::to_string(cpu.num_cores) +
         (cpu.num_cores == 1 ? " core, " : " cores, ") +
         std::to_string(memory_info().total_bytes >> 30) + " GiB; " +
         escape_html(core::version_text()) + "</p><p>" +
         (result.audio_s > 0.0 ? text : "not timed here: it ran elsewhere") + "</p>";
}

}  // namespace

std::string to_html(const SuiteResult& result, const HtmlOptions& options) {
  const std::string head =
      std::string("<p>") + name_of(result.mode) + " timeline; " +
      std::to_string(result.dialogs.size()) + " of " + std::to_string(result.num_dialogs) +
      " dialogues" + (result.dtype.empty() ? "" : "; " + escape_html(result.dtype)) + "; seed " +
      std::to_string(result.seed) + ", suite seed " + std::to_string(result.suite_seed) +
      "; suite " + escape_html(result.fingerprint) +
      "</p><p>All times are taken from the audio, never from tokens.</p>";
  return html_page(
      result.suite + ": " + result.system,
      head + summary(result) + distributions(result) + facts(result) + dialogs(result, options));
}

}  // namespace duet::runtime::bench
