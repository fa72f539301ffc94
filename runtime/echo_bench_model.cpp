#include "runtime/echo_bench_model.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <exception>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>
#include <thread>

#include "runtime/bench/script.h"
#include "runtime/core/atomic_file.h"
#include "runtime/core/error.h"
#include "runtime/echo_bench.h"
#include "runtime/echo_bench_score.h"
#include "runtime/echo_bench_talk.h"

namespace duet::runtime {

namespace {

namespace fs = std::filesystem;

constexpr int kModelRate = audio::kEchoRateHz;
constexpr std::size_t kChain = 2;  // Of kEchoContenders.
/// Another one when conversations or echo path have changed: kept files are not mixed with new
/// ones.
constexpr int kMethod = 2;
/// The echo at the microphone, over what is played, and the user's level there.
constexpr double kEchoGainDb = -6.0;
constexpr double kUserDbfs = -26.0;
/// As good as none: the echo of a full-scale voice lies under the room's noise.
constexpr double kNoEchoDb = -80.0;
constexpr double kLeadSeconds = 0.5;
constexpr double kMinAnswerSeconds = 8.0;
/// Of a conversation with an interruption: from its question's end.
constexpr double kTalkSeconds = 12.0;
/// After an interruption's onset: 1.5 s, the silence that ends an activity, some more.
constexpr double kAfterOnsetSeconds = 2.2;
constexpr double kTalkThd = 0.03;
/// The agent is audible; nobody else is.
constexpr float kFarAudibleDb = -50.0F;
constexpr float kSilentDb = -60.0F;

using Times = std::vector<std::array<double, 2>>;  // Start and end [s].

struct Control {
  std::vector<std::size_t> questions;
  std::vector<double> starts_s;
  Times agent_s;
  std::vector<std::string> texts;  // Of the answers, one a question.
  double end_s = 0.0;
  std::int64_t num_failures = 0;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Control, questions, starts_s, agent_s, texts, end_s,
                                   num_failures)

struct Playback {
  Times agent_s, users_s;
  double until_s = 0.0;
  double mic_power = 0.0, heard_power = 0.0;  // While only the agent is audible.
  std::vector<std::string> texts;
  double half_duplex_share = 0.0;
  std::int64_t num_failures = 0;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Playback, agent_s, users_s, until_s, mic_power, heard_power,
                                   texts, half_duplex_share, num_failures)

struct Interruption {
  bool is_counted = false;
  bool is_success = false;
  double stop_s = -1.0;  // Never.
  double kept_db = 0.0;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Interruption, is_counted, is_success, stop_s, kept_db)

struct Talk {
  std::vector<Interruption> levels;  // As kBelowEchoDb; empty: the agent gave no occasion.
  std::int64_t num_failures = 0;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Talk, levels, num_failures)

Times times_of(const std::vector<Segment>& segments) {
  Times times;
  for (const Segment& segment : segments) times.push_back({segment.start_s, segment.end_s});
  return times;
}

std::vector<Segment> segments_of(const Times& times) {
  std::vector<Segment> segments;
  for (const auto& [start_s, end_s] : times) segments.push_back({start_s, end_s});
  return segments;
}

OwnEchoScore score_playback(const Playback& playback, const Control& control) {
  Activity agent, other;
  agent.segments = segments_of(playback.agent_s);
  other.segments = segments_of(control.agent_s);
  return score_own_echo(agent, other, segments_of(playback.users_s), playback.until_s);
}

/// The answer that ended at `end_s` is another one than the control's (is_other_answer).
bool is_other_answer_at(double end_s, const Playback& playback, const Control& control) {
  std::size_t answer = playback.users_s.size();
  while (answer > 0 && playback.users_s[answer - 1][1] > end_s) --answer;
  return answer > 0 && answer <= std::min(playback.texts.size(), control.texts.size()) &&
         is_other_answer(playback.texts[answer - 1], control.texts[answer - 1]);
}

/// What was said between the end of each turn and the next.
std::vector<std::string> answers(const RoomTalk& talk) {
  constexpr double kEarlyTextSeconds = 0.3;
  std::vector<std::string> texts;
  for (std::size_t i = 0; i < talk.users.size(); ++i) {
    const double begin_s = talk.users[i].end_s - kEarlyTextSeconds;
    const double end_s = i + 1 < talk.users.size() ? talk.users[i + 1].start_s : kInfinity;
    std::string text;
    for (const AgentTurn& turn : talk.replies)
      if (turn.start_s >= begin_s && turn.start_s < end_s) text += turn.text + " ";
    texts.push_back(text);
  }
  return texts;
}

/// The clip as loud as it takes to be at `dbfs` at the microphone of that room.
bench::Clip at_microphone(const bench::Clip& clip, const audio::RoomConfig& config, double dbfs) {
  audio::RoomConfig quiet = config;
  quiet.noise_dbfs = -150.0;
  const std::vector<float> silence(clip.samples.size(), 0.0F);
  std::vector<float> near(clip.samples.size());
  audio::Room(quiet).process(silence, clip.samples, near);
  return {at_level(clip.samples, active_dbfs(clip.samples) + dbfs - active_dbfs(near)),
          clip.audible};
}

/// Calls work(0) to work(count - 1) on so many threads.
void for_each_index(std::size_t count, int num_threads,
                    const std::function<void(std::size_t)>& work) {
  std::atomic<std::size_t> next = 0;
  std::exception_ptr failure;
  std::mutex mutex;
  const auto loop = [&] {
    try {
      for (std::size_t i = next++; i < count; i = next++) work(i);
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (!failure) failure = std::current_exception();
      next = count;
    }
  };
  std::vector<std::thread> threads;
  for (int i = 1; i < num_threads; ++i) threads.emplace_back(loop);
  loop();
  for (std::thread& thread : threads) thread.join();
  if (failure) std::rethrow_exception(failure);
}

/// A conversation (or a few that belong together) of one contender, and what came of it.
struct Job {
  std::size_t contender = kChain;
  std::optional<double> thd;  // Playback; unset: an interruption.
  std::size_t index = 0;      // Room, or number of the interruption.
  double cost_s = 0.0;        // About the audio it takes.
  std::optional<Playback> playback = std::nullopt;
  std::optional<Talk> talk = std::nullopt;
};

class ModelBench {
 public:
  ModelBench(const Engine& engine, const EchoVoices& voices, const EchoModelOptions& options,
             const std::function<void(double)>& on_progress,
             const std::function<bool()>& should_stop)
      : engine_(engine),
        voices_(voices),
        options_(options),
        on_progress_(on_progress),
        should_stop_(should_stop) {
    for (const bench::Clip& clip : voices.questions)
      questions_.push_back({at_level(clip.samples, kUserDbfs), clip.audible});
    const EngineInfo& info = engine.info();
    result_.system = info.model_name + (info.model_version.empty() ? "" : " ") + info.model_version;
    // What a kept file has to agree with to be taken instead of a run.
    owner_ = result_.system + " " + info.dtype + " " + std::to_string(options.session.seed) + " " +
             std::to_string(options.session.temperature) + " " +
             std::to_string(options.session.interruptibility.value_or(-1e9)) + " " +
             std::to_string(options.num_rooms) + " " + voices.fingerprint + " method " +
             std::to_string(kMethod);
  }

