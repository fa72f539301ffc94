#pragma once
// What happened in a conversation, on the listener's clock: turns, latencies, speed. Filled step by
// step, written as timeline.json (schema "duet.timeline/1", docs/timeline.md).

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "runtime/activity.h"
#include "runtime/engine.h"

namespace duet::runtime {

struct UserTurn {
  double start_s = 0.0;
  double end_s = 0.0;
  std::string text;  ///< As recognised; empty when the model does not transcribe.
};

struct AgentTurn {
  double start_s = 0.0;
  double end_s = 0.0;
  std::string text;     ///< From the text channel.
  bool cut = false;     ///< The user began during it and it fell silent within 1.5 s of that.
  bool audible = true;  ///< False: text without any sound; start_s = end_s is when the text came.
};

struct StepTimes {
  double p50 = 0.0;
  double p95 = 0.0;
  double p99 = 0.0;
  double max = 0.0;
};

struct Timeline {
  std::string input_name;
  double input_seconds = 0.0;  ///< Of the recording, without the tail.
  double duration_s = 0.0;     ///< Of both output channels.
  std::string model_name;
  std::string model_version;
  std::string commit;
  std::uint64_t seed = 0;
  double temperature = 0.0;
  bool realtime = false;
  bool interrupted = false;     ///< Stopped by hand before the input's end.
  std::string user_turns_from;  ///< "model" (speech head) or "energy" (the model has none).
  std::vector<UserTurn> user;
  std::vector<AgentTurn> agent;
  std::vector<double> reply_latency_s;  ///< One per user turn that was answered before the next.
  std::vector<double>
      stop_latency_s;  ///< One per user onset into agent speech; infinite (null) when it went on.
  std::int64_t num_steps = 0;
  StepTimes step_ms;
  double rtf = 0.0;  ///< Compute time / audio time.

  /// Times rounded to the millisecond. Ends with a line break.
  std::string to_json() const;
  /// Two to four lines for people: latencies and speed.
  std::string summary(double step_budget_ms) const;
};

/// Collects steps, then makes the Timeline. One thread.
class TimelineRecorder {
 public:
  explicit TimelineRecorder(const EngineInfo& info);

  /// One step, in order. `audible_at_s`: where the first sample of its pcm lies on the listener's
  /// clock.
  void add_step(const StepOutput& out, double audible_at_s, double compute_s);
  /// Turns, texts, latencies and speed; the caller fills in what it knows (names, options).
  /// `user_levels_db` and `agent_levels_db`: 10 ms levels of the two output channels.
  Timeline finish(std::span<const float> user_levels_db,
                  std::span<const float> agent_levels_db) const;

 private:
  struct Words {
    double time_s;
    std::string text;
  };
  struct Reply {
    double start_s;
    std::string text;
  };

  void add_user_turns(Timeline& timeline, const Activity& user, const Activity& agent) const;
  void add_agent_turns(Timeline& timeline, const Activity& agent) const;

  EngineInfo info_;
  std::vector<float> speaking_;
  std::vector<Words> user_words_;
  std::vector<Reply> replies_;
  std::vector<double> compute_ms_;
  bool is_reply_open_ = false;
};

}  // namespace duet::runtime
