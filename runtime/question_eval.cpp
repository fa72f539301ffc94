#include "runtime/question_eval.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <mutex>
#include <nlohmann/json.hpp>
#include <random>
#include <thread>
#include <utility>

#include "audio/audio_file.h"
#include "audio/framer.h"
#include "audio/resampler.h"
#include "runtime/activity.h"
#include "runtime/core/atomic_file.h"
#include "runtime/core/error.h"

namespace duet::runtime {

namespace {

namespace fs = std::filesystem;

AnswerKey parse_key(const nlohmann::json& key, const std::string& topic) {
  AnswerKey result;
  if (key.is_object() && key.contains("slots")) {
    OrderSlots slots;
    for (const auto& [name, value] : key["slots"].items())
      slots.emplace_back(name, value.get<std::string>());
    result.order = slots;
  } else if (key.is_object() && key.contains("any")) {
    result.any_of = key["any"].get<std::vector<std::vector<std::string>>>();
  } else {
    result.any_of = {key.get<std::vector<std::string>>()};
    if (topic == "sum" && result.any_of[0].size() == 1)
      result.number = last_number(result.any_of[0][0]);
  }
  return result;
}

/// A conversation step by step; `keeps_audio`: both channels are kept for save().
class Conversation {
 public:
  Conversation(const Engine& engine, const SessionOptions& options, bool keeps_audio,
               std::unique_ptr<Disturber> disturber = nullptr)
      : keeps_audio_(keeps_audio),
        disturber_(std::move(disturber)),
        info_(engine.info()),
        session_(engine.make_session(options)),
        framer_(static_cast<std::size_t>(info_.block_samples)),
        block_(static_cast<std::size_t>(info_.block_samples)),
        agent_levels_(info_.output_rate_hz) {
    // Step 0 is heard one step after the start.
    hear(std::vector<float>(static_cast<std::size_t>(info_.output_block_samples), 0.0F));
  }

  void set_user_level(double rms) {
    if (disturber_) disturber_->set_user_level(rms);
  }
  void feed(std::span<const float> samples) {
    num_fed_ += samples.size();
    framer_.push(samples);
    while (framer_.pop(block_)) step();
  }
  void feed_silence(double seconds) {
    feed(std::vector<float>(static_cast<std::size_t>(std::llround(seconds * info_.input_rate_hz)),
                            0.0F));
  }

  double now_s() const { return static_cast<double>(num_fed_) / info_.input_rate_hz; }
  double step_seconds() const { return info_.step_seconds; }
  Activity agent() const { return find_activity(agent_levels_.levels_db()); }
  /// The same of a part of the channel that begins at least a minute before `time_s`: what an hour
  /// of conversation would take minutes to look through at every step.
  Activity agent_around(double time_s) const {
    constexpr double kBefore = 60.0;
    const auto skipped =
        static_cast<std::size_t>(std::max(0.0, time_s - kBefore));  // Whole seconds.
    Activity activity = find_activity(std::span(agent_levels_.levels_db()).subspan(100 * skipped));
    for (Segment& segment : activity.segments) {
      segment.start_s += static_cast<double>(skipped);
      segment.end_s += static_cast<double>(skipped);
    }
    activity.end_s += static_cast<double>(skipped);
    return activity;
  }
  /// The agent's words since the last call.
  std::string take_text() { return std::exchange(text_, {}); }
  /// The user's, as the model's own recogniser heard them, since the last call.
  std::string take_heard() { return std::exchange(heard_, {}); }

  void save(const std::string& path) const {
    auto user = audio::resample(user_, info_.input_rate_hz, info_.output_rate_hz);
    const std::size_t size = std::max(user.size(), agent_.size());
    std::vector<float> stereo(2 * size, 0.0F);
    for (std::size_t i = 0; i < user.size(); ++i) stereo[2 * i] = user[i];
    for (std::size_t i = 0; i < agent_.size(); ++i) stereo[2 * i + 1] = agent_[i];
    audio::write_wav_file(path, stereo, info_.output_rate_hz, 2);
  }