  EchoModelResult run() {
    if (!options_.folder.empty()) fs::create_directories(options_.folder);
    add_jobs();
    controls_.resize(options_.num_rooms);
    for_each_index(options_.num_rooms, options_.num_threads, [this](std::size_t room) {
      controls_[room] =
          kept<Control>("control" + length_of(kChain) + "-room" + std::to_string(room),
                        [this, room] { return run_control(room); });
      add_done(room_seconds(options_.playback_s));
    });
    for_each_index(jobs_.size(), options_.num_threads,
                   [this](std::size_t i) { run_job(jobs_[i]); });
    return summarise();
  }

 private:
  double room_seconds(double seconds) const {
    return seconds / static_cast<double>(options_.num_rooms);
  }

  void add_jobs() {
    for (const std::size_t contender : {kChain, std::size_t{0}, std::size_t{1}}) {
      const bool is_chain = contender == kChain;
      const double seconds =
          room_seconds(is_chain ? options_.playback_s : options_.others_playback_s);
      const std::size_t talks = is_chain ? options_.talks_per_room : options_.others_talks_per_room;
      for (const double thd : options_.thd)
        for (std::size_t room = 0; room < options_.num_rooms; ++room)
          jobs_.push_back({.contender = contender, .thd = thd, .index = room, .cost_s = seconds});
      for (std::size_t i = 0; i < talks * options_.num_rooms; ++i)
        jobs_.push_back(
            {.contender = contender, .thd = {}, .index = i, .cost_s = 4 * kTalkSeconds});
    }
    total_s_ = options_.playback_s;
    for (const Job& job : jobs_) total_s_ += job.cost_s;
  }

