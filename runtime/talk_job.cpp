#include "runtime/talk_job.h"

#include <algorithm>
#include <cstdio>
#include <utility>
#include <vector>

#include "audio/audio_file.h"
#include "audio/resampler.h"
#include "audio/room_device.h"
#include "runtime/core/atomic_file.h"
#include "runtime/core/error.h"
#include "runtime/live_recording.h"
#include "runtime/live_transcript.h"
#include "runtime/live_view.h"

namespace duet::runtime {

namespace {

constexpr float kVolumeStep = 0.1F;

bool ends_with(const std::string& text, const std::string& ending) {
  return text.size() >= ending.size() &&
         text.compare(text.size() - ending.size(), ending.size(), ending) == 0;
}

/// Whatever looks on at a conversation.
class Onlookers {
 public:
  Onlookers(const TalkJob& job, const EngineInfo& info, std::ostream& out)
      : job_(job),
        view_(out, info,
              {.is_terminal = job.is_terminal,
               .columns = job.terminal_columns,
               .step_ms = info.step_seconds * 1e3}),
        transcript_(info) {
    if (!job.record_dir.empty()) recording_.emplace(job.record_dir, info, job.live.session);
    if (!job.transcript.empty()) file_.emplace(job.transcript);
  }

  LiveHooks hooks(const Keyboard& keyboard, const std::function<bool()>& should_stop) {
    return {
        .on_step =
            [this](const LiveStep& step) {
              view_.add(step);
              transcript_.add(step);
              if (recording_) recording_->add(step);
            },
        .on_notice = [this](const std::string& text) { view_.notice(text); },
        .on_open =
            [this](const audio::DeviceFacts& facts) {
              if (recording_) recording_->set_rate(facts.rate_hz);
              char text[64];
              std::snprintf(text, sizeof text, " at %d Hz", facts.rate_hz);
              view_.notice("microphone " + facts.input_name + ", speaker " + facts.output_name +
                           text);
            },
        .on_tick =
            [this, keyboard](audio::DuplexStream& stream) {
              for (int key = keyboard ? keyboard() : 0; key != 0; key = keyboard())
                press(key, stream);
              if (++num_ticks_ % 5 != 0) return;  // Ten times a second.
              const audio::StreamMeters meters = stream.meters();
              if (meters.is_near_clipped && !was_clipped_ && !job_.is_terminal)
                view_.notice("the microphone clips: turn it down");
              was_clipped_ = meters.is_near_clipped;
              view_.draw(meters, stream.counters(), stream.is_muted(), stream.volume());
            },
        .should_stop = [this, should_stop] { return is_quit_ || (should_stop && should_stop()); }};
  }

  void finish(std::ostream& log) {
    view_.finish();
    if (file_) {
      file_.reset();
      const std::string& path = job_.transcript;
      core::write_file_atomically(path, ends_with(path, ".srt")    ? transcript_.to_srt()
                                        : ends_with(path, ".json") ? transcript_.to_json()
                                                                   : transcript_.to_text());
      log << "wrote " << path << '\n';
    }
    if (recording_) {
      recording_->finish();
      log << "wrote " << job_.record_dir << " (duet replay " << job_.record_dir
          << " runs it again)\n";
    }
  }

 private:
  void press(int key, audio::DuplexStream& stream) {
    const float volume = stream.volume();
    switch (key) {
      case 'q': is_quit_ = true; break;
      case 'm': stream.set_muted(!stream.is_muted()); break;
      case ' ':
        if (job_.is_push_to_talk) stream.set_muted(!stream.is_muted());
        break;
      case '+': stream.set_volume(std::min(volume + kVolumeStep, 2.0F)); break;
      case '-': stream.set_volume(std::max(volume - kVolumeStep, 0.0F)); break;
      default: tell_keys(); break;
    }
  }

  /// Once, to whoever types: no model here takes text.
  void tell_keys() {
    if (std::exchange(has_told_keys_, true)) return;
    view_.notice("typed text is not understood, speak; keys: m mute, + - volume, q quit");
  }

