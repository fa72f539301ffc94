#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <numeric>

#include "audio/audio_file.h"
#include "audio/resampler.h"
#include "codecs/wire/base64.h"
#include "codecs/wire/ogg_opus_encoder.h"
#include "runtime/bench/metrics.h"
#include "runtime/bench/report.h"
#include "runtime/bench/svg.h"
#include "runtime/core/version.h"
#include "runtime/machine.h"

namespace duet::runtime::bench {

namespace {

namespace fs = std::filesystem;

constexpr const char* kStyle = R"(
:root{--fg:#1d2330;--soft:#667085;--line:#e3e6ec;--bg:#fff;--user:#2563a8;--agent:#c2571a;--ok:#1c7c4c;--bad:#b3261e}
body{margin:0 auto;max-width:1080px;padding:24px;font:15px/1.45 system-ui,sans-serif;color:var(--fg);background:var(--bg)}
h1{font-size:24px;margin:0 0 4px}h2{font-size:18px;margin:32px 0 8px}h3{font-size:15px;margin:20px 0 2px}
p,small{color:var(--soft);margin:2px 0}table{border-collapse:collapse;width:100%}
td,th{padding:5px 10px 5px 0;text-align:left;border-bottom:1px solid var(--line);vertical-align:top}
th{font-weight:600;color:var(--soft)}td.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.plots{display:flex;gap:24px;flex-wrap:wrap}.plot{width:480px;max-width:100%}.dialog{width:100%}
svg text{font:11px system-ui,sans-serif;fill:var(--fg)}svg .axis{fill:var(--soft);font-size:10px}svg .title{font-weight:600;font-size:12px}
.bar{fill:#9db8d6}.late{fill:var(--bad)}.cdf{fill:none;stroke:var(--user);stroke-width:2}.tick{stroke:var(--line)}
.event{fill:#2563a8;opacity:.09}.event.interruption{fill:#b3261e;opacity:.12}.event.backchannel{fill:#1c7c4c;opacity:.16}
.event.noise,.event.second_speaker,.event.echo{fill:#8a6d00;opacity:.16}.active{fill:#c2571a;opacity:.1}
.wave.user{fill:var(--user)}.wave.agent{fill:var(--agent)}.stop{stroke:var(--bad);stroke-width:1.5}
svg .user-word{fill:var(--user)}svg .agent-word{fill:var(--agent)}.ok{color:var(--ok)}.bad{color:var(--bad)}audio{width:100%;height:32px}
)";

std::string cell(const std::string& text, const char* cls = "") {
  return std::string("<td") + (*cls != 0 ? std::string(" class=\"") + cls + "\"" : "") + ">" +
         escape_html(text) + "</td>";
}

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
    html += "<tr>" + cell(metric.definition->label) + cell(show(estimate.value, unit), "n") +
            cell(show(estimate.low, unit) + " to " + show(estimate.high, unit), "n") +
            cell(std::to_string(estimate.n), "n") + cell(others) + "</tr>";
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

std::string verdict(const std::string& what, const EventScore& score, bool shows_latency) {
  if (!score.is_counted) return what + ": <span>not counted</span>; ";
  std::string text = what + ": <span class=\"" + (score.is_success ? "ok\">yes" : "bad\">no");
  if (shows_latency) text += ", " + show(score.latency_s, Unit::kMilliseconds);
  return text + "</span>; ";
}

std::string event_row(const EventResult& event) {
  std::string text;
  if (event.stop) text += verdict("stops within 1.5 s", *event.stop, true);
  if (event.goes_on) text += verdict("goes on", *event.goes_on, false);
  if (event.pause) text += verdict("waits", *event.pause, false);
  if (event.reply) text += verdict("answers within 3 s", *event.reply, true);
  if (event.is_right) {
    text += std::string("right: <span class=\"") + (*event.is_right ? "ok\">yes" : "bad\">no") +
            "</span>; ";
  }
  if (event.has_false_alarm.value_or(false)) text += "<span class=\"bad\">false alarm</span>; ";
  if (event.num_false_starts > 0) {
    text +=
        "<span class=\"bad\">" + std::to_string(event.num_false_starts) + " false starts</span>; ";
  }
  if (text.size() > 2) text.resize(text.size() - 2);
  char when[48];
  std::snprintf(when, sizeof when, "%.2f to %.2f s", event.user.start_s, event.user.end_s);
  return "<tr>" + cell(std::string(name_of(event.kind))) + cell(when) + cell(event.text) + "<td>" +
         text + "</td>" + cell(event.reply_text) + "</tr>";
}

/// Both voices in one Ogg-Opus file, as a data URI.
std::string audio_element(const audio::AudioClip& user, const audio::AudioClip& agent) {
  std::vector<float> mix(user.samples.size());
  for (std::size_t i = 0; i < mix.size(); ++i) mix[i] = 0.7F * (user.samples[i] + agent.samples[i]);
  mix = audio::resample(mix, user.rate_hz, wire::OggOpusEncoder::kRateHz);
  wire::OggOpusEncoder encoder({.packets_per_page = 4, .bitrate_bps = 24000});
  std::vector<std::uint8_t> bytes;
  encoder.encode(mix, bytes);
  encoder.finish(bytes);
  return "<audio controls preload=\"none\" src=\"data:audio/ogg;base64," +
         wire::base64_encode(bytes) + "\"></audio>";
}

std::string dialog_section(const DialogResult& dialog, const HtmlOptions& options, bool has_audio) {
  std::string html = "<h3>" + escape_html(dialog.id) + "</h3>";
  if (!dialog.error.empty()) return html + "<p class=\"bad\">" + escape_html(dialog.error) + "</p>";
  constexpr std::size_t kBins = 1000;
  std::vector<float> user_envelope, agent_envelope;
  std::string sound;
  const std::string path = (fs::path(options.folder) / (dialog.id + ".wav")).string();
  if (!options.folder.empty() && fs::is_regular_file(path)) {
    const audio::AudioClip user = audio::load_audio_file(path, 1);
    const audio::AudioClip agent = audio::load_audio_file(path, 2);
    user_envelope = envelope(user.samples, kBins);
    agent_envelope = envelope(agent.samples, kBins);
    if (has_audio) sound = audio_element(user, agent);
  }
  html += svg_dialog(dialog, user_envelope, agent_envelope) + sound +
          "<table><tr><th>event</th><th>when</th><th>said</th><th>what came of it</th>"
          "<th>the agent's text</th></tr>";
  for (const EventResult& event : dialog.events) html += event_row(event);
  return html + "</table>";
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
    html += dialog_section(result.dialogs[order[i]], options, i < options.max_audio);
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
  const std::string title = escape_html(result.suite + ": " + result.system);
  std::string html = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>" + title +
                     "</title><style>" + kStyle + "</style><h1>" + title + "</h1><p>" +
                     name_of(result.mode) + " timeline; " + std::to_string(result.dialogs.size()) +
                     " of " + std::to_string(result.num_dialogs) + " dialogues" +
                     (result.dtype.empty() ? "" : "; " + escape_html(result.dtype)) + "; seed " +
                     std::to_string(result.seed) + ", suite seed " +
                     std::to_string(result.suite_seed) + "; suite " +
                     escape_html(result.fingerprint) +
                     "</p><p>All times are taken from the audio, never from tokens.</p>";
  return html + summary(result) + distributions(result) + facts(result) + dialogs(result, options) +
         "</html>\n";
}

}  // namespace duet::runtime::bench