 private:
  void step() {
    if (disturber_) disturber_->process(block_);
    if (keeps_audio_) user_.insert(user_.end(), block_.begin(), block_.end());
    session_->step(block_, out_);
    if (out_.agent_turn_started && !text_.empty()) text_ += ' ';
    text_ += out_.agent_text;
    heard_ += out_.user_text;
    hear(out_.pcm);
  }
  void hear(const std::vector<float>& pcm) {
    if (keeps_audio_) agent_.insert(agent_.end(), pcm.begin(), pcm.end());
    agent_levels_.process(pcm);
    if (disturber_) disturber_->hear_agent(pcm);
  }

  const bool keeps_audio_;
  std::unique_ptr<Disturber> disturber_;
  const EngineInfo& info_;
  std::unique_ptr<Session> session_;
  audio::Framer framer_;
  std::vector<float> block_;
  std::size_t num_fed_ = 0;  // Some of the last block may not have been stepped yet.
  std::vector<float> user_;
  std::vector<float> agent_;
  LevelMeter agent_levels_;
  StepOutput out_;
  std::string text_, heard_;
};

/// Silence until the agent has answered and is done, or never began. True when its sound ended.
bool wait_for_reply(Conversation& conversation, double user_end_s, const EvalOptions& options) {
  for (;;) {
    conversation.feed_silence(conversation.step_seconds());
    const double waited_s = conversation.now_s() - user_end_s;
    const Activity agent = conversation.agent_around(user_end_s);
    const bool has_begun = !agent.segments.empty() && agent.segments.back().end_s > user_end_s;
    if (!has_begun) {
      if (waited_s >= options.patience_s) return true;
      continue;
    }
    if (conversation.now_s() - agent.segments.back().end_s >= options.quiet_s) return true;
    if (waited_s >= options.max_reply_s) return false;
  }
}

struct AskedTurn {
  const EvalTurn* turn;
  Segment user;
  std::string reply, heard;
  bool falls_silent;
};

std::vector<float> load_samples(const EvalTurn& turn, int rate_hz) {
  const audio::AudioClip clip = audio::load_audio_file(turn.path);
  return audio::resample(clip.samples, clip.rate_hz, rate_hz);
}

AskedTurn ask(Conversation& conversation, const EvalTurn& turn, int input_rate_hz,
              const EvalOptions& options) {
  const auto samples = load_samples(turn, input_rate_hz);
  const Activity sound = find_activity(measure_levels_db(samples, input_rate_hz));
  if (sound.segments.empty()) {
    throw core::LoadError({.subject = "speech",
                           .expected = "some",
                           .found = "silence",
                           .file = turn.path,
                           .hint = ""});
  }
  const double begin_s = conversation.now_s();
  conversation.set_user_level(audible_rms(samples, input_rate_hz));
  conversation.take_text();
  conversation.take_heard();
  conversation.feed(samples);
  const Segment user{begin_s + sound.segments.front().start_s,
                     begin_s + sound.segments.back().end_s};
  const bool falls_silent = wait_for_reply(conversation, user.end_s, options);
  return {&turn, user, conversation.take_text(), conversation.take_heard(), falls_silent};
}

/// Whether the reply names the key's drink, and no other one.
bool has_drink(const std::string& reply, const OrderSlots& key) {
  const auto drinks = [](const OrderSlots& slots) {
    OrderSlots found;
    std::copy_if(slots.begin(), slots.end(), std::back_inserter(found),
                 [](const auto& slot) { return slot.first == "drink"; });
    return found;
  };
  return drinks(find_order(reply)) == drinks(key);
}

EvalTurnResult score(const AskedTurn& asked, double until_s, const Activity& agent) {
  EvalTurnResult result;
  result.id = asked.turn->id;
  result.topic = asked.turn->topic;
  result.text = asked.turn->text;
  result.expected = asked.turn->expected;
  result.round = asked.turn->round;
  result.reply = asked.reply;
  result.heard = asked.heard;
  result.is_right = is_right(asked.reply, asked.turn->key);
  if (asked.turn->key.order) result.is_drink_right = has_drink(asked.reply, *asked.turn->key.order);
  result.score = score_event({EventKind::kQuestion, asked.user}, until_s, agent);
  result.has_false_alarm = !find_false_alarms(asked.user, agent).empty();
  result.falls_silent = asked.falls_silent;
  result.user_end_s = asked.user.end_s;
  const Segment* reply = agent.next(asked.user.end_s);
  if (reply != nullptr && reply->start_s < until_s) {
    result.reply_start_s = reply->start_s;
    for (const Segment& segment : agent.segments) {
      if (segment.start_s < until_s) result.reply_end_s = segment.end_s;
    }
  }
  return result;
}

nlohmann::json estimate_json(const Estimate& estimate) {
  const auto finite = [](double x) -> nlohmann::json {
    return std::isfinite(x) ? nlohmann::json(std::round(x * 1e4) / 1e4) : nlohmann::json(nullptr);
  };
  return {{"n", estimate.n},
          {"value", finite(estimate.value)},
          {"low", finite(estimate.low)},
          {"high", finite(estimate.high)}};
}

nlohmann::json turn_json(const EvalTurnResult& turn) {
  return {{"id", turn.id},
          {"topic", turn.topic},
          {"text", turn.text},
          {"expected", turn.expected},
          {"reply", turn.reply},
          {"heard", turn.heard},
          {"is_right", turn.is_right},
          {"is_answered", turn.score.is_counted && turn.score.is_success},
          {"has_false_alarm", turn.has_false_alarm},
          {"falls_silent", turn.falls_silent},
          {"reply_latency_s", std::isfinite(turn.score.latency_s)
                                  ? nlohmann::json(std::round(turn.score.latency_s * 1e3) / 1e3)
                                  : nlohmann::json(nullptr)},
          {"user_end_s", turn.user_end_s},
          {"reply_start_s", turn.reply_start_s},
          {"reply_end_s", turn.reply_end_s}};
}

std::string percent_line(const std::string& name, const Estimate& estimate) {
  char text[160];
  std::snprintf(text, sizeof text, "%-22s %5.1f %%  (95 %%: %.1f to %.1f, n %zu)\n", name.c_str(),
                100.0 * estimate.value, 100.0 * estimate.low, 100.0 * estimate.high, estimate.n);
  return text;
}

std::string latency_text(const char* name, const Estimate& estimate) {
  char text[160];
  std::snprintf(text, sizeof text, "%-22s %5.0f ms (95 %%: %.0f to %.0f, n %zu)\n", name,
                1000.0 * estimate.value, 1000.0 * estimate.low, 1000.0 * estimate.high, estimate.n);
  return text;
}

void summarise(EvalReport& report) {
  std::vector<bool> answered, right, alarms, silent;
  std::vector<EventScore> scores;
  std::map<std::string, std::vector<bool>> by_topic;
  for (const EvalTurnResult& turn : report.turns) {
    answered.push_back(turn.score.is_counted && turn.score.is_success);
    right.push_back(turn.is_right);
    alarms.push_back(turn.has_false_alarm);
    silent.push_back(turn.falls_silent);
    by_topic[turn.topic].push_back(turn.is_right);
    if (std::isfinite(turn.score.latency_s))
      scores.push_back(turn.score);  // Unanswered ones have their own row.
  }
  report.answered = share(answered);
  report.right = share(right);
  report.false_alarm = share(alarms);
  report.falls_silent = share(silent);
  report.reply_latency = summarise_latencies(scores, EventKind::kQuestion);
  for (const auto& [topic, outcomes] : by_topic) report.right_by_topic[topic] = share(outcomes);
}

}  // namespace

std::vector<EvalDialog> load_eval_dialogs(const std::string& manifest, const std::string& split,
                                          std::size_t limit, std::uint64_t seed) {
  std::ifstream stream(manifest);
  if (!stream) {
    throw core::LoadError({.subject = "manifest",
                           .expected = "a readable file",
                           .found = "none",
                           .file = manifest,
                           .hint = ""});
  }
  const fs::path folder = fs::path(manifest).parent_path();
  std::map<std::string, std::map<int, EvalTurn>> dialogs;
  std::string line;
  for (int number = 1; std::getline(stream, line); ++number) {
    try {
      const nlohmann::json entry = nlohmann::json::parse(line);
      if (entry.at("role") != "user" || entry.at("split") != split ||
          entry.value("reply", "").empty())
        continue;
      EvalTurn turn;
      turn.id = entry.at("id");
      turn.path = (folder / entry.at("file").get<std::string>()).string();
      turn.text = entry.at("text");
      turn.topic = entry.at("topic");
      turn.expected = entry.at("reply");
      turn.key = parse_key(entry.at("key"), turn.topic);
      const bool belongs = entry.contains("dialog") && !entry["dialog"].is_null();
      const nlohmann::json dialog = belongs ? entry["dialog"] : nlohmann::json(turn.id);
      const std::string id = dialog.is_string() ? dialog.get<std::string>() : dialog.dump();
      dialogs[id].emplace(belongs ? entry.value("turn", 0) : 0, std::move(turn));
    } catch (const nlohmann::json::exception& error) {
      throw core::LoadError({.subject = "line " + std::to_string(number),
                             .expected = "a manifest entry",
                             .found = error.what(),
                             .file = manifest,
                             .hint = ""});
    }
  }
  std::vector<EvalDialog> all;
  for (auto& [id, turns] : dialogs) {
    EvalDialog dialog{id, {}};
    for (auto& [number, turn] : turns) dialog.turns.push_back(std::move(turn));
    all.push_back(std::move(dialog));
  }
  if (all.empty()) {
    throw core::LoadError({.subject = "split \"" + split + "\"",
                           .expected = "user turns with a reply",
                           .found = "none",
                           .file = manifest,
                           .hint = ""});
  }
  // Fisher-Yates with a generator that is the same everywhere.
  std::mt19937_64 random(seed);
  for (std::size_t i = all.size() - 1; i > 0; --i) std::swap(all[i], all[random() % (i + 1)]);
  if (limit > 0) {
    std::size_t num_turns = 0;
    const auto end = std::find_if(all.begin(), all.end(), [&](const EvalDialog& dialog) {
      const bool is_full = num_turns >= limit;
      num_turns += dialog.turns.size();
      return is_full;
    });
    all.erase(end, all.end());
  }
  return all;
}

std::vector<EvalDialog> repeat_turns(const std::vector<EvalDialog>& dialogs,
                                     std::size_t num_conversations, int num_rounds) {
  std::vector<EvalDialog> out(num_conversations);
  std::vector<std::vector<EvalTurn>> shares(num_conversations);
  std::size_t count = 0;
  for (const EvalDialog& dialog : dialogs)
    if (dialog.turns.size() == 1) shares[count++ % num_conversations].push_back(dialog.turns[0]);
  if (count < num_conversations) {
    throw core::ConfigError(
        {.subject = "long conversations",
         .expected = std::to_string(num_conversations) + " questions that stand alone, or more",
         .found = std::to_string(count),
         .file = {},
         .hint = {}});
  }
  for (std::size_t i = 0; i < num_conversations; ++i) {
    out[i].id = "long-" + std::to_string(i + 1);
    for (int round = 0; round < num_rounds; ++round) {
      for (EvalTurn& turn : shares[i]) {
        turn.round = round;
        out[i].turns.push_back(turn);
      }
    }
  }
  return out;
}

namespace {

/// Asks dialogues on several threads; their results in the order of the dialogues.
class Asking {
 public:
  Asking(const Engine& engine, const std::vector<EvalDialog>& dialogs, const EvalOptions& options,
         const EvalHooks& hooks)
      : engine_(engine), dialogs_(dialogs), options_(options), hooks_(hooks) {
    results_.resize(dialogs.size());
  }

