#include "runtime/server/server.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "runtime/machine.h"
#include "runtime/server/connection.inc"

namespace duet::server {
namespace {

using PlainConnection = Connection<beast::tcp_stream>;
using TlsConnection = Connection<beast::ssl_stream<beast::tcp_stream>>;

/// Bytes the kernel may hold for a client that does not read: less than the second of audio that a
/// conversation can well lose.
constexpr int kSendBufferBytes = 64 << 10;

int threads_for(const ServerConfig& config) {
  return config.inference_threads > 0 ? config.inference_threads
                                      : std::max(1, runtime::cpu_info().num_cores);
}

int sessions_for(const runtime::Engine& engine, const ServerConfig& config, int num_threads) {
  if (config.max_sessions > 0) return config.max_sessions;
  constexpr int kMeasuredSteps = 12, kTogether = 8;
  const double one_s = measure_step_seconds(engine, 1, kMeasuredSteps, num_threads),
               some_s = measure_step_seconds(engine, kTogether, kMeasuredSteps, num_threads),
               each_s = std::max((some_s - one_s) / (kTogether - 1), some_s / (4 * kTogether));
  const int sessions =
      num_threads * capacity_for(std::max(0.0, one_s - each_s), each_s, engine.info().step_seconds);
  const auto ms = [](double s) { return std::to_string(s * 1000.0).substr(0, 5) + " ms"; };
  core::log_info("a step takes " + ms(one_s) + ", one of " + std::to_string(kTogether) +
                 " conversations together " + ms(some_s) + ", on " + std::to_string(num_threads) +
                 (num_threads == 1 ? " thread" : " threads at once") + ": room for " +
                 std::to_string(sessions));
  return sessions;
}

}  // namespace

struct Server::Impl {
  Impl(const runtime::Engine& engine, const ServerConfig& config);
  ~Impl();

  void listen();
  void load_tls();
  void start_delegate(const runtime::Engine& engine);
  void accept();
  void welcome(tcp::socket socket);
  void sweep();
  std::vector<std::shared_ptr<Peer>> all_peers();

