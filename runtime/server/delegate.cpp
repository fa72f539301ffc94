#include "runtime/server/delegate.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>
#include <utility>

#include "runtime/core/error.h"
#include "runtime/core/log.h"
#include "runtime/core/program.h"

namespace duet::server {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kMaxWaiting = 256, kMaxLine = 64 << 10;
constexpr std::chrono::seconds kRestartAfter{1};

std::string to_line(const DelegateQuestion& question) {
  nlohmann::json history = nlohmann::json::array();
  for (const auto& [role, text] : question.history)
    history.push_back({{"role", role}, {"text", text}});
  return nlohmann::json{{"id", question.id},
                        {"session", question.session},
                        {"user", question.user},
                        {"history", history}}
             .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) +
         '\n';
}

/// A descriptor, closed with it.
class Descriptor {
 public:
  Descriptor() = default;
  ~Descriptor() { reset(); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  void reset(int fd = -1) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = fd;
  }

 private:
  int fd_ = -1;
};

void make_pipe(Descriptor& read_end, Descriptor& write_end) {
  std::array<int, 2> ends{};
  DUET_CHECK(::pipe2(ends.data(), O_CLOEXEC) == 0);
  read_end.reset(ends[0]);
  write_end.reset(ends[1]);
}

void set_nonblocking(int fd) { ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK); }

}  // namespace

struct Delegate::Impl {
  struct Pending {
    std::function<void(std::string)> answer;
    Clock::time_point until;
  };

  int start();
  void stop();
  void run();
  void serve_once();
  void write_some();
  void read_some();
  void take_line(const std::string& line);
  void give_up(Clock::time_point now, bool all);
  void finish(const std::string& id, const std::string& words, bool is_answer);

  std::vector<std::string> command;
  Clock::duration timeout{};
  Metrics* metrics = nullptr;
  pid_t child = -1;
  Descriptor to_child, from_child, wake_read, wake_write;
  std::string unsent, unread;  // The thread's own.
  Clock::time_point next_start;
  std::mutex mutex;  // Guards the rest.
  std::string queued;
  std::map<std::string, Pending> pending;
  bool is_stopping = false;
  std::thread thread;
};

/// 0, or what went wrong.
int Delegate::Impl::start() {
  Descriptor child_in, child_out;
  make_pipe(child_in, to_child);
  make_pipe(from_child, child_out);
  // In a group of its own: a Ctrl-C is the server's, which drains first.
  const int error =
      core::start_program(command, {.in = child_in.get(), .out = child_out.get()}, child);
  if (error != 0) {
    child = -1;
    return error;
  }
  set_nonblocking(to_child.get());
  set_nonblocking(from_child.get());
  return 0;
}

