#include "runtime/bench/html.h"

#include <cstdio>
#include <filesystem>

#include "audio/audio_file.h"
#include "audio/resampler.h"
#include "codecs/wire/base64.h"
#include "codecs/wire/ogg_opus_encoder.h"
#include "runtime/bench/metrics.h"
#include "runtime/bench/spectrogram.h"
#include "runtime/bench/svg.h"

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
  return "<tr>" + html_cell(std::string(name_of(event.kind))) + html_cell(when) +
         html_cell(event.text) + "<td>" + text + "</td>" + html_cell(event.reply_text) + "</tr>";
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

/// 0 to 8 kHz upwards, as wide as the timeline.
std::string spectrogram(const audio::AudioClip& clip, const std::string& who) {
  return "<img class=\"dialog\" alt=\"spectrogram: " + who + "\" src=\"data:image/bmp;base64," +
         wire::base64_encode(spectrogram_bmp(clip.samples, clip.rate_hz)) + "\">";
}

}  // namespace

std::string html_page(const std::string& title, const std::string& body) {
  const std::string escaped = escape_html(title);
  return "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>" + escaped +
         "</title><style>" + kStyle + "</style><h1>" + escaped + "</h1>" + body + "</html>\n";
}

std::string html_cell(const std::string& text, const char* cls) {
  return std::string("<td") + (*cls != 0 ? std::string(" class=\"") + cls + "\"" : "") + ">" +
         escape_html(text) + "</td>";
}

std::string html_dialog(const DialogResult& dialog, const DialogHtml& options) {
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
    if (options.has_audio) sound = audio_element(user, agent);
    if (options.has_spectrogram) sound += spectrogram(user, "user") + spectrogram(agent, "agent");
  }
  html += svg_dialog(dialog, user_envelope, agent_envelope) + sound +
          "<table><tr><th>event</th><th>when</th><th>said</th><th>what came of it</th>"
          "<th>the agent's text</th></tr>";
  for (const EventResult& event : dialog.events) html += event_row(event);
  return html + "</table>";
}

}  // namespace duet::runtime::bench