  const TalkJob& job_;
  LiveView view_;
  LiveTranscript transcript_;
  std::optional<LiveRecording> recording_;
  std::optional<core::AtomicFile> file_;  // A place that cannot be written is told at the start.
  int num_ticks_ = 0;
  bool is_quit_ = false;
  bool was_clipped_ = false;
  bool has_told_keys_ = false;
};

LiveOptions live_options(const TalkJob& job) {
  LiveOptions options = job.live;
  options.worker.is_recording = !job.record_dir.empty();
  options.is_muted = options.is_muted || job.is_push_to_talk;
  return options;
}

}  // namespace

void validate(const TalkJob& job) {
  validate(job.live.session);
  if (job.transcript.empty() || ends_with(job.transcript, ".txt") ||
      ends_with(job.transcript, ".srt") || ends_with(job.transcript, ".json"))
    return;
  throw core::ConfigError({.subject = "--transcript",
                           .expected = "a file ending in .txt, .srt or .json",
                           .found = job.transcript});
}

std::string memory_warning(std::int64_t model_bytes, std::int64_t available_bytes) {
  // The weights once, LibTorch and its caches beside them.
  constexpr std::int64_t kBeside = 400'000'000;
  if (available_bytes <= 0 || model_bytes + kBeside <= available_bytes) return {};
  return "the model needs about " + std::to_string((model_bytes + kBeside) / 1'000'000) +
         " MB and " + std::to_string(available_bytes / 1'000'000) +
         " MB are free: expect the voice to break up";
}

std::string totals_text(const LiveTotals& totals) {
  char text[512];
  std::snprintf(
      text, sizeof text,
      "%lld steps, %lld deadlines missed, lag at most %.0f ms, added latency %.1f ms\n"
      "%llu underruns, %llu overruns, %llu device faults, %llu clips; not heard %.1f s of you, "
      "not played %.1f s of the agent\n",
      static_cast<long long>(totals.num_steps), static_cast<long long>(totals.num_deadline_misses),
      totals.max_lag_s * 1e3, totals.added_latency_ms,
      static_cast<unsigned long long>(totals.stream.num_underruns),
      static_cast<unsigned long long>(totals.stream.num_overruns),
      static_cast<unsigned long long>(totals.stream.num_device_faults),
      static_cast<unsigned long long>(totals.stream.num_clips), totals.dropped_input_s,
      totals.dropped_voice_s);
  std::string result = text;
  if (totals.num_lost_events > 0)
    result +=
        std::to_string(totals.num_lost_events) +
        " steps are missing from the transcript and the recording, which cannot be replayed\n";
  if (totals.has_given_up) result += "stopped: the agent failed again and again\n";
  return result;
}

LiveTotals talk(const TalkJob& job, const Engine& engine, audio::DuplexDevice& device,
                std::ostream& out, std::ostream& log, const Keyboard& keyboard,
                const std::function<bool()>& should_stop) {
  validate(job);
  Onlookers onlookers(job, engine.info(), out);
  LiveConversation live(engine, device, live_options(job), onlookers.hooks(keyboard, should_stop));
  const LiveTotals totals = live.run();
  onlookers.finish(log);
  log << totals_text(totals) << std::flush;
  return totals;
}

LiveTotals talk_in_room(const RoomJob& job, const Engine& engine, std::ostream& out,
                        std::ostream& log, const std::function<bool()>& should_stop) {
  validate(job.talk);
  const audio::AudioClip clip = audio::load_audio_file(job.input);
  const auto voice = audio::resample(clip.samples, clip.rate_hz, job.room.rate_hz);
  std::optional<audio::WavWriter> wav;
  if (!job.output.empty()) wav.emplace(job.output, job.room.rate_hz, 2);
  std::size_t said = 0;
  std::vector<float> interleaved;
  audio::RoomDevice device(
      {.room = job.room,
       .say =
           [&](std::span<float> piece) {
             for (float& x : piece) x = said < voice.size() ? voice[said++] : 0.0F;
           },
       .watch =
           [&](std::span<const float>, std::span<const float> mic, std::span<const float> far) {
             if (!wav) return;
             interleaved.resize(2 * mic.size());
             for (std::size_t i = 0; i < mic.size(); ++i) {
               interleaved[2 * i] = mic[i];
               interleaved[2 * i + 1] = far[i];
             }
             wav->write(interleaved);
           }});
  Onlookers onlookers(job.talk, engine.info(), out);
  LiveConversation live(engine, device, live_options(job.talk), onlookers.hooks({}, should_stop));
  auto left = static_cast<std::int64_t>(job.tail_s * 100.0);  // Buffers of 10 ms.
  const LiveTotals totals = live.run_in_step([&] {
    device.pump();
    return said < voice.size() || left-- > 0;
  });
  onlookers.finish(log);
  if (wav) {
    wav->commit();
    log << "wrote " << job.output << " (left microphone in the room, right agent)\n";
  }
  log << totals_text(totals) << std::flush;
  return totals;
}

}  // namespace duet::runtime
