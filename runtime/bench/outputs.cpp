#include <algorithm>
#include <filesystem>

#include "audio/audio_file.h"
#include "runtime/bench/dialog_files.h"
#include "runtime/bench/suite_run.h"
#include "runtime/core/error.h"

namespace duet::runtime::bench {

namespace {

namespace fs = std::filesystem;

std::string main_name(const ScriptDialog& dialog) { return dialog.id + ".wav"; }
std::string control_name(const ScriptDialog& dialog, std::size_t index) {
  return dialog.id + ".without-" + dialog.events[index].id + ".wav";
}

double length_s(const Script& script, const ScriptDialog& dialog, const std::vector<Clip>& clips,
                const std::vector<Placement>& places, int rate_hz) {
  const std::size_t last = dialog.events.size() - 1;
  const double clip_s = static_cast<double>(clips[last].samples.size()) / rate_hz;
  return std::max(places[last].start_s + clip_s, places[last].user.end_s) + script.tail_s;
}

audio::AudioClip load_agent(const fs::path& path) {
  const int num_channels = audio::AudioFileReader(path.string()).num_channels();
  return audio::load_audio_file(path.string(), std::min(2, num_channels));
}

DialogResult score_files(const Script& script, const ScriptDialog& dialog, const fs::path& folder,
                         const std::string& keep_folder) {
  constexpr int kUserRateHz = 16000;
  const std::vector<Clip> clips = load_clips(dialog, kUserRateHz);
  Recording recording;
  recording.places = place_fixed(script, dialog, clips);
  const double seconds = length_s(script, dialog, clips, recording.places, kUserRateHz);
  recording.user = render_user(clips, recording.places, seconds, kUserRateHz);
  recording.user_rate_hz = kUserRateHz;
  audio::AudioClip agent = load_agent(folder / main_name(dialog));
  recording.activity = find_activity(measure_levels_db(agent.samples, agent.rate_hz));
  recording.agent = std::move(agent.samples);
  recording.agent_rate_hz = agent.rate_hz;
  std::map<std::size_t, Activity> controls;
  for (std::size_t i = 0; i < dialog.events.size(); ++i) {
    const fs::path path = folder / control_name(dialog, i);
    if (!needs_control(dialog.events[i].kind) || !fs::is_regular_file(path)) continue;
    const audio::AudioClip control = load_agent(path);
    controls[i] = find_activity(measure_levels_db(control.samples, control.rate_hz));
  }
  DialogResult result = score_dialog(dialog, recording, controls);
  result.has_words = false;
  for (EventResult& event : result.events) event.is_right.reset();
  if (!keep_folder.empty()) write_dialog_audio(keep_folder, dialog.id, recording);
  return result;
}

}  // namespace

std::size_t render_suite(const Script& script, const std::string& folder, int rate_hz) {
  fs::create_directories(folder);
  std::size_t num_files = 0;
  for (const ScriptDialog& dialog : script.dialogs) {
    const std::vector<Clip> clips = load_clips(dialog, rate_hz);
    const std::vector<Placement> places = place_fixed(script, dialog, clips);
    const double seconds = length_s(script, dialog, clips, places, rate_hz);
    audio::write_wav_file((fs::path(folder) / main_name(dialog)).string(),
                          render_user(clips, places, seconds, rate_hz), rate_hz);
    ++num_files;
    for (std::size_t i = 0; i < places.size(); ++i) {
      if (!needs_control(dialog.events[i].kind)) continue;
      const double until_s = places[i].user.start_s + control_seconds(dialog.events[i]);
      audio::write_wav_file((fs::path(folder) / control_name(dialog, i)).string(),
                            render_user(clips, places, until_s, rate_hz, i), rate_hz);
      ++num_files;
    }
  }
  return num_files;
}

SuiteResult score_outputs(const Script& script, const std::string& folder,
                          const std::string& keep_folder) {
  if (!fs::is_directory(folder)) {
    throw core::LoadError({.subject = "outputs",
                           .expected = "a folder of WAV files",
                           .found = "none",
                           .file = folder,
                           .hint = "duet bench render writes what the system is to hear"});
  }
  SuiteResult result;
  result.system = fs::path(folder).filename().string();
  if (result.system.empty()) result.system = fs::path(folder).parent_path().filename().string();
  result.suite = script.name;
  result.fingerprint = script.fingerprint;
  result.suite_seed = script.seed;
  result.num_dialogs = script.dialogs.size();
  if (!keep_folder.empty()) fs::create_directories(keep_folder);
  for (const ScriptDialog& dialog : script.dialogs) {
    DialogResult scored;
    try {
      scored = score_files(script, dialog, folder, keep_folder);
    } catch (const core::LoadError& error) {
      scored.id = dialog.id;
      scored.error = error.what();
    }
    result.dialogs.push_back(keep_dialog(keep_folder, scored, script.fingerprint + " outputs"));
  }
  return result;
}

}  // namespace duet::runtime::bench
