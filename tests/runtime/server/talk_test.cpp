#include "runtime/server/talk.h"

#include <catch2/catch.hpp>
#include <mutex>

#include "tests/support/fake_engine.h"

using namespace duet;
using namespace std::chrono_literals;

namespace {

/// A connection without a socket: what is posted runs when the test says so.
struct Client : server::Link, server::Peer, std::enable_shared_from_this<Client> {
  std::vector<std::string> texts;
  int num_binary = 0, close_code = 0;
  std::mutex mutex;  // Guards tasks: the inference thread posts.
  std::vector<std::function<void()>> tasks;
  std::unique_ptr<server::Talk> talk;

  void send_text(std::string message, server::Lane) override { texts.push_back(message); }
  void send_binary(std::vector<std::uint8_t>, server::Lane) override { ++num_binary; }
  void close(int code, const std::string&) override {
    close_code = code;
    talk->on_closing();
  }
  void shut_down() override {}
  void warn(double) override {}
  void hand_over(std::function<void(std::shared_ptr<server::Conversation>)> take) override {
    talk->give_up(take);
  }

  void connect(server::Commons& commons, server::Protocol protocol, const std::string& query = "") {
    server::Talk::Wiring wiring;
    wiring.link = this;
    wiring.peer = weak_from_this();
    wiring.read = [] {};
    wiring.post = [this](std::function<void()> task) {
      const std::lock_guard lock(mutex);
      tasks.push_back(std::move(task));
    };
    talk = std::make_unique<server::Talk>(
        commons,
        server::OpenRequest{
            .protocol = protocol, .query = query, .id = server::make_session_id(protocol)},
        std::move(wiring));
    talk->begin();
  }
  void run() {
    std::vector<std::function<void()>> now;
    {
      const std::lock_guard lock(mutex);
      now.swap(tasks);
    }
    for (const auto& task : now) task();
  }
  void say(const std::string& text) {
    talk->on_message({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}, true);
  }
  bool heard(const std::string& words) const {
    return std::any_of(texts.begin(), texts.end(), [&](const std::string& text) {
      return text.find(words) != std::string::npos;
    });
  }
};

struct Hall : server::Commons {
  support::FakeEngine engine{{}};
  explicit Hall(int max_waiting = 0) {
    scheduler = std::make_unique<server::Scheduler>(engine, metrics, 1);
    lobby = std::make_unique<server::Lobby>(30.0, metrics);
    line = std::make_unique<server::WaitingLine>(max_waiting, metrics);
    state.config = &config;
    state.scheduler = scheduler.get();
    state.metrics = &metrics;
  }
  ~Hall() {  // Before the engine.
    lobby.reset();
    scheduler.reset();
  }
  void wait_for_free_seat() const {
    for (int i = 0; i < 400 && scheduler->num_sessions() > 0; ++i) std::this_thread::sleep_for(5ms);
  }
};

/// The value of a string member of the first text.
std::string member(const Client& client, const std::string& name) {
  const std::string key = '"' + name + "\":\"";
  const std::size_t at = client.texts.at(0).find(key);
  REQUIRE(at != std::string::npos);
  const std::size_t begin = at + key.size();
  return client.texts[0].substr(begin, client.texts[0].find('"', begin) - begin);
}

std::string resume_of(const Client& client) {
  return R"({"type":"session.resume","session_id":")" + member(client, "session_id") +
         R"(","resume_token":")" + member(client, "resume_token") +
         R"(","last_received_server_event_seq":2})";
}

}  // namespace

TEST_CASE("a talk opens, is refused when all seats are taken, and gives its seat back", "[unit]") {
  Hall hall;
  const auto first = std::make_shared<Client>(), second = std::make_shared<Client>();
  first->connect(hall, server::Protocol::kRealtime);
  CHECK(first->heard("session.created"));
  second->connect(hall, server::Protocol::kRealtime);
  CHECK(second->heard("rate_limit_error"));
  CHECK(second->close_code == 1013);
  CHECK(hall.metrics.sessions_refused == 1);
  first->talk->on_gone();
  hall.wait_for_free_seat();
  CHECK(hall.scheduler->num_sessions() == 0);
}

TEST_CASE("a talk that waits keeps what it hears, up to a limit", "[unit]") {
  Hall hall(3);
  const auto first = std::make_shared<Client>(), second = std::make_shared<Client>();
  first->connect(hall, server::Protocol::kDuplex);
  second->connect(hall, server::Protocol::kDuplex);
  CHECK(second->heard("session.queued"));
  for (std::size_t i = 0; i < server::Talk::kMaxHeld; ++i) {
    CHECK(second->talk->wants_input());
    second->say(R"({"type":"session.heartbeat"})");
  }
  CHECK_FALSE(second->talk->wants_input());
  for (int i = 0; i < 3; ++i) second->talk->on_tick(server::Clock::now());
  CHECK(hall.metrics.sessions_refused == 0);  // Waiting is not being refused.
  first->say(R"({"type":"session.close"})");
  hall.wait_for_free_seat();
  second->talk->on_tick(server::Clock::now());
  CHECK(second->heard("session.created"));
  CHECK(second->heard("session.heartbeat_ack"));
  CHECK(second->talk->wants_input());
}

TEST_CASE("a talk is resumed from the lobby, or from the connection that still has it", "[unit]") {
  Hall hall;
  const auto first = std::make_shared<Client>(), second = std::make_shared<Client>();
  first->connect(hall, server::Protocol::kDuplex);
  const bool is_dropped = GENERATE(false, true);
  if (is_dropped) first->talk->on_gone();
  second->connect(hall, server::Protocol::kDuplex, "autostart=0");
  second->say(resume_of(*first));
  second->run();
  CHECK(second->heard("session.resumed"));
  CHECK(first->heard("session.replaced") == !is_dropped);
  CHECK(first->close_code == (is_dropped ? 0 : 1000));
  CHECK(hall.scheduler->num_sessions() == 1);
  CHECK(hall.metrics.sessions_resumed == 1);
  second->say(R"({"type":"session.close"})");
  CHECK(second->close_code == 1000);
  second->talk->on_gone();
  CHECK(hall.metrics.sessions_parked == 0);  // It was closed, not dropped.
}

TEST_CASE("a client that is to speak first has ten seconds for it", "[unit]") {
  Hall hall;
  const auto client = std::make_shared<Client>();
  client->connect(hall, server::Protocol::kDuplex, "autostart=0");
  client->talk->on_tick(server::Clock::now() + 9s);
  CHECK(client->close_code == 0);
  client->talk->on_tick(server::Clock::now() + 11s);
  CHECK(client->heard("config_timeout"));
  CHECK(client->close_code == 1008);
}
