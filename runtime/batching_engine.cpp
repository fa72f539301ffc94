#include "runtime/batching_engine.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "runtime/core/error.h"

namespace duet::runtime {

namespace {

using Clock = std::chrono::steady_clock;

struct Request {
  StepJob job;
  Clock::time_point since;
  bool is_done = false;
};

void require_positive(const char* subject, int value) {
  if (value >= 1) return;
  throw core::ConfigError({.subject = subject,
                           .expected = "1 or more",
                           .found = std::to_string(value),
                           .file = "",
                           .hint = ""});
}

}  // namespace

class BatchingEngine::Queue {
 public:
  Queue(const Engine& inner, const BatchingOptions& options) : inner_(inner), options_(options) {
    for (int i = 0; i < options.num_workers; ++i) workers_.emplace_back([this] { work(); });
  }
  ~Queue() {
    {
      const std::lock_guard lock(mutex_);
      is_stopping_ = true;
    }
    arrived_.notify_all();
    for (std::thread& worker : workers_) worker.join();
  }

  void join() {
    const std::lock_guard lock(mutex_);
    ++num_sessions_;
  }
  void leave() {
    {
      const std::lock_guard lock(mutex_);
      --num_sessions_;
    }
    arrived_.notify_all();
  }

  /// Blocks until `request` is done.
  void submit(Request& request) {
    std::unique_lock lock(mutex_);
    request.since = Clock::now();
    waiting_.push_back(&request);
    arrived_.notify_one();
    done_.wait(lock, [&] { return request.is_done; });
  }

  double mean_batch() const {
    const std::lock_guard lock(mutex_);
    return num_steps_ == 0 ? 0.0 : static_cast<double>(num_jobs_) / static_cast<double>(num_steps_);
  }

 private:
  /// A worker's fair share of all sessions, at most a batch.
  std::size_t enough() const {
    const auto workers = static_cast<std::size_t>(options_.num_workers);
    const std::size_t share = (num_sessions_ + workers - 1) / workers;
    return std::clamp<std::size_t>(share, 1, static_cast<std::size_t>(options_.max_batch));
  }

  /// The next batch; empty: stop.
  std::vector<Request*> take() {
    std::unique_lock lock(mutex_);
    while (!is_stopping_) {
      if (waiting_.empty()) {
        arrived_.wait(lock);
        continue;
      }
      const Clock::time_point until = waiting_.front()->since + options_.patience;
      if (waiting_.size() < enough() && Clock::now() < until) {
        arrived_.wait_until(lock, until);
        continue;
      }
      const std::size_t count =
          std::min(waiting_.size(), static_cast<std::size_t>(options_.max_batch));
      const auto end = waiting_.begin() + static_cast<std::ptrdiff_t>(std::min(count, enough()));
      std::vector<Request*> batch(waiting_.begin(), end);
      waiting_.erase(waiting_.begin(), end);
      ++num_steps_;
      num_jobs_ += batch.size();
      return batch;
    }
    return {};
  }

  void work() {
    for (std::vector<Request*> batch = take(); !batch.empty(); batch = take()) {
      std::vector<StepJob> jobs;
      for (const Request* request : batch) jobs.push_back(request->job);
      inner_.step_together(jobs);
      {
        const std::lock_guard lock(mutex_);
        for (std::size_t i = 0; i < batch.size(); ++i) {
          batch[i]->job.error = jobs[i].error;
          batch[i]->is_done = true;
        }
      }
      done_.notify_all();
    }
  }

  const Engine& inner_;
  const BatchingOptions options_;
  mutable std::mutex mutex_;  // Guards all below.
  std::condition_variable arrived_, done_;
  std::deque<Request*> waiting_;
  std::size_t num_sessions_ = 0;
  std::uint64_t num_steps_ = 0, num_jobs_ = 0;
  bool is_stopping_ = false;
  std::vector<std::thread> workers_;
};

class BatchingEngine::BatchedSession : public Session {
 public:
  BatchedSession(const EngineInfo& info, std::unique_ptr<Session> inner, Queue& queue)
      : Session(info), inner_(std::move(inner)), queue_(queue) {
    queue_.join();
  }
  ~BatchedSession() override { queue_.leave(); }

  void begin_turn() override { inner_->begin_turn(); }
  void end_turn() override { inner_->end_turn(); }
  void say(std::string_view text) override { inner_->say(text); }

 private:
  void do_step(std::span<const float> block, StepOutput& out) override {
    Request request{.job = {.session = inner_.get(), .block = block, .out = &out, .error = {}},
                    .since = {},
                    .is_done = false};
    queue_.submit(request);
    if (!request.job.error.empty()) {
      std::string text = request.job.error;  // "step N: ", which Session::step says again
      if (const std::size_t colon = text.find(": "); text.starts_with("step ") && colon < 40)
        text.erase(0, colon + 2);
      throw std::runtime_error(text);
    }
  }
  void do_reset() override { inner_->reset(); }

  const std::unique_ptr<Session> inner_;
  Queue& queue_;
};

BatchingEngine::BatchingEngine(const Engine& inner, const BatchingOptions& options)
    : inner_(inner) {
  require_positive("max_batch", options.max_batch);
  require_positive("num_workers", options.num_workers);
  queue_ = std::make_unique<Queue>(inner, options);
}

BatchingEngine::~BatchingEngine() = default;

std::unique_ptr<Session> BatchingEngine::make_session(const SessionOptions& options) const {
  return std::make_unique<BatchedSession>(info(), inner_.make_session(options), *queue_);
}

double BatchingEngine::mean_batch() const { return queue_->mean_batch(); }

}  // namespace duet::runtime
