#include "runtime/server/scheduler.h"

#include <algorithm>
#include <cmath>
#include <condition_variable>
#include <functional>
#include <future>
#include <mutex>
#include <random>
#include <utility>

#include "runtime/core/error.h"
#include "runtime/core/log.h"

namespace duet::server {
namespace {

using std::chrono::duration;
using std::chrono::duration_cast;

/// A client whose audio came within this is streaming, and a late block is waited for.
constexpr std::chrono::milliseconds kStreaming{500};
/// How long: jitter of a good network. Longer gaps are heard as silence.
constexpr std::chrono::milliseconds kGrace{120};
/// Share of a period between steps on a backlog that count as due: 1.1 times real time.
constexpr double kCatchUp = 0.9;

double seconds(Clock::duration time) { return duration<double>(time).count(); }

float rms(std::span<const float> block) {
  double sum = 0.0;
  for (const float x : block) sum += static_cast<double>(x) * static_cast<double>(x);
  return static_cast<float>(
      std::sqrt(sum / static_cast<double>(std::max<std::size_t>(1, block.size()))));
}

double time_steps(const runtime::Engine& engine, int num_sessions, int num_steps) {
  std::vector<std::unique_ptr<runtime::Session>> sessions;
  std::vector<float> block(static_cast<std::size_t>(engine.info().block_samples));
  std::vector<runtime::StepOutput> out(static_cast<std::size_t>(num_sessions));
  std::vector<runtime::StepJob> jobs;
  for (int i = 0; i < num_sessions; ++i) {
    sessions.push_back(engine.make_session({}));
    jobs.push_back({.session = sessions.back().get(),
                    .block = block,
                    .out = &out[static_cast<std::size_t>(i)],
                    .error = {}});
  }
  std::mt19937 random(1);
  std::normal_distribution<float> noise(0.0F, 0.05F);
  constexpr int kWarmUp = 5;
  Clock::time_point begin = Clock::now();
  for (int i = -kWarmUp; i < num_steps; ++i) {
    if (i == 0) begin = Clock::now();
    for (float& x : block) x = noise(random);
    engine.step_together(jobs);
    for (const runtime::StepJob& job : jobs)
      if (!job.error.empty()) throw runtime::StepError(job.error);
  }
  return seconds(Clock::now() - begin) / num_steps;
}

}  // namespace

struct WakeSignal::Impl {
  std::mutex mutex;
  std::condition_variable condition;
  bool is_awake = false;
};

WakeSignal::WakeSignal() : impl_(std::make_unique<Impl>()) {}
WakeSignal::~WakeSignal() = default;

void WakeSignal::wake() noexcept {
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->is_awake = true;
  }
  impl_->condition.notify_one();
}

void WakeSignal::wait_until(Clock::time_point deadline) {
  std::unique_lock lock(impl_->mutex);
  impl_->condition.wait_until(lock, deadline, [this] { return impl_->is_awake; });
  impl_->is_awake = false;
}

Seat::Seat(std::unique_ptr<runtime::Session> session, SeatOptions options,
           std::shared_ptr<WakeSignal> signal)
    : session_(std::move(session)),
      options_(std::move(options)),
      signal_(std::move(signal)),
      input_(options_.max_input_blocks),
      output_(options_.max_output_steps),
      last_due_(Clock::now()),
      last_arrival_(last_due_ - std::chrono::hours(1)) {}

bool Seat::push(std::span<const float> block) {
  Block* slot = input_.back();
  if (slot == nullptr) return false;
  slot->samples.assign(block.begin(), block.end());
  slot->arrived = Clock::now();
  input_.push();
  signal_->wake();
  return true;
}

void Seat::drop_input() noexcept { drop_before_.store(input_.num_pushed()); }

void Seat::begin_turn(int after_steps) noexcept {
  begin_delay_.store(after_steps);
  begin_request_.store(static_cast<std::int64_t>(input_.num_pushed()) + 1);
}

void Seat::end_turn() noexcept { end_request_.store(true); }

void Seat::say(std::string words) {
  const std::lock_guard lock(mutex_);
  words_ = std::move(words);
  say_request_.store(true);
}

bool Seat::pop(Step& step) {
  Step* slot = output_.front();
  if (slot == nullptr) return false;
  std::swap(*slot, step);
  const bool was_full = output_.size() == output_.capacity();
  output_.pop();
  if (was_full) signal_->wake();
  return true;
}

void Seat::set_paused(bool is_paused) noexcept {
  is_paused_.store(is_paused);
  signal_->wake();
}

void Seat::leave() noexcept {
  has_left_.store(true);
  signal_->wake();
}

