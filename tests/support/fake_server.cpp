#include "tests/support/fake_server.h"

#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/websocket.hpp>
#include <list>
#include <mutex>
#include <thread>

namespace duet::support {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
namespace websocket = beast::websocket;
using tcp = asio::ip::tcp;
using ErrorCode = boost::system::error_code;

class SocketPeer : public FakeServer::Peer {
 public:
  explicit SocketPeer(tcp::socket socket)
      : cut_handle_(::dup(socket.native_handle())), ws_(std::move(socket)) {}
  ~SocketPeer() override { ::close(cut_handle_); }

  bool accept() {
    ErrorCode error;
    beast::flat_buffer buffer;
    http::read(ws_.next_layer(), buffer, request_, error);
    if (!error) ws_.accept(request_, error);
    return !error;
  }
  void answer(const std::string& bytes) {
    ErrorCode error;
    beast::flat_buffer buffer;
    http::read(ws_.next_layer(), buffer, request_, error);
    asio::write(ws_.next_layer(), asio::buffer(bytes), error);
  }
  /// Any thread: the connection's own one may be inside Beast.
  void cut() const { ::shutdown(cut_handle_, SHUT_RDWR); }

  std::optional<WebMessage> read() override {
    ErrorCode error;
    beast::flat_buffer buffer;
    ws_.read(buffer, error);
    if (error) return std::nullopt;
    return WebMessage{ws_.got_text(), beast::buffers_to_string(buffer.data())};
  }
  void send_text(const std::string& text) override {
    ErrorCode error;
    ws_.text(true);
    ws_.write(asio::buffer(text), error);
  }
  void send_binary(std::span<const std::uint8_t> bytes) override {
    ErrorCode error;
    ws_.binary(true);
    ws_.write(asio::buffer(bytes.data(), bytes.size()), error);
  }
  void close(int code, const std::string& reason) override {
    ErrorCode error;
    ws_.close({static_cast<websocket::close_code>(code), reason}, error);
  }
  std::string target() const override { return std::string(request_.target()); }
  std::string authorization() const override {
    return std::string(request_[http::field::authorization]);
  }

 private:
  const int cut_handle_;  // A second name of the socket.
  websocket::stream<tcp::socket> ws_;
  http::request<http::string_body> request_;
};

}  // namespace

struct FakeServer::Impl {
  Script script;
  std::string raw_answer;
  asio::io_context context;
  tcp::acceptor acceptor{context, tcp::endpoint(asio::ip::make_address("127.0.0.1"), 0)};
  std::atomic<int> num_connections{0};
  std::mutex mutex;  // Guards the two lists.
  std::list<std::shared_ptr<SocketPeer>> peers;
  std::list<std::thread> threads;
  std::atomic<bool> is_stopping{false};
  std::thread accepting;

  void run() {
    while (true) {
      ErrorCode error;
      tcp::socket socket(context);
      acceptor.accept(socket, error);
      if (error || is_stopping) return;
      ++num_connections;
      auto peer = std::make_shared<SocketPeer>(std::move(socket));
      const std::lock_guard lock(mutex);
      peers.push_back(peer);
      threads.emplace_back([this, peer] {
        if (!script) {
          peer->answer(raw_answer);
        } else if (peer->accept()) {
          script(*peer);
        }
        peer->cut();
      });
    }
  }
};

FakeServer::FakeServer(Script script) : impl_(std::make_unique<Impl>()) {
  impl_->script = std::move(script);
  impl_->accepting = std::thread([this] { impl_->run(); });
}

FakeServer::FakeServer(std::string raw_answer) : impl_(std::make_unique<Impl>()) {
  impl_->raw_answer = std::move(raw_answer);
  impl_->accepting = std::thread([this] { impl_->run(); });
}

FakeServer::~FakeServer() {
  impl_->is_stopping = true;
  {  // A last connection wakes accept.
    asio::io_context context;
    tcp::socket socket(context);
    ErrorCode error;
    socket.connect(impl_->acceptor.local_endpoint(), error);
    impl_->accepting.join();
  }
  for (const auto& peer : impl_->peers) peer->cut();
  for (std::thread& thread : impl_->threads) thread.join();
}

int FakeServer::port() const noexcept { return impl_->acceptor.local_endpoint().port(); }
int FakeServer::num_connections() const noexcept { return impl_->num_connections; }

}  // namespace duet::support