  EvalReport run() {
    const auto begin = std::chrono::steady_clock::now();
    std::vector<std::thread> threads;
    for (int i = 1; i < options_.num_at_once; ++i) threads.emplace_back([this] { work(); });
    work();
    for (std::thread& thread : threads) thread.join();
    if (failure_) std::rethrow_exception(failure_);
    EvalReport report;
    report.model_name = engine_.info().model_name;
    std::string rows;
    for (Result& result : results_) {
      rows += result.rows;
      std::move(result.turns.begin(), result.turns.end(), std::back_inserter(report.turns));
    }
    if (!options_.save_dir.empty())
      core::write_file_atomically((fs::path(options_.save_dir) / "results.jsonl").string(), rows);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    report.rtf = audio_s_ > 0.0 ? took.count() / audio_s_ : 0.0;
    summarise(report);
    return report;
  }

 private:
  struct Result {
    std::vector<EvalTurnResult> turns;
    std::string rows;
  };

  void work() {
    try {
      for (std::size_t i = next_++; i < dialogs_.size() && !is_stopped(); i = next_++)
        ask_dialog(dialogs_[i], results_[i]);
    } catch (...) {
      const std::lock_guard lock(mutex_);
      if (!failure_) failure_ = std::current_exception();
      is_stopped_ = true;
    }
  }

