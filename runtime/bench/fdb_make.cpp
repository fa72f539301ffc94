#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "audio/audio_file.h"
#include "runtime/bench/conversation.h"
#include "runtime/bench/fdb_score.h"
#include "runtime/core/atomic_file.h"

namespace duet::runtime::bench::fdb {

namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;
constexpr int kMadeRateHz = 16000;

ordered_json times(const Segment& segment) {
  const auto rounded = [](double s) { return static_cast<double>(std::llround(s * 1e3)) / 1e3; };
  return ordered_json::array({rounded(segment.start_s), rounded(segment.end_s)});
}

class Writer {
 public:
  Writer(const Script& script, const std::string& root) : script_(script), root_(root) {}

  std::size_t write() {
    for (const ScriptDialog& dialog : script_.dialogs) {
      dialog_ = &dialog;
      clips_ = load_clips(dialog, kMadeRateHz);
      places_ = place_fixed(script_, dialog, clips_);
      for (std::size_t i = 0; i < dialog.events.size(); ++i) {
        const Kind kind = dialog.events[i].kind;
        if (kind == Kind::kInterruption) {
          write_interruption(i);
          break;  // Later ones would not stand where the system answers.
        }
        if (kind == Kind::kPause) write_pause(i);
        if (kind == Kind::kBackchannel) write_backchannel(i);
      }
    }
    return num_samples_;
  }

 private:
  fs::path next_folder(const char* subset) {
    ++num_samples_;
    const fs::path folder = root_ / subset / std::to_string(++counts_[subset]);
    fs::create_directories(folder);
    return folder;
  }
  void save(const fs::path& path, const std::vector<float>& samples) const {
    audio::write_wav_file(path.string(), samples, kMadeRateHz);
  }
  void save(const fs::path& path, const ordered_json& json) const {
    core::write_file_atomically(
        path.string(), json.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n");
  }
  /// The user up to and with event `last`, and time for an answer.
  std::vector<float> user(std::size_t last, std::optional<std::size_t> removed = {}) const {
    const std::vector<Clip> clips(clips_.begin(), clips_.begin() + std::ptrdiff_t(last) + 1);
    const std::vector<Placement> places(places_.begin(),
                                        places_.begin() + std::ptrdiff_t(last) + 1);
    const ScriptEvent& event = dialog_->events[last];
    const double tail_s = std::max(script_.tail_s, script_.reply_delay_s + event.reply_s);
    return render_user(clips, places, places.back().user.end_s + tail_s, kMadeRateHz, removed);
  }
  std::string text_before(std::size_t index) const {
    std::string text;
    for (std::size_t i = 0; i < index; ++i)
      if (!dialog_->events[i].text.empty())
        text += (text.empty() ? "" : " ") + dialog_->events[i].text;
    return text;
  }

  void write_interruption(std::size_t i) {
    const fs::path folder = next_folder("v1_0/synthetic_user_interruption");
    save(folder / "input.wav", user(i));
    save(folder / "context.wav", clips_[i == 0 ? 0 : i - 1].samples);
    save(folder / "interrupt.wav", clips_[i].samples);
    save(folder / "interrupt.json", ordered_json::array({{{"context", text_before(i)},
                                                          {"interrupt", dialog_->events[i].text},
                                                          {"timestamp", times(places_[i].user)}}}));
  }

  void write_pause(std::size_t i) {
    const fs::path folder = next_folder("v1_0/synthetic_pause_handling");
    const Segment silence{places_[i].user.end_s, places_[i + 1].user.start_s};
    save(folder / "input.wav", user(i + 1));
    save(folder / "pause.json",
         ordered_json::array({{{"text", "[PAUSE]"}, {"timestamp", times(silence)}}}));
  }

  void write_backchannel(std::size_t i) {
    const fs::path folder = next_folder("v1_5/user_backchannel");
    save(folder / "input.wav", user(i));
    save(folder / "clean_input.wav", user(i, i));
    save(folder / "metadata.json", {{"context_text", text_before(i)},
                                    {"current_turn_text", dialog_->events[i].text},
                                    {"timestamps", times(places_[i].user)}});
  }

  const Script& script_;
  fs::path root_;
  const ScriptDialog* dialog_ = nullptr;
  std::vector<Clip> clips_;
  std::vector<Placement> places_;
  std::map<std::string, int> counts_;
  std::size_t num_samples_ = 0;
};

}  // namespace

std::size_t make_from_suite(const Script& script, const std::string& root) {
  return Writer(script, root).write();
}

}  // namespace duet::runtime::bench::fdb