  /// Of the names of files: what has another length is another run.
  std::string length_of(std::size_t contender_index) const {
    std::string name = "-" + std::to_string(std::lround(options_.playback_s)) + "s";
    if (contender_index != kChain)
      name += "-" + std::to_string(std::lround(options_.others_playback_s)) + "s";
    return name;
  }

  bool is_stopped() const { return should_stop_ && should_stop_(); }

  void add_done(double cost_s) {
    const std::lock_guard lock(mutex_);
    done_s_ += cost_s;
    if (on_progress_) on_progress_(std::min(1.0, done_s_ / total_s_));
  }

  /// From an earlier run's file, or now and into the file; nothing when stopped.
  template <class Result>
  std::optional<Result> kept(const std::string& id,
                             const std::function<std::optional<Result>()>& make) const {
    const fs::path path = fs::path(options_.folder) / (id + ".json");
    if (!options_.folder.empty()) {
      std::ifstream stream(path);
      const nlohmann::json file = nlohmann::json::parse(stream, nullptr, false);
      if (file.is_object() && file.value("owner", "") == owner_)
        return file.at("result").get<Result>();
    }
    std::optional<Result> result;
    if (!is_stopped()) result = make();
    if (result && !options_.folder.empty()) {
      const nlohmann::json file = {{"owner", owner_}, {"result", *result}};
      core::write_file_atomically(
          path.string(), file.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
    }
    return result;
  }

  RoomTalkPlan make_plan(std::size_t contender_index, const audio::RoomConfig& room) const {
    RoomTalkPlan plan;
    plan.room = room;
    plan.room.echo_gain_db = kEchoGainDb;
    plan.echo = contender(contender_index, room);
    plan.session = options_.session;
    plan.should_stop = [this] { return is_stopped(); };
    return plan;
  }

  /// The room's conversation without a way back for the sound: turns follow what is heard. Through
  /// the full chain, which passes the microphone when there is no echo: its 8 ms alone can change
  /// what the model hears.
  std::optional<Control> run_control(std::size_t room) const {
    RoomTalkPlan plan = make_plan(kChain, bench_room(room, options_.num_rooms, 0.0));
    plan.room.echo_gain_db = kNoEchoDb;
    plan.is_reactive = true;
    plan.max_playback_seconds = room_seconds(options_.playback_s);
    Control control;
    // More than it takes: each question's answer lasts for seconds.
    const auto num_turns =
        static_cast<std::size_t>(plan.max_playback_seconds / 2.0) + questions_.size();
    for (std::size_t i = 0; i < num_turns; ++i) {
      control.questions.push_back((room * 5 + i) % questions_.size());
      plan.turns.push_back({questions_[control.questions.back()], kLeadSeconds});
    }
    const RoomTalk talk = converse_in_room(engine_, plan);
    if (talk.is_stopped) return std::nullopt;
    control.questions.resize(talk.turns.size());
    for (const PlacedTurn& turn : talk.turns) control.starts_s.push_back(turn.start_s);
    control.agent_s = times_of(talk.agent.segments);
    control.texts = answers(talk);
    control.end_s = talk.agent.end_s;
    control.num_failures = talk.num_failures;
    return control;
  }

  void run_job(Job& job) {
    const std::string name = std::string(job.contender == kChain ? "chain"
                                         : job.contender == 0    ? "nothing"
                                                                 : "speex");
    if (job.thd) {
      const std::string id = name + "-thd" + std::to_string(std::lround(*job.thd * 100.0)) +
                             length_of(job.contender) + "-room" + std::to_string(job.index);
      if (controls_[job.index])
        job.playback = kept<Playback>(id, [&] { return run_playback(job); });
    } else {
      job.talk = kept<Talk>(name + "-interruption" + std::to_string(job.index),
                            [&] { return run_talk(job); });
    }
    add_done(job.cost_s);
  }

  /// When the control has played for so long.
  static double time_of_playback(const Control& control, double seconds) {
    for (const auto& [start_s, end_s] : control.agent_s) {
      if (seconds <= end_s - start_s) return start_s + seconds;
      seconds -= end_s - start_s;
    }
    return control.end_s;
  }

  std::optional<Playback> run_playback(const Job& job) const {
    const Control& control = *controls_[job.index];
    RoomTalkPlan plan =
        make_plan(job.contender, bench_room(job.index, options_.num_rooms, *job.thd));
    for (std::size_t i = 0; i < control.questions.size(); ++i)
      plan.turns.push_back({questions_[control.questions[i]], control.starts_s[i]});
    plan.max_seconds = job.contender == kChain
                           ? control.end_s
                           : time_of_playback(control, room_seconds(options_.others_playback_s));
    const RoomTalk talk = converse_in_room(engine_, plan);
    if (talk.is_stopped) return std::nullopt;
    Playback result{.agent_s = times_of(talk.agent.segments),
                    .users_s = times_of(talk.users),
                    .until_s = plan.max_seconds,
                    .texts = answers(talk),
                    .num_failures = talk.num_failures};
    for (std::size_t i = 0; i + 1 < std::min(talk.heard_db.size(), talk.far_db.size()); ++i) {
      if (talk.far_db[i] < kFarAudibleDb || talk.near_db[i] > kSilentDb) continue;
      result.mic_power += std::pow(10.0, static_cast<double>(talk.mic_db[i]) / 10.0);
      result.heard_power += std::pow(10.0, static_cast<double>(talk.heard_db[i + 1]) / 10.0);
    }
    result.half_duplex_share = static_cast<double>(talk.num_half_duplex_steps) /
                               static_cast<double>(std::max<std::int64_t>(talk.num_steps, 1));
    return result;
  }

  /// The question alone shows when the agent can be interrupted; then once with each level.
  std::optional<Talk> run_talk(const Job& job) const {
    RoomTalkPlan plan = make_plan(
        job.contender, bench_room(job.index % options_.num_rooms, options_.num_rooms, kTalkThd));
    // Neighbouring indices share a room in turn; the recordings go round at another pace.
    const bench::Clip& question = questions_[job.index * 7 % questions_.size()];
    const bench::Clip& words = voices_.interruptions[job.index * 11 % voices_.interruptions.size()];
    plan.turns = {{question, kLeadSeconds}};
    plan.max_seconds = kLeadSeconds + question.audible.end_s + kTalkSeconds;
    const RoomTalk control = converse_in_room(engine_, plan);
    if (control.is_stopped) return std::nullopt;
    Talk result{.levels = {}, .num_failures = control.num_failures};
    if (control.num_failures > 0) return result;
    const auto onset_s = find_interruption(control.agent, control.users.front().end_s);
    if (!onset_s) return result;
    plan.max_seconds = *onset_s + kAfterOnsetSeconds;
    plan.keeps_samples = true;
    const double echo_dbfs = echo_level(control, *onset_s);
    plan.turns.resize(2);
    for (const double below_db : kBelowEchoDb) {
      plan.turns[1] = {at_microphone(words, plan.room, echo_dbfs - below_db),
                       *onset_s - words.audible.start_s};
      const RoomTalk talk = converse_in_room(engine_, plan);
      if (talk.is_stopped) return std::nullopt;
      result.levels.push_back(score_interruption(talk, control.agent));
      result.num_failures += talk.num_failures;
    }
    return result;
  }

  /// At the microphone, in the 2 s before.
  static double echo_level(const RoomTalk& talk, double until_s) {
    const auto end = talk.mic_db.begin() + std::lround(until_s / kLevelFrameSeconds);
    return active_db({end - 200, end});
  }

  static Interruption score_interruption(const RoomTalk& talk, const Activity& control) {
    if (talk.num_failures > 0) return {};
    const Segment& user = talk.users.back();
    const EventScore score =
        score_event({EventKind::kInterruption, user}, kInfinity, talk.agent, &control);
    Interruption result{.is_counted = score.is_counted,
                        .is_success = score.is_success,
                        .stop_s = std::isfinite(score.latency_s) ? score.latency_s : -1.0};
    const Segment* sounding = talk.agent.at(user.start_s);
    const double until_s = std::min(user.end_s, sounding != nullptr ? sounding->end_s : kInfinity);
    const auto begin = static_cast<std::size_t>(user.start_s * kModelRate);
    const auto end = std::min(
        {static_cast<std::size_t>(until_s * kModelRate), talk.near.size(), talk.heard.size()});
    if (end > begin)
      result.kept_db = kept_db(std::span(talk.near).subspan(begin, end - begin),
                               std::span(talk.heard).subspan(begin, end - begin));
    return result;
  }

  EchoModelResult summarise() {
    result_.num_wanted = jobs_.size();
    for (std::size_t c = 0; c < result_.scores.size(); ++c) {
      EchoModelScore& score = result_.scores[c];
      for (const double thd : options_.thd) score.classes.push_back(summarise_class(c, thd));
      for (std::size_t level = 0; level < kBelowEchoDb.size(); ++level)
        score.talks.push_back(summarise_talks(c, level));
    }
    for (const auto& control : controls_)
      if (control) result_.num_failures += control->num_failures;
    for (const Job& job : jobs_) {
      result_.num_done += job.playback || job.talk;
      result_.num_failures += job.playback ? job.playback->num_failures
                              : job.talk   ? job.talk->num_failures
                                           : 0;
    }
    return std::move(result_);
  }

  EchoModelScore::Class summarise_class(std::size_t contender_index, double thd) const {
    EchoModelScore::Class sum;
    sum.thd = thd;
    std::vector<double> erle_db, half_duplex;
    for (const Job& job : jobs_) {
      if (job.contender != contender_index || job.thd != thd || !job.playback) continue;
      const Playback& one = *job.playback;
      const Control& control = *controls_[job.index];
      const OwnEchoScore score = score_playback(one, control);
      sum.hours += score.playback_s / 3600.0;
      for (const double stop_s : score.stops_s)
        ++(is_other_answer_at(stop_s, one, control) ? sum.num_shorter_answers : sum.num_stops);
      sum.num_starts += static_cast<int>(score.starts_s.size());
      // The last answer may not be whole.
      for (std::size_t i = 0; i + 1 < std::min(one.texts.size(), control.texts.size()); ++i) {
        if (one.texts[i].empty() || control.texts[i].empty()) continue;
        ++sum.num_replies;
        sum.num_same_words += one.texts[i] == control.texts[i];
      }
      half_duplex.push_back(one.half_duplex_share);
      if (one.heard_power > 0.0) erle_db.push_back(power_db(one.mic_power / one.heard_power));
    }
    if (sum.hours > 0.0)
      sum.most_per_hour = most_per_hour(sum.num_stops + sum.num_starts, sum.hours);
    const auto mean = [](const std::vector<double>& x) {
      return std::accumulate(x.begin(), x.end(), 0.0) / static_cast<double>(x.size());
    };
    if (!half_duplex.empty()) sum.half_duplex_share = mean(half_duplex);
    if (!erle_db.empty()) {
      sum.erle_db = mean(erle_db);
      sum.worst_erle_db = *std::min_element(erle_db.begin(), erle_db.end());
    }
    return sum;
  }

  EchoModelScore::Talk summarise_talks(std::size_t contender_index, std::size_t level) const {
    EchoModelScore::Talk sum{.below_echo_db = kBelowEchoDb[level], .success = {}};
    std::vector<bool> successes;
    std::vector<double> stops;
    for (const Job& job : jobs_) {
      if (job.contender != contender_index || !job.talk || job.talk->levels.empty()) continue;
      const Interruption& one = job.talk->levels[level];
      if (!one.is_counted) continue;
      successes.push_back(one.is_success);
      stops.push_back(one.stop_s < 0.0 ? kInfinity : one.stop_s);
      sum.kept_db += one.kept_db;
      if (std::abs(one.kept_db) > std::abs(sum.worst_kept_db)) sum.worst_kept_db = one.kept_db;
    }
    if (successes.empty()) return sum;
    sum.success = share(successes);
    sum.median_stop_s = percentile(stops, 0.5);
    sum.kept_db /= static_cast<double>(successes.size());
    return sum;
  }

  const Engine& engine_;
  const EchoVoices& voices_;
  const EchoModelOptions& options_;
  const std::function<void(double)>& on_progress_;
  const std::function<bool()>& should_stop_;
  std::vector<bench::Clip> questions_;  // At kUserDbfs.
  std::string owner_;
  std::vector<std::optional<Control>> controls_;  // [room]
  std::vector<Job> jobs_;
  std::mutex mutex_;  // Guards done_s_ and on_progress_.
  double done_s_ = 0.0, total_s_ = 0.0;
  EchoModelResult result_;
};

}  // namespace

void EchoModelOptions::validate() const {
  runtime::validate(session);
  if (num_rooms > 0 && !thd.empty() && playback_s > 0.0 && others_playback_s >= 0.0 &&
      others_playback_s <= playback_s && num_threads > 0)
    return;
  throw core::ConfigError(
      {.subject = "bench echo",
       .expected = "rooms, classes, threads and playback, and no more of it for "
                   "the others than for the full chain",
       .found = std::to_string(num_rooms) + " rooms, " + std::to_string(playback_s) + " and " +
                std::to_string(others_playback_s) + " s"});
}

EchoVoices load_echo_voices(const std::string& suite) {
  const bench::Script script = bench::load_script(suite);
  EchoVoices voices;
  voices.fingerprint = script.fingerprint;
  std::set<std::string> seen;
  for (const bench::ScriptDialog& dialog : script.dialogs) {
    for (const bench::ScriptEvent& event : dialog.events) {
      const bool is_question = event.wants_reply && event.reply_s >= kMinAnswerSeconds;
      const bool is_interruption = event.kind == bench::Kind::kInterruption;
      if ((!is_question && !is_interruption) || !seen.insert(event.audio + event.text).second)
        continue;
      const auto clips = bench::load_clips({dialog.id, {event}}, kModelRate);
      (is_question ? voices.questions : voices.interruptions).push_back(clips.front());
    }
  }
  if (!voices.questions.empty() && !voices.interruptions.empty()) return voices;
  throw core::LoadError({.subject = "bench echo",
                         .expected = "questions with answers of 8 s or more, and interruptions",
                         .found = std::to_string(voices.questions.size()) + " and " +
                                  std::to_string(voices.interruptions.size()),
                         .file = suite,
                         .hint = {}});
}

EchoModelResult measure_echo_with_model(const Engine& engine, const EchoVoices& voices,
                                        const EchoModelOptions& options,
                                        const std::function<void(double)>& on_progress,
                                        const std::function<bool()>& should_stop) {
  options.validate();
  DUET_CHECK(!voices.questions.empty() && !voices.interruptions.empty());
  return ModelBench(engine, voices, options, on_progress, should_stop).run();
}

std::optional<double> find_interruption(const Activity& agent, double question_end_s) {
  constexpr double kPlayedSeconds = 3.0;
  constexpr double kGoesOnSeconds = kControlGoesOnSeconds + 0.01;
  const Segment* answer = agent.next(question_end_s);
  if (answer == nullptr) return std::nullopt;
  for (const Segment& segment : agent.segments) {
    const double onset_s = std::max(answer->start_s + kPlayedSeconds,
                                    segment.start_s + kMinActiveBeforeStopSeconds + 0.01);
    if (segment.start_s >= answer->start_s && onset_s + kGoesOnSeconds <= segment.end_s)
      return onset_s;
  }
  return std::nullopt;
}

}  // namespace duet::runtime