  bool is_stopped() {
    if (hooks_.should_stop && hooks_.should_stop()) is_stopped_ = true;
    return is_stopped_;
  }

  /// With the voices of other dialogues, always the same ones for a dialogue.
  std::unique_ptr<Disturber> make_disturber(const EvalDialog& dialog) const {
    const EngineInfo& info = engine_.info();
    const auto index = static_cast<std::size_t>(&dialog - dialogs_.data());
    std::mt19937_64 random(index + 1);
    std::vector<std::vector<float>> voices;
    while (options_.disturbance.has_voices() && voices.size() <= kBabbleVoices) {
      const std::size_t other = random() % (dialogs_.size() - 1);
      voices.push_back(
          load_samples(dialogs_[other + (other >= index)].turns.front(), info.input_rate_hz));
    }
    return std::make_unique<Disturber>(options_.disturbance, voices, info.input_rate_hz,
                                       info.output_rate_hz, index + 1);
  }

  void ask_dialog(const EvalDialog& dialog, Result& result) {
    const int rate_hz = engine_.info().input_rate_hz;
    Conversation conversation(engine_, options_.session, !options_.save_dir.empty(),
                              make_disturber(dialog));
    conversation.set_user_level(audible_rms(load_samples(dialog.turns.front(), rate_hz), rate_hz));
    conversation.feed_silence(options_.lead_s);
    std::vector<AskedTurn> asked;
    for (const EvalTurn& turn : dialog.turns) {
      if (conversation.now_s() >= options_.max_dialog_s || is_stopped()) break;
      asked.push_back(ask(conversation, turn, rate_hz, options_));
      if (!asked.back().falls_silent) break;  // Nobody can go on talking with that.
    }
    const Activity agent = conversation.agent();
    for (std::size_t k = 0; k < asked.size(); ++k) {
      const double until_s = k + 1 < asked.size() ? asked[k + 1].user.start_s : kInfinity;
      result.turns.push_back(score(asked[k], until_s, agent));
      nlohmann::json row = turn_json(result.turns.back());
      row["wav"] = dialog.id + ".wav";
      result.rows += row.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
    }
    if (!options_.save_dir.empty())
      conversation.save((fs::path(options_.save_dir) / (dialog.id + ".wav")).string());
    const std::lock_guard lock(mutex_);
    audio_s_ += conversation.now_s();
    if (hooks_.on_progress) hooks_.on_progress(++num_done_, dialogs_.size());
  }

