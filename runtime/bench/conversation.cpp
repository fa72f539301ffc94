#include "runtime/bench/conversation.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>

#include "audio/audio_file.h"
#include "audio/resampler.h"
#include "runtime/core/error.h"
#include "runtime/speak_text.h"

namespace duet::runtime::bench {

namespace {

std::int64_t sample_at(double time_s, int rate_hz) { return std::llround(time_s * rate_hz); }

Placement place(const ScriptEvent& event, const Clip& clip, double start_s) {
  if (event.kind == Kind::kEcho) return {start_s, {start_s, start_s + event.seconds}};
  return {start_s, {start_s + clip.audible.start_s, start_s + clip.audible.end_s}};
}

double end_of(const ScriptEvent& event, const Clip& clip, const Placement& placement, int rate_hz) {
  if (event.kind == Kind::kEcho) return placement.user.end_s;
  return placement.start_s + static_cast<double>(clip.samples.size()) / rate_hz;
}

/// The silence of a pause is measured between what is audible: so is every distance to a user's
/// end.
double after_user_end(const Placement& before, const Clip& clip, double offset_s) {
  return before.user.end_s + offset_s - clip.audible.start_s;
}

/// A conversation as it happens.
class Conversation {
 public:
  Conversation(const System& system, const Script& script, const ScriptDialog& dialog,
               const std::vector<Clip>& clips, const ConversationPlan& plan)
      : info_(system.info()),
        is_realtime_(system.is_realtime()),
        script_(script),
        dialog_(dialog),
        clips_(clips),
        plan_(plan),
        partner_(system.connect(plan.session)),
        recorder_(info_),
        levels_(info_.output_rate_hz),
        to_input_(info_.output_rate_hz, info_.input_rate_hz),
        block_(static_cast<std::size_t>(info_.block_samples)) {
    recording_.user_rate_hz = info_.input_rate_hz;
    recording_.agent_rate_hz = info_.output_rate_hz;
    add_agent(std::vector<float>(static_cast<std::size_t>(info_.output_block_samples), 0.0F));
    if (plan.removed) {
      recording_.places = plan.places;
      recording_.places.resize(*plan.removed);
    } else if (plan.mode == Mode::kFixed) {
      recording_.places = place_fixed(script, dialog, clips);
    }
  }

  Recording run() {
    while (!is_done()) {
      if (plan_.should_stop && plan_.should_stop()) {
        recording_.is_stopped = true;
        break;
      }
      while (place_next()) {
      }
      step();
    }
    finish();
    levels_.flush();
    const auto user_levels = measure_levels_db(recording_.user, info_.input_rate_hz);
    recording_.turns = recorder_.finish(user_levels, levels_.levels_db()).agent;
    recording_.activity = activity();
    return std::move(recording_);
  }

 private:
  double now_s() const { return static_cast<double>(recording_.user.size()) / info_.input_rate_hz; }
  Activity activity() const { return find_activity(levels_.levels_db()); }

  bool is_done() const {
    if (plan_.removed) return now_s() >= plan_.until_s;
    if (recording_.places.size() < dialog_.events.size()) return false;
    const std::size_t last = dialog_.events.size() - 1;
    return now_s() >= end_of(dialog_.events[last], clips_[last], recording_.places[last],
                             info_.input_rate_hz) +
                          script_.tail_s;
  }

  /// Reactive: decides about the next event once it can be; true when it has been placed.
  bool place_next() {
    const std::size_t index = recording_.places.size();
    if (plan_.removed || index >= dialog_.events.size()) return false;
    const auto start_s = next_start(index);
    // What lies beyond the next block can still be decided then.
    if (!start_s || *start_s >= now_s() + info_.step_seconds) return false;
    recording_.places.push_back(
        place(dialog_.events[index], clips_[index], std::max(*start_s, now_s())));
    return true;
  }

  std::optional<double> next_start(std::size_t index) {
    const ScriptEvent& event = dialog_.events[index];
    if (event.anchor == Anchor::kAt) return event.offset_s;
    const Placement& before = recording_.places[index - 1];
    if (event.anchor == Anchor::kAfterUserEnd)
      return after_user_end(before, clips_[index], event.offset_s);
    const double before_end_s =
        end_of(dialog_.events[index - 1], clips_[index - 1], before, info_.input_rate_hz);
    if (now_s() < before_end_s) return std::nullopt;
    return after_agent(event, index);
  }

