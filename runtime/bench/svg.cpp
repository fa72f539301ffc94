#include "runtime/bench/svg.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace duet::runtime::bench {

namespace {

constexpr double kWidth = 1000.0;

std::string printed(const char* pattern, double a, double b = 0.0, double c = 0.0, double d = 0.0) {
  char text[256];
  std::snprintf(text, sizeof text, pattern, a, b, c, d);
  return text;
}

std::string text_at(double x, double y, const std::string& cls, const std::string& text) {
  return printed("<text x=\"%.1f\" y=\"%.1f\" class=\"", x, y) + cls + "\">" + escape_html(text) +
         "</text>";
}

std::string rect(double x, double y, double width, double height, const std::string& cls) {
  return printed("<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" class=\"", x, y,
                 std::max(0.5, width), std::max(0.0, height)) +
         cls + "\"/>";
}

/// A filled band around y.
std::string band(const std::vector<float>& peaks, double y, double half_height,
                 const std::string& cls) {
  std::string upper, lower;
  const double step = kWidth / static_cast<double>(peaks.size());
  for (std::size_t i = 0; i < peaks.size(); ++i) {
    const double x = (static_cast<double>(i) + 0.5) * step;
    const double h = std::max(0.3, half_height * static_cast<double>(peaks[i]));
    upper += printed("%.1f,%.1f ", x, y - h);
    lower = printed("%.1f,%.1f ", x, y + h) + lower;
  }
  return "<polygon class=\"" + cls + "\" points=\"" + upper + lower + "\"/>";
}

/// Words, each line shifted down where it would run into the one before.
class Captions {
 public:
  Captions(double y, std::string cls) : y_(y), cls_(std::move(cls)) {}
  std::string add(double x, const std::string& text) {
    constexpr double kCharacterWidth = 6.1;
    std::string shown = text;
    if (shown.size() > 90) shown = shown.substr(0, 87) + "...";
    const double width = kCharacterWidth * static_cast<double>(shown.size());
    const double left = std::max(0.0, std::min(x, kWidth - width));
    std::size_t row = 0;
    while (row < ends_.size() && ends_[row] > left) ++row;
    if (row == kRows) row = kRows - 1;
    if (row == ends_.size()) ends_.push_back(0.0);
    ends_[row] = left + width + 8.0;
    return text_at(left, y_ + 13.0 * static_cast<double>(row), cls_, shown);
  }

 private:
  static constexpr std::size_t kRows = 3;
  double y_;
  std::string cls_;
  std::vector<double> ends_;
};

std::string time_axis(double seconds, double y) {
  std::string svg;
  const double every = seconds > 40.0 ? 5.0 : (seconds > 15.0 ? 2.0 : 1.0);
  for (double t = 0.0; t <= seconds; t += every) {
    const double x = t / seconds * kWidth;
    svg += printed("<line class=\"tick\" x1=\"%.1f\" x2=\"%.1f\" y1=\"40\" y2=\"%.1f\"/>", x, x, y);
    if (x < kWidth - 25.0) svg += text_at(x + 2.0, y + 11.0, "axis", printed("%.0f s", t));
  }
  return svg;
}

}  // namespace

std::string escape_html(const std::string& text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      default:
        if (static_cast<unsigned char>(c) >= 0x20 || c == '\n') out += c;
    }
  }
  return out;
}

std::string svg_distribution(const std::vector<double>& seconds, const std::string& title) {
  constexpr double kWide = 480.0, kHigh = 180.0, kLeft = 34.0, kTop = 24.0, kMax = 3.0;
  constexpr std::size_t kBins = 31;  // 30 of 100 ms, one for the rest.
  std::vector<std::size_t> counts(kBins);
  for (const double x : seconds) {
    const double bin = std::isfinite(x) ? std::floor(std::max(0.0, x) * 10.0 + 1e-9) : 30.0;
    ++counts[static_cast<std::size_t>(std::min(bin, 30.0))];
  }
  const double most = static_cast<double>(
      std::max<std::size_t>(1, *std::max_element(counts.begin(), counts.end())));
  const double bar = (kWide - kLeft - 34.0) / static_cast<double>(kBins);
  std::string svg = "<svg class=\"plot\" viewBox=\"0 0 480 222\" role=\"img\">";
  svg += text_at(kLeft, 14.0, "title", title + ", n " + std::to_string(seconds.size()));
  std::string line;
  double so_far = 0.0;
  for (std::size_t i = 0; i < kBins; ++i) {
    const double height = kHigh * static_cast<double>(counts[i]) / most;
    const double x = kLeft + bar * static_cast<double>(i);
    svg += rect(x + 1.0, kTop + kHigh - height, bar - 2.0, height, i + 1 < kBins ? "bar" : "late");
    if (i + 1 < kBins && !seconds.empty()) {
      so_far += static_cast<double>(counts[i]) / static_cast<double>(seconds.size());
      line += printed("%.1f,%.1f ", x + bar, kTop + kHigh * (1.0 - so_far));
    }
  }
  svg += "<polyline class=\"cdf\" points=\"" + printed("%.1f,%.1f ", kLeft, kTop + kHigh) + line +
         "\"/>";
  for (double t = 0.0; t < kMax; t += 0.5)
    svg += text_at(kLeft + bar * 10.0 * t - 8.0, kTop + kHigh + 14.0, "axis", printed("%.1f", t));
  svg += text_at(kWide - 62.0, kTop + kHigh + 14.0, "axis", "later");
  svg += text_at(2.0, kTop + 8.0, "axis", printed("%.0f", most)) +
         text_at(kWide - 32.0, kTop + 8.0, "axis", "100 %") +
         text_at(kWide - 32.0, kTop + kHigh, "axis", "0 %");
  return svg + "</svg>";
}