  const Engine& engine_;
  const std::vector<EvalDialog>& dialogs_;
  const EvalOptions& options_;
  const EvalHooks& hooks_;
  std::vector<Result> results_;  // One a dialogue, each written by one thread.
  std::atomic<std::size_t> next_ = 0;
  std::atomic<bool> is_stopped_ = false;
  std::mutex mutex_;  // Guards the members below and the progress hook.
  std::size_t num_done_ = 0;
  double audio_s_ = 0.0;
  std::exception_ptr failure_;
};

}  // namespace

EvalReport evaluate_questions(const Engine& engine, const std::vector<EvalDialog>& dialogs,
                              const EvalOptions& options, const EvalHooks& hooks) {
  options.disturbance.validate();
  if (options.disturbance.has_voices() && dialogs.size() < 2) {
    throw core::ConfigError({.subject = "disturbance",
                             .expected = "two dialogues, for the voices of others",
                             .found = std::to_string(dialogs.size()),
                             .file = {},
                             .hint = {}});
  }
  if (!options.save_dir.empty()) fs::create_directories(options.save_dir);
  return Asking(engine, dialogs, options, hooks).run();
}

QuietReport evaluate_quiet(const Engine& engine, double minutes, double noise_db,
                           const SessionOptions& session, const EvalHooks& hooks) {
  Conversation conversation(engine, session, false);
  const auto block_samples = static_cast<std::size_t>(engine.info().block_samples);
  const auto num_blocks =
      static_cast<std::size_t>(std::ceil(minutes * 60.0 / engine.info().step_seconds));
  // Uniform noise of a given RMS reaches sqrt(3) times that.
  const double peak = noise_db <= -120.0 ? 0.0 : std::sqrt(3.0) * std::pow(10.0, noise_db / 20.0);
  std::mt19937 random(1);
  std::vector<float> block(block_samples);
  for (std::size_t i = 0; i < num_blocks && !(hooks.should_stop && hooks.should_stop()); ++i) {
    for (float& x : block)
      x = static_cast<float>(peak * (static_cast<double>(random()) / 2147483648.0 - 1.0));
    conversation.feed(block);
    if (hooks.on_progress) hooks.on_progress(i + 1, num_blocks);
  }
  return {conversation.now_s() / 60.0, conversation.agent().segments, conversation.take_text()};
}

std::string EvalReport::to_text() const {
  std::string text =
      percent_line("answered within 3 s", answered) + percent_line("right (text channel)", right);
  for (const auto& [topic, estimate] : right_by_topic) text += percent_line("  " + topic, estimate);
  text +=
      percent_line("false alarms", false_alarm) + percent_line("falls silent again", falls_silent);
  text += latency_text("reply latency median", reply_latency.median) +
          latency_text("reply latency p95", reply_latency.p95);
  char speed[64];
  std::snprintf(speed, sizeof speed, "%-22s %.3f\n", "RTF", rtf);
  return text + speed;
}

std::string EvalReport::to_json() const {
  nlohmann::json root;
  root["schema"] = "duet.questions/1";
  root["model"] = model_name;
  root["answered"] = estimate_json(answered);
  root["right"] = estimate_json(right);
  root["false_alarm"] = estimate_json(false_alarm);
  root["falls_silent"] = estimate_json(falls_silent);
  root["reply_latency_s"] = {{"median", estimate_json(reply_latency.median)},
                             {"p95", estimate_json(reply_latency.p95)}};
  for (const auto& [topic, estimate] : right_by_topic)
    root["right_by_topic"][topic] = estimate_json(estimate);
  root["rtf"] = rtf;
  for (const EvalTurnResult& turn : turns) root["turns"].push_back(turn_json(turn));
  return root.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace duet::runtime
