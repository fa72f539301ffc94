#pragma once
// The pictures of the HTML report, as inline SVG.

#include <string>
#include <utility>
#include <vector>

#include "runtime/bench/dialog_result.h"

namespace duet::runtime::bench {

/// `text` for use in HTML and in attributes.
std::string escape_html(const std::string& text);

/// Histogram (bars, 100 ms each) and cumulative share (line) of latencies from 0 to 3 s; what is
/// beyond stands at the right edge as "later or never".
std::string svg_distribution(const std::vector<double>& seconds, const std::string& title);

/// A line through (x, y) points, from the least to the greatest y; nothing without two finite ones.
std::string svg_curve(const std::vector<std::pair<double, double>>& points,
                      const std::string& title, const std::string& x_name);

/// Peak of each of `num_bins` equal parts, in [0, 1].
std::vector<float> envelope(const std::vector<float>& samples, std::size_t num_bins);

/// Both channels above each other against time, events and words beside. Envelopes may be empty:
/// the activity is then drawn instead.
std::string svg_dialog(const DialogResult& dialog, const std::vector<float>& user_envelope,
                       const std::vector<float>& agent_envelope);

}  // namespace duet::runtime::bench