  /// Anchors on the agent's answer to the last turn.
  std::optional<double> after_agent(const ScriptEvent& event, std::size_t index) {
    double turn_end_s = 0.0;
    for (std::size_t i = 0; i < index; ++i)
      if (dialog_.events[i].is_turn()) turn_end_s = recording_.places[i].user.end_s;
    const Activity agent = activity();
    const Segment* answer = agent.at(turn_end_s);
    const double onset_s = answer != nullptr ? turn_end_s : 0.0;
    if (answer == nullptr) answer = agent.next(turn_end_s);
    const double clip_s = clips_[index].audible.start_s;
    if (answer == nullptr) {
      const double late_s = turn_end_s + script_.patience_s;
      return now_s() >= late_s ? std::optional(late_s) : std::nullopt;
    }
    const double begin_s = std::max(onset_s, answer->start_s);
    if (event.anchor == Anchor::kAfterAgentOnset) return begin_s + event.offset_s - clip_s;
    if (event.anchor == Anchor::kHalvedSilence) return begin_s + script_.interrupt_s - clip_s;
    const double end_s = agent.segments.back().end_s;
    if (now_s() - end_s >= script_.quiet_s) return end_s + event.offset_s - clip_s;
    const double limit_s = turn_end_s + script_.max_reply_s;
    return now_s() >= limit_s ? std::optional(limit_s) : std::nullopt;
  }

  void mix_block() {
    std::fill(block_.begin(), block_.end(), 0.0F);
    const auto begin = static_cast<std::int64_t>(recording_.user.size());
    for (std::size_t i = 0; i < recording_.places.size(); ++i) {
      const Placement& placement = recording_.places[i];
      if (dialog_.events[i].kind == Kind::kEcho) {
        mix_echo(dialog_.events[i], placement.user, begin);
        continue;
      }
      const std::int64_t shift = begin - sample_at(placement.start_s, info_.input_rate_hz);
      for (std::int64_t k = std::max<std::int64_t>(0, -shift); k < std::ssize(block_); ++k) {
        if (k + shift >= std::ssize(clips_[i].samples)) break;
        block_[static_cast<std::size_t>(k)] +=
            clips_[i].samples[static_cast<std::size_t>(k + shift)];
      }
    }
    for (float& x : block_) x = std::clamp(x, -1.0F, 1.0F);
  }

  /// The agent's own sound as it played `delay_ms` ago (10 ms at least: the resampler's look-ahead
  /// has come by then).
  void mix_echo(const ScriptEvent& event, const Segment& when, std::int64_t begin) {
    const auto gain = static_cast<float>(std::pow(10.0, event.gain_db / 20.0));
    const std::int64_t delay =
        sample_at(std::max(10.0, event.delay_ms) / 1000.0, info_.input_rate_hz);
    for (std::int64_t k = 0; k < std::ssize(block_); ++k) {
      if (!when.contains(static_cast<double>(begin + k) / info_.input_rate_hz)) continue;
      const std::int64_t source = begin + k - delay;
      if (source >= 0 && source < std::ssize(heard_))
        block_[static_cast<std::size_t>(k)] += gain * heard_[static_cast<std::size_t>(source)];
    }
  }

  void add_agent(const std::vector<float>& pcm) {
    recording_.agent.insert(recording_.agent.end(), pcm.begin(), pcm.end());
    levels_.process(pcm);
    to_input_.process(pcm, heard_);
  }

  /// Both channels end together, whatever a server still held back.
  void finish() {
    if (recording_.is_stopped || !is_realtime_) return;
    partner_->finish(out_);
    recorder_.add_step(out_, now_s(), 0.0);
    const auto size =
        static_cast<std::size_t>((recording_.num_steps + 1) * info_.output_block_samples);
    const std::size_t missing = size - std::min(size, recording_.agent.size());
    if (out_.pcm.size() > missing) out_.pcm.resize(missing);
    add_agent(out_.pcm);
    add_agent(std::vector<float>(missing - out_.pcm.size(), 0.0F));
    recording_.lag_s = partner_->lag_s();
  }

  void step() {
    mix_block();
    recording_.user.insert(recording_.user.end(), block_.begin(), block_.end());
    const auto begin = std::chrono::steady_clock::now();
    partner_->step(block_, out_);
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
    const double compute_s = is_realtime_ ? 0.0 : taken.count();
    ++recording_.num_steps;
    recording_.compute_s += compute_s;
    recorder_.add_step(out_, now_s(), compute_s);
    add_agent(out_.pcm);
  }

