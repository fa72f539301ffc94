#pragma once
// The inference threads: they step every conversation of a server when it is due.
//
// A conversation has a seat. Its network side pushes blocks of the user's audio and takes steps
// out; both queues are bounded. A free thread takes the steps that are due, those due longest first
// and at most kMaxShared, leaves other free threads their share, and does its own together
// (Engine::step_together); what comes meanwhile is the next batch, so that nobody waits for a batch
// to fill. A block is due when it came, but at most 1.1 times as fast as real time; what a client
// sent ahead of that is worked off when nobody else is due. A seat on the wall clock steps on
// silence when its block does not come; the others wait for their client (its audio is then the
// clock). A failed step ends its seat alone. A seat is on one thread at a time; a step that hangs
// holds up those that share it.

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "runtime/engine.h"
#include "runtime/server/metrics.h"
#include "runtime/server/slot_ring.h"

namespace duet::server {

using Clock = std::chrono::steady_clock;

/// What a step gave.
struct Step {
  runtime::StepOutput out;
  std::int64_t index = 0;          ///< Of the step in its conversation, from 0.
  float input_level = 0.0F;        ///< RMS of the block it heard.
  std::size_t backlog_blocks = 0;  ///< Blocks still waiting behind it.
  std::vector<float> input = {};   ///< The block it heard; only after Seat::keep_input().
  std::string failure = {};        ///< Not empty: the step failed and is the seat's last.
};

/// Wakes one inference thread. Its lock is held for one assignment at a time.
class WakeSignal {
 public:
  WakeSignal();
  ~WakeSignal();
  void wake() noexcept;
  /// Until wake() or `deadline`.
  void wait_until(Clock::time_point deadline);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

struct SeatOptions {
  runtime::SessionOptions session = {};
  bool is_wall_clock = false;          ///< Missing input is silence.
  std::size_t max_input_blocks = 250;  ///< 20 s.
  std::size_t max_output_steps = 32;   ///< A seat whose steps are not taken stops after so many.
  std::function<void()> on_step = {};  ///< Inference threads, after each step; may only post.
};

/// Public functions: network side, one thread at a time.
class Seat {
 public:
  Seat(std::unique_ptr<runtime::Session> session, SeatOptions options,
       std::shared_ptr<WakeSignal> signal);

  const runtime::EngineInfo& info() const noexcept { return session_->info(); }
  /// False when the queue is full. `block`: info().block_samples.
  bool push(std::span<const float> block);
  std::size_t num_waiting_blocks() const noexcept { return input_.size(); }
  /// Blocks pushed so far are not heard, unless a step has taken them already.
  void drop_input() noexcept;
  /// The agent speaks `after_steps` steps after everything pushed so far was heard, unless it began
  /// by itself meanwhile.
  void begin_turn(int after_steps) noexcept;
  /// The agent's turn ends at the next step (Session::end_turn).
  void end_turn() noexcept;
  /// The agent says this from the next step (Session::say); only the last of several counts.
  void say(std::string words);
  /// The oldest step not yet taken; `step` is swapped with it.
  bool pop(Step& step);
  /// From the next step on, steps carry the block that they heard.
  void keep_input() noexcept { keeps_input_.store(true); }
  /// A paused seat does not step: its conversation stands still. No client's absence is heard as
  /// silence, and none is late afterwards.
  void set_paused(bool is_paused) noexcept;
  /// Gives the seat up. Its place is free for others once an inference thread has seen it.
  void leave() noexcept;

 private:
  friend class Scheduler;
  struct Block {
    std::vector<float> samples;
    Clock::time_point arrived;
  };

  std::unique_ptr<runtime::Session> session_;
  SeatOptions options_;
  std::shared_ptr<WakeSignal> signal_;
  SlotRing<Block> input_;
  SlotRing<Step> output_;
  std::atomic<bool> has_left_{false}, is_paused_{false}, keeps_input_{false};
  std::atomic<std::uint64_t> drop_before_{0};    // Blocks before this count are dropped.
  std::atomic<std::int64_t> begin_request_{-1};  // 1 + blocks pushed at begin_turn(), or none.
  std::atomic<int> begin_delay_{0};
  std::atomic<bool> end_request_{false}, say_request_{false};
  std::mutex mutex_;  // Guards words_; held for one move.
  std::string words_;

  bool is_stepping_ = false;  // Under the scheduler's lock: a thread has this seat.
  // Of the thread that has this seat, or under the scheduler's lock when none has.
  Clock::time_point last_due_, last_arrival_;
  std::uint64_t num_taken_ = 0;
  std::int64_t begin_wait_ = -1;  // Steps until begin_turn, -1: none asked.
  bool has_failed_ = false, was_paused_ = false;
};

class Scheduler {
 public:
  static constexpr std::size_t kMaxShared = 32;  ///< Conversations in a step.

  /// `engine` and `metrics` must outlive it. Throws core::ConfigError for max_sessions or
  /// num_threads < 1.
  Scheduler(const runtime::Engine& engine, Metrics& metrics, int max_sessions, int num_threads = 1);
  ~Scheduler();  ///< Stops and joins; seats may outlive it and are then dead.
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  /// A new conversation, or nothing when all seats are taken. Any thread. Throws what make_session
  /// throws.
  std::shared_ptr<Seat> admit(SeatOptions options);
  int num_sessions() const noexcept { return num_sessions_.load(); }
  int max_sessions() const noexcept { return max_sessions_; }
  const runtime::EngineInfo& info() const noexcept { return engine_->info(); }

 private:
  struct Choice {
    Seat* seat = nullptr;
    Clock::time_point due;      ///< Earliest moment.
    Clock::time_point nominal;  ///< Where it stands on the seat's clock: due without the grace.
    bool has_block = false;
  };
  struct Worker {
    std::vector<Choice> chosen;
    std::vector<runtime::StepJob> jobs;
    std::vector<std::vector<float>> blocks;  // One for each step that is shared.
    std::thread thread;
  };

  void run(Worker& worker);
  void take_work(Worker& worker, Clock::time_point& next);
  void remove_left();
  void choose(std::vector<Choice>& chosen, Clock::time_point now, Clock::time_point& next);
  Choice next_step(Seat& seat, Clock::time_point now) const;
  void step_chosen(Worker& worker);
  runtime::StepJob prepare(Seat& seat, std::vector<float>& buffer);
  void finish(const Choice& choice, const runtime::StepJob& job, Clock::time_point begin,
              Clock::time_point end);
  void prepare_turn(Seat& seat) const;

  const runtime::Engine* engine_;
  Metrics* metrics_;
  const int max_sessions_;
  const Clock::duration period_;
  std::shared_ptr<WakeSignal> signal_;
  const std::vector<float> silence_;
  std::atomic<int> num_sessions_{0};
  std::atomic<bool> stop_{false};
  std::mutex mutex_;  // Guards seats_ and num_idle_; held while steps are chosen, not while done.
  std::vector<std::shared_ptr<Seat>> seats_;
  int num_idle_ = 0;  // Threads without work.
  std::vector<Worker> workers_;
};

/// Seconds of one shared step of `num_sessions` conversations, the mean over `num_steps` after a
/// warm-up, on noise at a speaking level; of the slowest of `num_threads` that do so at once, each
/// with conversations of its own.
double measure_step_seconds(const runtime::Engine& engine, int num_sessions, int num_steps,
                            int num_threads = 1);
/// How many conversations fit on one inference thread with half of the time in reserve, if a
/// shared step of n takes shared_s + n * each_s; 1 to 256.
int capacity_for(double shared_s, double each_s, double step_s) noexcept;

}  // namespace duet::server