void Delegate::Impl::stop() {
  to_child.reset();
  from_child.reset();
  if (child <= 0) return;
  ::kill(-child, SIGTERM);
  const pid_t ending = std::exchange(child, -1);
  for (int i = 0; i < 50; ++i) {
    if (::waitpid(ending, nullptr, WNOHANG) != 0) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  ::kill(-ending, SIGKILL);
  ::waitpid(ending, nullptr, 0);
}

void Delegate::Impl::run() {
  sigset_t pipe_signal;  // Writing to a program that has ended is an error code, no signal.
  sigemptyset(&pipe_signal);
  sigaddset(&pipe_signal, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &pipe_signal, nullptr);
  for (;;) {
    {
      const std::lock_guard lock(mutex);
      if (is_stopping) break;
      unsent += std::exchange(queued, {});
    }
    serve_once();
    give_up(Clock::now(), false);
  }
  stop();
  give_up(Clock::now(), true);
}

void Delegate::Impl::serve_once() {
  if (child < 0 && Clock::now() >= next_start) {
    next_start = Clock::now() + kRestartAfter;
    if (const int error = start(); error != 0)
      core::log_warning("delegate: " + command[0] + ": " + std::strerror(error));
  }
  std::array<pollfd, 3> wait = {
      pollfd{wake_read.get(), POLLIN, 0}, pollfd{child > 0 ? from_child.get() : -1, POLLIN, 0},
      pollfd{child > 0 && !unsent.empty() ? to_child.get() : -1, POLLOUT, 0}};
  ::poll(wait.data(), wait.size(), 100);
  if ((wait[0].revents & POLLIN) != 0) {
    std::array<char, 64> ignored{};
    while (::read(wake_read.get(), ignored.data(), ignored.size()) > 0) continue;
  }
  if (child > 0 && wait[2].revents != 0) write_some();
  if (child > 0 && wait[1].revents != 0) read_some();
}

void Delegate::Impl::write_some() {
  const ssize_t size = ::write(to_child.get(), unsent.data(), unsent.size());
  if (size > 0) unsent.erase(0, static_cast<std::size_t>(size));
}

void Delegate::Impl::read_some() {
  std::array<char, 4096> buffer{};
  const ssize_t size = ::read(from_child.get(), buffer.data(), buffer.size());
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (size <= 0) {
    core::log_warning("delegate: " + command[0] + " has ended, starting it again");
    stop();
    unsent.clear();
    unread.clear();
    return give_up(Clock::now(), true);
  }
  unread.append(buffer.data(), static_cast<std::size_t>(size));
  for (std::size_t end; (end = unread.find('\n')) != std::string::npos; unread.erase(0, end + 1))
    take_line(unread.substr(0, end));
  if (unread.size() > kMaxLine) unread.clear();
}

void Delegate::Impl::take_line(const std::string& line) {
  const nlohmann::json answer = nlohmann::json::parse(line, nullptr, false);
  const auto id = answer.is_object() ? answer.find("id") : answer.end();
  if (!answer.is_object() || id == answer.end() || !id->is_string()) {
    core::log_warning("delegate: expected a line of JSON with an id, found " + line.substr(0, 80));
    return;
  }
  const auto say = answer.find("say");
  finish(id->get<std::string>(),
         say != answer.end() && say->is_string() ? say->get<std::string>() : "", true);
}

void Delegate::Impl::finish(const std::string& id, const std::string& words, bool is_answer) {
  std::function<void(std::string)> answer;
  {
    const std::lock_guard lock(mutex);
    const auto found = pending.find(id);
    if (found == pending.end()) return;
    answer = std::move(found->second.answer);
    pending.erase(found);
  }
  (is_answer ? metrics->delegations_answered : metrics->delegations_failed)
      .fetch_add(1, std::memory_order_relaxed);
  answer(words);
}

void Delegate::Impl::give_up(Clock::time_point now, bool all) {
  std::vector<std::string> late;
  {
    const std::lock_guard lock(mutex);
    for (const auto& [id, one] : pending)
      if (all || one.until <= now) late.push_back(id);
  }
  for (const auto& id : late) finish(id, "", false);
}

Delegate::Delegate(std::vector<std::string> command, double timeout_s, Metrics& metrics)
    : impl_(std::make_unique<Impl>()) {
  impl_->command = std::move(command);
  impl_->timeout =
      std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(timeout_s));
  impl_->metrics = &metrics;
  make_pipe(impl_->wake_read, impl_->wake_write);
  set_nonblocking(impl_->wake_read.get());
  set_nonblocking(impl_->wake_write.get());
  impl_->next_start = Clock::now() + kRestartAfter;
  if (const int error = impl_->start(); error != 0)
    throw core::ConfigError({.subject = "delegate.command",
                             .expected = "a program that can be started",
                             .found = impl_->command[0] + ": " + std::strerror(error),
                             .file = {},
                             .hint = {}});
  impl_->thread = std::thread([impl = impl_.get()] { impl->run(); });
}

Delegate::~Delegate() {
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->is_stopping = true;
  }
  [[maybe_unused]] const auto woken = ::write(impl_->wake_write.get(), "x", 1);
  impl_->thread.join();
}

void Delegate::ask(const DelegateQuestion& question, std::function<void(std::string)> answer) {
  impl_->metrics->delegations_asked.fetch_add(1, std::memory_order_relaxed);
  bool is_taken = false;
  {
    const std::lock_guard lock(impl_->mutex);
    if (impl_->pending.size() < kMaxWaiting && !impl_->is_stopping) {
      is_taken = true;
      impl_->pending[question.id] = {std::move(answer), Clock::now() + impl_->timeout};
      impl_->queued += to_line(question);
    }
  }
  if (!is_taken) {
    impl_->metrics->delegations_failed.fetch_add(1, std::memory_order_relaxed);
    return answer("");
  }
  [[maybe_unused]] const auto woken = ::write(impl_->wake_write.get(), "x", 1);
}

}  // namespace duet::server
