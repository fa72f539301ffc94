#include <algorithm>
#include <cstdio>

#include "runtime/bench/speed.h"
#include "runtime/bench/svg.h"

namespace duet::runtime::bench {

namespace {

constexpr const char* kSpeedStyle = R"(
body{margin:0 auto;max-width:900px;padding:24px;font:15px/1.45 system-ui,sans-serif;color:#1d2330}
h1{font-size:24px;margin:0 0 4px}h2{font-size:18px;margin:28px 0 6px}pre{background:#f5f6f8;padding:12px;white-space:pre-wrap;font-size:13px}
svg{width:100%}svg text{font:12px system-ui,sans-serif;fill:#1d2330}svg .axis{fill:#667085;font-size:11px}
.p50{fill:#2563a8}.p95{fill:#7fa7d2}.p99{fill:#c3d7eb}.max{stroke:#1d2330}.budget{stroke:#b3261e;stroke-dasharray:5 4}
.line{fill:none;stroke:#2563a8;stroke-width:1.5}.dot{fill:#2563a8}
)";
constexpr double kLeft = 90.0, kRight = 860.0;

std::string format(const char* pattern, double a, double b = 0.0, double c = 0.0, double d = 0.0) {
  char text[256];
  std::snprintf(text, sizeof text, pattern, a, b, c, d);
  return text;
}

std::string text_at(double x, double y, const char* cls, const std::string& text) {
  return format("<text x=\"%.1f\" y=\"%.1f\" class=\"", x, y) + cls + "\">" + escape_html(text) +
         "</text>";
}

std::string line(const char* cls, double x1, double y1, double x2, double y2) {
  return std::string("<line class=\"") + cls +
         format("\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>", x1, y1, x2, y2);
}

std::string bar(const char* cls, double y, double width) {
  return std::string("<rect class=\"") + cls +
         format("\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"20\"/>", kLeft, y,
                std::max(0.5, width));
}

std::string svg_open(double height) {
  return format("<svg viewBox=\"0 0 900 %.0f\" role=\"img\">", height);
}

/// p99 behind p95 behind p50, a stroke for the longest, the budget across all.
std::string stages_plot(const SpeedReport& report) {
  const double most = std::max(report.budget_ms, summarise(report.step()).max_ms) * 1.05;
  const auto x_of = [&](double ms) { return (kRight - kLeft) * ms / most; };
  double y = 8.0;
  std::string svg;
  for (const StageTimes& stage : report.stages) {
    const StageSummary s = summarise(stage);
    svg += text_at(4.0, y + 15.0, "name", s.name) + bar("p99", y, x_of(s.p99_ms)) +
           bar("p95", y, x_of(s.p95_ms)) + bar("p50", y, x_of(s.p50_ms));
    const double x = kLeft + x_of(s.max_ms);
    svg += line("max", x, y, x, y + 20.0);
    svg += text_at(std::min(x + 5.0, kRight - 40.0), y + 15.0, "axis", format("%.1f", s.p50_ms));
    y += 28.0;
  }
  const double budget = kLeft + x_of(report.budget_ms);
  svg += line("budget", budget, 4.0, budget, y);
  svg += text_at(budget - 50.0, y + 13.0, "axis", format("%.0f ms", report.budget_ms));
  return svg_open(y + 20.0) + svg + "</svg>";
}

std::string polyline(const std::vector<std::pair<double, double>>& points) {
  std::string list;
  for (const auto& [x, y] : points) list += format("%.1f,%.1f ", x, y);
  return "<polyline class=\"line\" points=\"" + list + "\"/>";
}

/// Points over a frame of 160 units with the budget across.
std::string curve(const SpeedReport& report, const std::vector<double>& ms,
                  const std::vector<std::string>& names) {
  constexpr double kHigh = 160.0, kTop = 10.0;
  const double most = std::max(report.budget_ms, *std::max_element(ms.begin(), ms.end())) * 1.05;
  const auto y_of = [&](double value) { return kTop + kHigh * (1.0 - value / most); };
  const double step =
      (kRight - kLeft) / static_cast<double>(std::max<std::size_t>(1, ms.size() - 1));
  std::vector<std::pair<double, double>> points;
  std::string svg;
  for (std::size_t i = 0; i < ms.size(); ++i) {
    points.emplace_back(kLeft + step * static_cast<double>(i), y_of(ms[i]));
    if (names.empty()) continue;
    svg += format("<circle class=\"dot\" cx=\"%.1f\" cy=\"%.1f\" r=\"3\"/>", points.back().first,
                  points.back().second);
    svg += text_at(points.back().first - 4.0, kTop + kHigh + 15.0, "axis", names[i]);
  }
  svg += polyline(points) +
         line("budget", kLeft, y_of(report.budget_ms), kRight, y_of(report.budget_ms));
  svg += text_at(4.0, y_of(report.budget_ms) + 4.0, "axis", format("%.0f ms", report.budget_ms)) +
         text_at(4.0, kTop + kHigh, "axis", "0");
  if (most > 1.2 * report.budget_ms)
    svg += text_at(4.0, kTop + 8.0, "axis", format("%.0f ms", most));
  return svg_open(kTop + kHigh + 24.0) + svg + "</svg>";
}

}  // namespace

std::string to_html(const SpeedReport& report) {
  const std::string title = escape_html("Speed: " + report.subject);
  std::string html = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>" + title +
                     "</title><style>" + kSpeedStyle + "</style><h1>" + title + "</h1><pre>" +
                     escape_html(to_text(report)) + "</pre>";
  html +=
      "<h2>Stages</h2><p>Dark to light: p50, p95, p99; stroke: the longest; dashed: the time a "
      "step has.</p>" +
      stages_plot(report);
  html += "<h2>Steps, in order</h2>" + curve(report, report.step().ms, {});
  if (!report.batches.empty()) {
    std::vector<double> ms;
    std::vector<std::string> names;
    for (const BatchPoint& point : report.batches) {
      ms.push_back(point.p50_ms);
      names.push_back(std::to_string(point.sessions));
    }
    html += "<h2>Conversations in one step</h2>" + curve(report, ms, names);
  }
  return html + "</html>\n";
}

}  // namespace duet::runtime::bench
