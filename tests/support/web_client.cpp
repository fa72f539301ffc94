#include "tests/support/web_client.h"

#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl.hpp>
#include <boost/beast/websocket.hpp>
#include <boost/beast/websocket/ssl.hpp>
#include <chrono>
#include <stdexcept>

namespace duet::support {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
namespace websocket = beast::websocket;
using tcp = asio::ip::tcp;
using ErrorCode = boost::system::error_code;

tcp::endpoint loopback(int port) {
  return {asio::ip::make_address("127.0.0.1"), static_cast<unsigned short>(port)};
}

template <class Stream>
void upgrade(websocket::stream<Stream>& ws, int port, const std::string& target,
             const Headers& headers, std::string& subprotocol) {
  ws.set_option(websocket::stream_base::decorator([&](websocket::request_type& request) {
    for (const auto& [name, value] : headers) request.set(name, value);
  }));
  websocket::response_type response;
  ErrorCode error;
  ws.handshake(response, "127.0.0.1:" + std::to_string(port), target, error);
  if (error) throw std::runtime_error("upgrade refused: " + error.message());
  subprotocol = std::string(response[http::field::sec_websocket_protocol]);
}

}  // namespace

WebReply http_request(int port, const std::string& method, const std::string& target,
                      const std::string& body, const Headers& headers) {
  asio::io_context context;
  beast::tcp_stream stream(context);
  ErrorCode error;
  stream.connect(loopback(port), error);
  if (error) return {};
  http::request<http::string_body> request(http::string_to_verb(method), target, 11);
  request.set(http::field::host, "127.0.0.1:" + std::to_string(port));
  for (const auto& [name, value] : headers) request.set(name, value);
  request.body() = body;
  request.prepare_payload();
  http::write(stream, request, error);
  beast::flat_buffer buffer;
  http::response<http::string_body> response;
  if (!error) http::read(stream, buffer, response, error);
  if (error) return {};
  return {static_cast<int>(response.result_int()), std::string(response[http::field::content_type]),
          response.body()};
}

struct WebSocketClient::Impl {
  asio::io_context context;
  asio::ssl::context tls{asio::ssl::context::tls_client};
  std::unique_ptr<websocket::stream<beast::tcp_stream>> plain;
  std::unique_ptr<websocket::stream<beast::ssl_stream<beast::tcp_stream>>> secure;
  beast::flat_buffer buffer;
  std::string subprotocol;
  bool is_open = true;

  template <class Function>
  auto with(Function function) {
    return plain ? function(*plain) : function(*secure);
  }
};

WebSocketClient::WebSocketClient(int port, const std::string& target, const Headers& headers,
                                 bool use_tls)
    : impl_(std::make_unique<Impl>()) {
  if (use_tls) {
    impl_->secure = std::make_unique<websocket::stream<beast::ssl_stream<beast::tcp_stream>>>(
        impl_->context, impl_->tls);
    beast::get_lowest_layer(*impl_->secure).connect(loopback(port));
    impl_->secure->next_layer().handshake(asio::ssl::stream_base::client);
    upgrade(*impl_->secure, port, target, headers, impl_->subprotocol);
  } else {
    impl_->plain = std::make_unique<websocket::stream<beast::tcp_stream>>(impl_->context);
    beast::get_lowest_layer(*impl_->plain).connect(loopback(port));
    upgrade(*impl_->plain, port, target, headers, impl_->subprotocol);
  }
}

WebSocketClient::~WebSocketClient() = default;

void WebSocketClient::send_text(const std::string& text) {
  ErrorCode error;
  impl_->with([&](auto& ws) {
    ws.text(true);
    ws.write(asio::buffer(text), error);
  });
}

void WebSocketClient::send_binary(const std::string& bytes) {
  ErrorCode error;
  impl_->with([&](auto& ws) {
    ws.binary(true);
    ws.write(asio::buffer(bytes), error);
  });
}

void WebSocketClient::send_binary(const std::vector<std::uint8_t>& bytes) {
  send_binary(std::string(bytes.begin(), bytes.end()));
}

std::optional<WebMessage> WebSocketClient::read(double timeout_s) {
  if (!impl_->is_open) return std::nullopt;
  std::optional<ErrorCode> result;
  impl_->with([&](auto& ws) {
    ws.async_read(impl_->buffer, [&](ErrorCode error, std::size_t) { result = error; });
  });
  const auto until = std::chrono::steady_clock::now() +
                     std::chrono::milliseconds(static_cast<long>(timeout_s * 1000.0));
  impl_->context.restart();
  while (!result && impl_->context.run_one_until(until) > 0) continue;
  if (!result) {
    drop();
    impl_->context.restart();
    impl_->context.run();
  }
  if (!result || *result) {
    impl_->is_open = false;
    return std::nullopt;
  }
  WebMessage message;
  message.is_text = impl_->with([](auto& ws) { return ws.got_text(); });
  message.data = beast::buffers_to_string(impl_->buffer.data());
  impl_->buffer.consume(impl_->buffer.size());
  return message;
}

int WebSocketClient::close_code() const {
  return impl_->with([](auto& ws) { return static_cast<int>(ws.reason().code); });
}
std::string WebSocketClient::subprotocol() const { return impl_->subprotocol; }

void WebSocketClient::close() {
  ErrorCode error;
  impl_->with([&](auto& ws) { ws.close(websocket::close_code::normal, error); });
  impl_->is_open = false;
}

void WebSocketClient::drop() {
  impl_->with([](auto& ws) { beast::get_lowest_layer(ws).close(); });
}

}  // namespace duet::support
