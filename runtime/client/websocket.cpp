#include "runtime/client/websocket.h"

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl.hpp>
#include <boost/beast/websocket.hpp>
#include <boost/beast/websocket/ssl.hpp>

#include "runtime/core/version.h"

namespace duet::client {

namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace websocket = beast::websocket;
using tcp = asio::ip::tcp;
using ErrorCode = boost::system::error_code;
using runtime::bench::ConnectError;
using runtime::bench::LostError;
using Plain = websocket::stream<beast::tcp_stream>;
using Secure = websocket::stream<beast::ssl_stream<beast::tcp_stream>>;

/// Close codes after which another try may go better (as openai-python has them).
bool may_retry(int code) {
  for (const int retryable : {1001, 1005, 1006, 1011, 1012, 1013, 1015})
    if (code == retryable) return true;
  return false;
}

template <class Stream>
class Socket : public WebSocket {
 public:
  Socket(const Url& url, const std::string& target, const Options& options)
      : write_timeout_s_(options.write_timeout_s), where_(url.host + ":" + url.port) {
    make_stream();
    ws_->read_message_max(options.max_message_bytes);
    connect_tcp(url, options.deadline);
    if constexpr (std::is_same_v<Stream, Secure>) handshake_tls(url, options.deadline);
    upgrade(url, target, options);
  }

  ~Socket() override {
    cut();
    drain();
  }

  void send_text(std::string_view text) override {
    ws_->text(true);
    write(asio::buffer(text));
  }
  void send_binary(std::span<const std::uint8_t> bytes) override {
    ws_->binary(true);
    write(asio::buffer(bytes.data(), bytes.size()));
  }

  std::optional<Message> receive(Clock::time_point deadline) override {
    if (!is_reading_ && !message_ && why_ended_.empty()) start_read();
    context_.restart();
    context_.poll();
    while (!message_ && why_ended_.empty() && context_.run_one_until(deadline) > 0) continue;
    if (message_) return std::exchange(message_, std::nullopt);
    if (!why_ended_.empty()) throw LostError(why_ended_, may_retry_);
    return std::nullopt;
  }

  void close() noexcept override {
    try {
      if (why_ended_.empty()) {
        await(Clock::now() + std::chrono::seconds(1), [this](auto handler) {
          ws_->async_close(websocket::close_code::normal, std::move(handler));
        });
      }
      cut();
      drain();
    } catch (const std::exception&) {  // It is gone either way.
    }
  }

 private:
  void make_stream() {
    if constexpr (std::is_same_v<Stream, Secure>) {
      tls_.set_default_verify_paths();
      tls_.set_verify_mode(asio::ssl::verify_peer);
      ws_ = std::make_unique<Stream>(context_, tls_);
    } else {
      ws_ = std::make_unique<Stream>(context_);
    }
  }

  /// Runs one operation to its end, or cuts it at the deadline.
  template <class Start>
  ErrorCode await(Clock::time_point deadline, Start start) {
    std::optional<ErrorCode> result;
    start([&result](ErrorCode error, auto&&...) { result = error; });
    context_.restart();
    while (!result && context_.run_one_until(deadline) > 0) continue;
    if (result) return *result;
    resolver_.cancel();
    cut();
    context_.restart();
    while (!result && context_.run_one() > 0) continue;
    return beast::error::timeout;
  }

  void check(const char* what, ErrorCode error, bool may_retry = true) const {
    if (!error) return;
    throw ConnectError(where_ + ": " + what + ": " + error.message(), may_retry);
  }

  void connect_tcp(const Url& url, Clock::time_point deadline) {
    tcp::resolver::results_type found;
    check("looking the name up", await(deadline, [&](auto handler) {
            resolver_.async_resolve(url.host, url.port, [&found, handler](ErrorCode e, auto list) {
              found = list;
              handler(e);
            });
          }));
    check("connecting", await(deadline, [&](auto handler) {
            beast::get_lowest_layer(*ws_).async_connect(found, std::move(handler));
          }));
    beast::get_lowest_layer(*ws_).socket().set_option(tcp::no_delay(true));
  }