Scheduler::Scheduler(const runtime::Engine& engine, Metrics& metrics, int max_sessions,
                     int num_threads)
    : engine_(&engine),
      metrics_(&metrics),
      max_sessions_(max_sessions),
      period_(duration_cast<Clock::duration>(duration<double>(engine.info().step_seconds))),
      signal_(std::make_shared<WakeSignal>()),
      silence_(static_cast<std::size_t>(engine.info().block_samples), 0.0F),
      num_idle_(num_threads),
      workers_(static_cast<std::size_t>(std::max(0, num_threads))) {
  const auto require_one = [](const char* subject, int found) {
    if (found >= 1) return;
    throw core::ConfigError({.subject = subject,
                             .expected = "at least 1",
                             .found = std::to_string(found),
                             .file = {},
                             .hint = {}});
  };
  require_one("max_sessions", max_sessions);
  require_one("inference_threads", num_threads);
  metrics_->capacity = max_sessions;
  for (Worker& worker : workers_) worker.thread = std::thread([this, &worker] { run(worker); });
}

Scheduler::~Scheduler() {
  stop_ = true;
  signal_->wake();  // One thread, which wakes the next.
  for (Worker& worker : workers_) worker.thread.join();
}

std::shared_ptr<Seat> Scheduler::admit(SeatOptions options) {
  int taken = num_sessions_.load();
  do {
    if (taken >= max_sessions_) {
      metrics_->sessions_refused.fetch_add(1, std::memory_order_relaxed);
      return nullptr;
    }
  } while (!num_sessions_.compare_exchange_weak(taken, taken + 1));
  std::shared_ptr<Seat> seat;
  try {
    seat =
        std::make_shared<Seat>(engine_->make_session(options.session), std::move(options), signal_);
  } catch (...) {
    num_sessions_.fetch_sub(1);
    throw;
  }
  metrics_->sessions_admitted.fetch_add(1, std::memory_order_relaxed);
  metrics_->sessions.fetch_add(1, std::memory_order_relaxed);
  {
    const std::lock_guard lock(mutex_);
    seats_.push_back(seat);
  }
  signal_->wake();
  return seat;
}

void Scheduler::remove_left() {
  const std::size_t before = seats_.size();
  std::erase_if(seats_,
                [](const auto& seat) { return !seat->is_stepping_ && seat->has_left_.load(); });
  const auto removed = static_cast<int>(before - seats_.size());
  num_sessions_.fetch_sub(removed);
  metrics_->sessions.fetch_sub(removed, std::memory_order_relaxed);
}

/// The seat's next step; no seat in it when it has none to do.
Scheduler::Choice Scheduler::next_step(Seat& seat, Clock::time_point now) const {
  if (seat.has_failed_ || seat.output_.size() == seat.output_.capacity()) return {};
  if (seat.is_paused_.load()) {
    seat.was_paused_ = true;
    return {};
  }
  if (std::exchange(seat.was_paused_, false)) seat.last_due_ = now;
  const Seat::Block* block = seat.input_.front();
  while (block != nullptr && seat.num_taken_ < seat.drop_before_.load()) {
    seat.input_.pop();
    ++seat.num_taken_;
    block = seat.input_.front();
  }
  if (block != nullptr) {
    const auto due = std::max(block->arrived,
                              seat.last_due_ + duration_cast<Clock::duration>(kCatchUp * period_));
    return {&seat, due, due, true};
  }
  if (!seat.options_.is_wall_clock) return {};
  const auto nominal = seat.last_due_ + period_;
  const bool is_streaming = now - seat.last_arrival_ < kStreaming;
  return {&seat, is_streaming ? nominal + kGrace : nominal, nominal, false};
}

/// This thread's share of the steps that are due; where none is, the first of those that a client
/// sent ahead. `next`: when the first of the others is due.
void Scheduler::choose(std::vector<Choice>& chosen, Clock::time_point now,
                       Clock::time_point& next) {
  Choice ahead;
  for (const auto& seat : seats_) {
    if (seat->is_stepping_) continue;
    const Choice choice = next_step(*seat, now);
    if (choice.seat == nullptr) continue;
    if (choice.due <= now)
      chosen.push_back(choice);
    else if (!choice.has_block)
      next = std::min(next, choice.due);
    else if (ahead.seat == nullptr || choice.due < ahead.due)
      ahead = choice;
  }
  if (chosen.empty() && ahead.seat != nullptr) chosen.push_back(ahead);
  const auto num_free = static_cast<std::size_t>(num_idle_) + 1;
  const std::size_t share = std::min((chosen.size() + num_free - 1) / num_free, kMaxShared);
  if (chosen.size() <= share) return;
  std::stable_sort(chosen.begin(), chosen.end(),
                   [](const Choice& a, const Choice& b) { return a.due < b.due; });
  chosen.resize(share);
}

/// Gives back what the worker has done and takes its next steps.
void Scheduler::take_work(Worker& worker, Clock::time_point& next) {
  const std::lock_guard lock(mutex_);
  if (worker.chosen.empty()) --num_idle_;
  for (const Choice& choice : worker.chosen) choice.seat->is_stepping_ = false;
  worker.chosen.clear();
  remove_left();
  const Clock::time_point now = Clock::now();
  next = now + std::chrono::seconds(1);
  choose(worker.chosen, now, next);
  for (const Choice& choice : worker.chosen) choice.seat->is_stepping_ = true;
  if (worker.chosen.empty())
    ++num_idle_;
  else if (num_idle_ > 0)
    signal_->wake();  // Another sees to what was left, and to who is due meanwhile.
}