  Shared shared;  // Outlives the connections, which the context destroys.
  std::unique_ptr<asio::ssl::context> tls;
  asio::io_context context;
  tcp::acceptor acceptor{asio::make_strand(context)};
  asio::steady_timer retry{context}, sweeper{context};
  std::vector<std::thread> threads;
};

Server::Impl::Impl(const runtime::Engine& engine, const ServerConfig& config) {
  config.validate();
  shared.config = config;
  shared.access = std::make_unique<Access>(config);
  shared.line = std::make_unique<WaitingLine>(config.queue_max_waiting, shared.metrics);
  shared.lobby = std::make_unique<Lobby>(config.resume_grace_s, shared.metrics);
  load_tls();
  start_delegate(engine);
  listen();
  const int num_threads = threads_for(config);
  shared.scheduler = std::make_unique<Scheduler>(
      engine, shared.metrics, sessions_for(engine, config, num_threads), num_threads);
  shared.state.config = &shared.config;
  shared.state.scheduler = shared.scheduler.get();
  shared.state.metrics = &shared.metrics;
  shared.state.access = shared.access.get();
  shared.state.delegate = shared.delegate.get();
  accept();
  sweep();
  for (int i = 0; i < config.network_threads; ++i) threads.emplace_back([this] { context.run(); });
}

Server::Impl::~Impl() {
  context.stop();
  for (auto& thread : threads) thread.join();
  shared.lobby->clear();
  shared.delegate.reset();
  shared.scheduler.reset();  // Before the context that its seats post to.
}

void Server::Impl::listen() {
  const auto fail = [this](const std::string& found) {
    throw core::DeviceError({.subject = "address",
                             .expected = "an address and port that can be listened on",
                             .found = shared.config.address + " port " +
                                      std::to_string(shared.config.port) + ": " + found,
                             .file = {},
                             .hint = {}});
  };
  ErrorCode error;
  const std::string name =
      shared.config.address == "localhost" ? "127.0.0.1" : shared.config.address;
  const auto address = asio::ip::make_address(name, error);
  if (error) fail(error.message());
  const tcp::endpoint endpoint(address, static_cast<unsigned short>(shared.config.port));
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(asio::socket_base::reuse_address(true), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error) fail(error.message());
}

void Server::Impl::load_tls() {
  if (shared.config.tls_cert.empty()) return;
  tls = std::make_unique<asio::ssl::context>(asio::ssl::context::tls_server);
  ErrorCode error;
  tls->set_options(asio::ssl::context::default_workarounds | asio::ssl::context::no_tlsv1 |
                   asio::ssl::context::no_tlsv1_1);
  std::string file = shared.config.tls_cert;
  tls->use_certificate_chain_file(file, error);
  if (!error) {
    file = shared.config.tls_key;
    tls->use_private_key_file(file, asio::ssl::context::pem, error);
  }
  if (error)
    throw core::LoadError({.subject = "TLS",
                           .expected = "a certificate and its key in PEM",
                           .found = error.message(),
                           .file = file,
                           .hint = {}});
}

void Server::Impl::start_delegate(const runtime::Engine& engine) {
  if (shared.config.delegate_command.empty()) return;
  if (!engine.info().can_say)
    throw core::ConfigError({.subject = "delegate.command",
                             .expected = "a model that can be given words",
                             .found = engine.info().model_name + ", which cannot",
                             .file = {},
                             .hint = {}});
  shared.delegate = std::make_unique<Delegate>(shared.config.delegate_command,
                                               shared.config.delegate_timeout_s, shared.metrics);
}

void Server::Impl::accept() {
  acceptor.async_accept(asio::make_strand(context), [this](ErrorCode error, tcp::socket socket) {
    if (error == asio::error::operation_aborted) return;
    if (!error) welcome(std::move(socket));
    if (!error) return accept();
    retry.expires_after(std::chrono::milliseconds(100));  // Out of descriptors, most likely.
    retry.async_wait([this](ErrorCode stopped) {
      if (!stopped) accept();
    });
  });
}

void Server::Impl::welcome(tcp::socket socket) {
  ErrorCode error;
  const auto remote = socket.remote_endpoint(error);
  if (error) return;  // Gone already.
  const std::string address = remote.address().to_string();
  {
    const std::lock_guard lock(shared.mutex);
    int& count = shared.per_address[address];
    if (count >= shared.config.max_connections_per_address ||
        shared.peers.size() >= static_cast<std::size_t>(shared.config.max_connections)) {
      if (count == 0) shared.per_address.erase(address);
      shared.metrics.connections_refused.fetch_add(1, std::memory_order_relaxed);
      return;
    }
    ++count;
  }
  shared.metrics.connections.fetch_add(1, std::memory_order_relaxed);
  socket.set_option(tcp::no_delay(true), error);
  socket.set_option(asio::socket_base::send_buffer_size(kSendBufferBytes), error);
  const auto start = [this](auto connection) {
    {
      const std::lock_guard lock(shared.mutex);
      shared.peers[connection.get()] = connection;
    }
    connection->run();
  };
  if (tls)
    start(std::make_shared<TlsConnection>(shared, address, std::move(socket), *tls));
  else
    start(std::make_shared<PlainConnection>(shared, address, std::move(socket)));
}

/// Ends, now and then, what nobody came back to.
void Server::Impl::sweep() {
  sweeper.expires_after(kTick);
  sweeper.async_wait([this](ErrorCode stopped) {
    if (stopped) return;
    shared.lobby->expire(Clock::now());
    sweep();
  });
}

std::vector<std::shared_ptr<Peer>> Server::Impl::all_peers() {
  std::vector<std::shared_ptr<Peer>> peers;
  const std::lock_guard lock(shared.mutex);
  for (const auto& [key, weak] : shared.peers)
    if (auto peer = weak.lock()) peers.push_back(std::move(peer));
  return peers;
}

Server::Server(const runtime::Engine& engine, const ServerConfig& config)
    : impl_(std::make_unique<Impl>(engine, config)) {}
Server::~Server() = default;

int Server::port() const noexcept {
  ErrorCode error;
  return impl_->acceptor.local_endpoint(error).port();
}
int Server::max_sessions() const noexcept { return impl_->shared.scheduler->max_sessions(); }
const Metrics& Server::metrics() const noexcept { return impl_->shared.metrics; }

void Server::drain() {
  using std::chrono::milliseconds;
  impl_->shared.state.is_draining = true;
  for (const auto& peer : impl_->all_peers()) peer->warn(impl_->shared.config.drain_s);
  const auto give_up =
      Clock::now() + std::chrono::duration_cast<Clock::duration>(
                         std::chrono::duration<double>(impl_->shared.config.drain_s));
  while (impl_->shared.scheduler->num_sessions() > 0 && Clock::now() < give_up)
    std::this_thread::sleep_for(milliseconds(100));
  asio::post(impl_->acceptor.get_executor(), [impl = impl_.get()] {
    ErrorCode error;
    impl->acceptor.close(error);
  });
  const auto closed_by = Clock::now() + std::chrono::seconds(3);
  for (const auto& peer : impl_->all_peers()) peer->shut_down();
  impl_->shared.lobby->clear();
  while (impl_->shared.metrics.connections.load() > 0 && Clock::now() < closed_by)
    std::this_thread::sleep_for(milliseconds(20));
}

}  // namespace duet::server