  const EngineInfo& info_;
  const bool is_realtime_;
  const Script& script_;
  const ScriptDialog& dialog_;
  const std::vector<Clip>& clips_;
  const ConversationPlan& plan_;
  std::unique_ptr<Partner> partner_;
  TimelineRecorder recorder_;
  LevelMeter levels_;
  audio::Resampler to_input_;
  std::vector<float> heard_;  // The agent's channel at the input rate.
  std::vector<float> block_;
  StepOutput out_;
  Recording recording_;
};

}  // namespace

std::vector<Clip> load_clips(const ScriptDialog& dialog, int rate_hz) {
  std::vector<Clip> clips;
  for (const ScriptEvent& event : dialog.events) {
    if (event.kind == Kind::kEcho) {
      clips.push_back({});
      continue;
    }
    const audio::AudioClip loaded =
        event.audio.empty() ? speak_text(event.text) : audio::load_audio_file(event.audio);
    Clip clip{audio::resample(loaded.samples, loaded.rate_hz, rate_hz), {}};
    const auto gain = static_cast<float>(std::pow(10.0, event.gain_db / 20.0));
    for (float& x : clip.samples) x *= gain;
    // A quiet clip is no less there: its own loudest sound decides, not the floor for agents.
    const Activity sound = find_activity(measure_levels_db(clip.samples, rate_hz),
                                         {.floor_db = -50.0 + std::min(0.0, event.gain_db)});
    if (sound.segments.empty()) {
      throw core::LoadError({.subject = "event " + event.id,
                             .expected = "some sound",
                             .found = "silence",
                             .file = event.audio,
                             .hint = ""});
    }
    clip.audible = {sound.segments.front().start_s, sound.segments.back().end_s};
    clips.push_back(std::move(clip));
  }
  return clips;
}

std::vector<Placement> place_fixed(const Script& script, const ScriptDialog& dialog,
                                   const std::vector<Clip>& clips) {
  std::vector<Placement> places;
  double turn_end_s = 0.0;
  double reply_s = 0.0;
  for (std::size_t i = 0; i < dialog.events.size(); ++i) {
    const ScriptEvent& event = dialog.events[i];
    const double gap_s = script.reply_delay_s + reply_s;
    const double clip_s = clips[i].audible.start_s;
    double start_s = event.offset_s;
    switch (event.anchor) {
      case Anchor::kAt: break;
      case Anchor::kAfterUserEnd:
        start_s = after_user_end(places.back(), clips[i], event.offset_s);
        break;
      case Anchor::kAfterAgentOnset: start_s += turn_end_s + script.reply_delay_s - clip_s; break;
      case Anchor::kAfterAgentEnd: start_s += turn_end_s + gap_s - clip_s; break;
      case Anchor::kHalvedSilence:
        start_s = turn_end_s + 0.5 * (gap_s + event.offset_s) - clip_s;
        break;
    }
    places.push_back(place(event, clips[i], std::max(0.0, start_s)));
    if (event.is_turn()) {
      turn_end_s = places.back().user.end_s;
      reply_s = event.reply_s;
    }
  }
  return places;
}

std::vector<float> render_user(const std::vector<Clip>& clips, const std::vector<Placement>& places,
                               double seconds, int rate_hz, std::optional<std::size_t> removed) {
  std::vector<float> user(
      static_cast<std::size_t>(std::max<std::int64_t>(0, sample_at(seconds, rate_hz))));
  for (std::size_t i = 0; i < places.size(); ++i) {
    if (removed && i >= *removed) break;
    const auto begin = static_cast<std::size_t>(sample_at(places[i].start_s, rate_hz));
    for (std::size_t k = 0; k < clips[i].samples.size() && begin + k < user.size(); ++k)
      user[begin + k] += clips[i].samples[k];
  }
  for (float& x : user) x = std::clamp(x, -1.0F, 1.0F);
  return user;
}

Recording converse(const System& system, const Script& script, const ScriptDialog& dialog,
                   const std::vector<Clip>& clips, const ConversationPlan& plan) {
  return Conversation(system, script, dialog, clips, plan).run();
}

}  // namespace duet::runtime::bench