void Scheduler::run(Worker& worker) {
  while (!stop_.load()) {
    Clock::time_point next;
    take_work(worker, next);
    if (worker.chosen.empty())
      signal_->wait_until(next);
    else
      step_chosen(worker);
  }
  signal_->wake();
}

/// What the network side asks of the session: an end at once, words at once, a turn when its time
/// has come.
void Scheduler::prepare_turn(Seat& seat) const {
  if (seat.end_request_.exchange(false)) seat.session_->end_turn();
  if (seat.say_request_.exchange(false)) {
    const std::lock_guard lock(seat.mutex_);
    seat.session_->say(seat.words_);
    seat.begin_wait_ = -1;
  }
  const std::int64_t request = seat.begin_request_.load();
  if (request > 0 && static_cast<std::int64_t>(seat.num_taken_) >= request - 1) {
    seat.begin_wait_ = seat.begin_delay_.load();
    seat.begin_request_.store(-1);
  }
  if (seat.begin_wait_ < 0) return;
  if (seat.begin_wait_-- == 0) seat.session_->begin_turn();
}

/// What a step of this seat takes; its block ends up in `buffer`.
runtime::StepJob Scheduler::prepare(Seat& seat, std::vector<float>& buffer) {
  std::span<const float> input = silence_;
  if (Seat::Block* block = seat.input_.front()) {
    std::swap(buffer, block->samples);
    seat.last_arrival_ = block->arrived;
    seat.input_.pop();
    ++seat.num_taken_;
    input = buffer;
  } else {
    metrics_->silent_steps.fetch_add(1, std::memory_order_relaxed);
  }
  prepare_turn(seat);
  Step& slot = *seat.output_.back();
  slot.failure.clear();
  slot.index = seat.session_->num_steps();
  slot.input_level = rms(input);
  if (seat.keeps_input_.load()) slot.input.assign(input.begin(), input.end());
  slot.backlog_blocks = seat.input_.size();
  return {.session = seat.session_.get(), .block = input, .out = &slot.out, .error = {}};
}

void Scheduler::step_chosen(Worker& worker) {
  auto& [chosen, jobs, blocks, thread] = worker;
  jobs.clear();
  if (blocks.size() < chosen.size()) blocks.resize(chosen.size());
  for (std::size_t i = 0; i < chosen.size(); ++i)
    jobs.push_back(prepare(*chosen[i].seat, blocks[i]));
  const Clock::time_point begin = Clock::now();
  engine_->step_together(jobs);
  const Clock::time_point end = Clock::now();
  metrics_->shared_steps.fetch_add(1, std::memory_order_relaxed);
  metrics_->step_seconds.observe(seconds(end - begin));
  for (std::size_t i = 0; i < chosen.size(); ++i) finish(chosen[i], jobs[i], begin, end);
}

void Scheduler::finish(const Choice& choice, const runtime::StepJob& job, Clock::time_point begin,
                       Clock::time_point end) {
  Seat& seat = *choice.seat;
  Step& slot = *seat.output_.back();
  if (job.error.empty()) {
    if (slot.out.agent_turn_started) seat.begin_wait_ = -1;
  } else {
    slot.failure = job.error;
    seat.has_failed_ = true;
    metrics_->sessions_failed.fetch_add(1, std::memory_order_relaxed);
  }
  metrics_->steps.fetch_add(1, std::memory_order_relaxed);
  if (choice.due <= begin) {
    metrics_->wait_seconds.observe(seconds(begin - choice.due));
    metrics_->lag_seconds.observe(seconds(end - choice.due));
    if (end - choice.due > period_)
      metrics_->deadline_misses.fetch_add(1, std::memory_order_relaxed);
  }
  // Ahead of its time: the next one counts from now.
  seat.last_due_ = std::min(choice.nominal, begin);
  // So late that the client must have noticed: start anew rather than run after it.
  if (begin - seat.last_due_ > kStreaming) seat.last_due_ = begin;
  seat.output_.push();
  if (seat.options_.on_step) seat.options_.on_step();
}

double measure_step_seconds(const runtime::Engine& engine, int num_sessions, int num_steps,
                            int num_threads) {
  std::vector<std::future<double>> others;
  for (int i = 1; i < num_threads; ++i)
    others.push_back(
        std::async(std::launch::async, time_steps, std::cref(engine), num_sessions, num_steps));
  double slowest = time_steps(engine, num_sessions, num_steps);
  for (auto& other : others) slowest = std::max(slowest, other.get());
  return slowest;
}

int capacity_for(double shared_s, double each_s, double step_s) noexcept {
  // Half: conversations are not due all at once, so that most steps are shared by fewer than fit,
  // and the network needs its part.
  constexpr double kUsable = 0.5, kMost = 256.0;
  const double room = (kUsable * step_s - shared_s) / std::max(each_s, 1e-6);
  return static_cast<int>(std::clamp(room, 1.0, kMost));
}

}  // namespace duet::server
