#include "runtime/echo_bench_talk.h"

#include <algorithm>
#include <utility>

#include "audio/room_device.h"
#include "runtime/core/error.h"
#include "runtime/live_conversation.h"

namespace duet::runtime {

namespace {

constexpr int kTalkRate = audio::kEchoRateHz;
constexpr double kQuietSeconds = 1.0;
constexpr double kPatienceSeconds = 4.0;
constexpr float kAudibleDb = -50.0F;

std::size_t sample_at(double time_s) {
  constexpr double kFar = 1e15;  // Infinity is no sample.
  return static_cast<std::size_t>(std::clamp(time_s * kTalkRate + 0.5, 0.0, kFar));
}

/// The user: says placed turns, or decides from what is heard when the next one begins.
class User {
 public:
  explicit User(const RoomTalkPlan& plan) : plan_(plan), levels_(kTalkRate) {}

  void say(std::span<float> out) {
    std::fill(out.begin(), out.end(), 0.0F);
    while (begin_next()) {
    }
    for (const PlacedTurn& turn : said_) mix(turn, out);
    position_ += out.size();
  }

  /// What the loudspeaker played in the buffer just said.
  void hear(std::span<const float> far) {
    levels_.process(far);
    for (; num_seen_ < levels_.levels_db().size(); ++num_seen_) {
      if (levels_.levels_db()[num_seen_] <= kAudibleDb) continue;
      last_heard_s_ = static_cast<double>(num_seen_ + 1) * kLevelFrameSeconds;
      playback_s_ += kLevelFrameSeconds;
    }
  }

  bool is_done() const {
    if (position_ >= sample_at(plan_.max_seconds)) return true;
    if (!plan_.is_reactive) return false;
    if (playback_s_ >= plan_.max_playback_seconds) return is_answered();
    return said_.size() == plan_.turns.size() && is_answered();
  }

  std::vector<PlacedTurn> take_turns() { return std::move(said_); }
  const LevelMeter& levels() const { return levels_; }

 private:
  double now_s() const { return static_cast<double>(position_) / kTalkRate; }

  /// The last turn, if any, is over and answered, or will not be.
  bool is_answered() const {
    if (said_.empty()) return true;
    const double end_s = said_.back().start_s + said_.back().clip.audible.end_s;
    if (last_heard_s_ > end_s) return now_s() >= last_heard_s_ + kQuietSeconds;
    return now_s() >= end_s + kPatienceSeconds;
  }

  bool begin_next() {
    if (said_.size() == plan_.turns.size()) return false;
    PlacedTurn turn = plan_.turns[said_.size()];
    if (plan_.is_reactive && !said_.empty()) {
      if (!is_answered() || playback_s_ >= plan_.max_playback_seconds) return false;
      turn.start_s = now_s();
    }
    if (sample_at(turn.start_s) > position_) return false;
    said_.push_back(std::move(turn));
    return true;
  }

  void mix(const PlacedTurn& turn, std::span<float> out) const {
    const std::size_t into = position_ - sample_at(turn.start_s);
    const auto& samples = turn.clip.samples;
    for (std::size_t i = 0; i < out.size() && into + i < samples.size(); ++i)
      out[i] += samples[into + i];
  }

  const RoomTalkPlan& plan_;
  LevelMeter levels_;
  std::vector<PlacedTurn> said_;
  std::size_t position_ = 0;  // Samples said.
  std::size_t num_seen_ = 0;  // Levels of the loudspeaker.
  double last_heard_s_ = -1.0;
  double playback_s_ = 0.0;
};

}  // namespace

RoomTalk converse_in_room(const Engine& engine, const RoomTalkPlan& plan) {
  const EngineInfo& info = engine.info();
  if (info.input_rate_hz != kTalkRate || plan.room.rate_hz != kTalkRate) {
    throw core::ConfigError({.subject = "bench echo",
                             .expected = "a model and a room at 16000 Hz",
                             .found = std::to_string(info.input_rate_hz) + " and " +
                                      std::to_string(plan.room.rate_hz) + " Hz"});
  }
  RoomTalk talk;
  User user(plan);
  LevelMeter mic(kTalkRate), near(kTalkRate), heard(kTalkRate);
  TimelineRecorder recorder(info);
  audio::RoomDevice device({.room = plan.room,
                            .say = [&user](std::span<float> out) { user.say(out); },
                            .watch =
                                [&](std::span<const float> voice, std::span<const float> captured,
                                    std::span<const float> far) {
                                  user.hear(far);
                                  mic.process(captured);
                                  near.process(voice);
                                  if (plan.keeps_samples)
                                    talk.near.insert(talk.near.end(), voice.begin(), voice.end());
                                }});
  LiveOptions options;
  options.session = plan.session;
  options.worker.echo = plan.echo;
  options.worker.is_recording = true;  // Steps then carry what the model was given.
  const auto look_at = [&](const LiveStep& step) {
    recorder.add_step(step.out, step.audible_at_s, step.compute_s);
    heard.process(step.block);
    if (plan.keeps_samples)
      talk.heard.insert(talk.heard.end(), step.block.begin(), step.block.end());
    talk.num_half_duplex_steps += step.is_half_duplex;
  };
  LiveConversation live(engine, device, options, {.on_step = look_at, .should_stop = [&] {
                                                    talk.is_stopped =
                                                        plan.should_stop && plan.should_stop();
                                                    return talk.is_stopped;
                                                  }});
  const LiveTotals totals = live.run_in_step([&] {
    device.pump();
    return !user.is_done();
  });
  talk.num_steps = totals.num_steps;
  talk.num_failures = totals.num_failures;
  talk.turns = user.take_turns();
  for (const PlacedTurn& turn : talk.turns)
    talk.users.push_back(
        {turn.start_s + turn.clip.audible.start_s, turn.start_s + turn.clip.audible.end_s});
  talk.far_db = user.levels().levels_db();
  talk.mic_db = mic.levels_db();
  talk.near_db = near.levels_db();
  talk.heard_db = heard.levels_db();
  talk.agent = find_activity(talk.far_db);
  talk.replies = recorder.finish(talk.near_db, talk.far_db).agent;
  const std::size_t late =
      std::min(talk.heard.size(), audio::make_echo_canceller(plan.echo)->latency_samples());
  talk.heard.erase(talk.heard.begin(), talk.heard.begin() + static_cast<std::ptrdiff_t>(late));
  return talk;
}

}  // namespace duet::runtime