std::string svg_curve(const std::vector<std::pair<double, double>>& points,
                      const std::string& title, const std::string& x_name) {
  constexpr double kLeft = 60.0, kRight = 470.0, kTop = 24.0, kBottom = 150.0;
  std::vector<std::pair<double, double>> finite;
  for (const auto& point : points)
    if (std::isfinite(point.first) && std::isfinite(point.second)) finite.push_back(point);
  if (finite.size() < 2) return "";
  const auto [low_x, high_x] = std::minmax_element(finite.begin(), finite.end());
  const auto [low_y, high_y] =
      std::minmax_element(finite.begin(), finite.end(),
                          [](const auto& a, const auto& b) { return a.second < b.second; });
  const auto place = [](double value, double low, double high, double from, double to) {
    return high > low ? from + (value - low) / (high - low) * (to - from) : 0.5 * (from + to);
  };
  std::string line;
  for (const auto& [x, y] : finite)
    line += printed("%.1f,%.1f ", place(x, low_x->first, high_x->first, kLeft, kRight),
                    place(y, low_y->second, high_y->second, kBottom, kTop));
  return "<svg class=\"plot\" viewBox=\"0 0 480 172\" role=\"img\">" +
         text_at(kLeft, 14.0, "title", title + printed(", last %.4g", finite.back().second)) +
         "<polyline class=\"cdf\" points=\"" + line + "\"/>" +
         text_at(2.0, kTop + 8.0, "axis", printed("%.4g", high_y->second)) +
         text_at(2.0, kBottom, "axis", printed("%.4g", low_y->second)) +
         text_at(kLeft, kBottom + 16.0, "axis", printed("%.6g", low_x->first)) +
         text_at(kRight - 60.0, kBottom + 16.0, "axis", x_name + printed(" %.6g", high_x->first)) +
         "</svg>";
}

std::vector<float> envelope(const std::vector<float>& samples, std::size_t num_bins) {
  std::vector<float> peaks(samples.empty() ? 0 : num_bins, 0.0F);
  for (std::size_t i = 0; i < samples.size(); ++i) {
    float& peak = peaks[i * num_bins / samples.size()];
    peak = std::max(peak, std::abs(samples[i]));
  }
  for (float& peak : peaks) peak = std::min(1.0F, peak);
  return peaks;
}

std::string svg_dialog(const DialogResult& dialog, const std::vector<float>& user_envelope,
                       const std::vector<float>& agent_envelope) {
  constexpr double kUserY = 72.0, kAgentY = 138.0, kHalf = 30.0, kAxisY = 172.0;
  const double seconds = std::max(1.0, dialog.duration_s);
  const auto x_of = [&](double t) { return std::clamp(t / seconds, 0.0, 1.0) * kWidth; };
  std::string svg = "<svg class=\"dialog\" viewBox=\"0 0 1000 228\" role=\"img\">";
  svg += time_axis(seconds, kAxisY);
  Captions user_words(12.0, "word user-word");
  for (const EventResult& event : dialog.events) {
    const double x = x_of(event.user.start_s);
    svg += rect(x, 40.0, x_of(event.user.end_s) - x, kAxisY - 40.0,
                std::string("event ") + name_of(event.kind));
    svg += user_words.add(x, std::string(name_of(event.kind)) + ": " + event.text);
  }
  for (const Segment& segment : dialog.agent) {
    const double x = x_of(segment.start_s);
    svg += rect(x, kAgentY - kHalf, x_of(segment.end_s) - x, 2.0 * kHalf, "active");
  }
  if (!user_envelope.empty()) svg += band(user_envelope, kUserY, kHalf, "wave user");
  if (!agent_envelope.empty()) svg += band(agent_envelope, kAgentY, kHalf, "wave agent");
  for (const EventResult& event : dialog.events) {
    if (!event.stop || !event.stop->is_counted || !std::isfinite(event.stop->latency_s)) continue;
    const double x = x_of(event.user.start_s + event.stop->latency_s);
    svg += printed("<line class=\"stop\" x1=\"%.1f\" x2=\"%.1f\" y1=\"104\" y2=\"172\"/>", x, x);
  }
  Captions agent_words(196.0, "word agent-word");
  for (const AgentTurn& turn : dialog.turns)
    if (!turn.text.empty()) svg += agent_words.add(x_of(turn.start_s), turn.text);
  return svg + "</svg>";
}

}  // namespace duet::runtime::bench