  void handshake_tls(const Url& url, Clock::time_point deadline) {
    auto& layer = ws_->next_layer();
    SSL_set_tlsext_host_name(layer.native_handle(), url.host.c_str());
    layer.set_verify_callback(asio::ssl::host_name_verification(url.host));
    const ErrorCode error = await(deadline, [&](auto handler) {
      layer.async_handshake(asio::ssl::stream_base::client, std::move(handler));
    });
    check("TLS", error, error == beast::error::timeout);
  }

  void upgrade(const Url& url, const std::string& target, const Options& options) {
    ws_->set_option(websocket::stream_base::decorator([&](websocket::request_type& request) {
      request.set(beast::http::field::user_agent, core::version_text());
      for (const auto& [name, value] : options.headers) request.set(name, value);
    }));
    const std::string host =
        url.host.find(':') == std::string::npos ? url.host : "[" + url.host + "]";
    websocket::response_type response;
    const ErrorCode error = await(options.deadline, [&](auto handler) {
      ws_->async_handshake(response, host + ":" + url.port, target, std::move(handler));
    });
    const unsigned status = response.result_int();
    if (error == websocket::error::upgrade_declined) {
      throw ConnectError(where_ + ": refused with HTTP " + std::to_string(status),
                         status == 408 || status == 429 || status >= 500);
    }
    check("upgrading to a WebSocket", error, error.category() != websocket_category());
  }
  static const boost::system::error_category& websocket_category() {
    return make_error_code(websocket::error::closed).category();
  }

  void start_read() {
    is_reading_ = true;
    ws_->async_read(buffer_, [this](ErrorCode error, std::size_t) {
      is_reading_ = false;
      if (error) {
        end(error);
        return;
      }
      message_ = Message{ws_->got_text(), beast::buffers_to_string(buffer_.data())};
      buffer_.consume(buffer_.size());
    });
  }

  void end(ErrorCode error) {
    const auto& reason = ws_->reason();
    const int code = static_cast<int>(reason.code);
    if (error == websocket::error::closed) {
      may_retry_ = may_retry(code);
      why_ended_ = "closed by the server, code " + std::to_string(code);
      if (!reason.reason.empty()) why_ended_ += ": " + std::string(reason.reason.c_str());
    } else {
      may_retry_ = error.category() != websocket_category();
      why_ended_ = "connection lost: " + error.message();
    }
  }

  void write(asio::const_buffer buffer) {
    if (!why_ended_.empty()) throw LostError(why_ended_, may_retry_);
    const auto limit = std::chrono::duration_cast<Clock::duration>(
        std::chrono::duration<double>(write_timeout_s_));
    const ErrorCode error = await(
        Clock::now() + limit, [&](auto handler) { ws_->async_write(buffer, std::move(handler)); });
    if (!error) return;
    if (error == beast::error::timeout)
      throw LostError("the server does not take any more audio", true);
    // What it said last tells more than that the pipe is broken.
    if (is_reading_ && why_ended_.empty())
      context_.restart(), context_.run_for(std::chrono::milliseconds(200));
    if (why_ended_.empty()) end(error);
    throw LostError(why_ended_, may_retry_);
  }

  void cut() noexcept { beast::get_lowest_layer(*ws_).close(); }
  /// Handlers refer to this object: none may be left.
  void drain() {
    context_.restart();
    context_.run();
  }

  asio::io_context context_;
  asio::ssl::context tls_{asio::ssl::context::tls_client};
  tcp::resolver resolver_{context_};
  std::unique_ptr<Stream> ws_;
  double write_timeout_s_;
  std::string where_;
  beast::flat_buffer buffer_;
  std::optional<Message> message_;
  bool is_reading_ = false, may_retry_ = true;
  std::string why_ended_;
};

}  // namespace

std::unique_ptr<WebSocket> WebSocket::connect(const Url& url, const std::string& target,
                                              const Options& options) {
  if (url.is_secure) return std::make_unique<Socket<Secure>>(url, target, options);
  return std::make_unique<Socket<Plain>>(url, target, options);
}

}  // namespace duet::client
